# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""python3 -m cache_warm"""

from __future__ import annotations

import sys

from .command import main

sys.exit(main())
