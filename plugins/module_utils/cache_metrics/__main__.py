# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The command, as a module of Python."""

from __future__ import annotations

import sys

from .command import main

sys.exit(main())
