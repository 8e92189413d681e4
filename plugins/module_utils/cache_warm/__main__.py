"""python3 -m cache_warm"""
from __future__ import annotations

import sys

from .command import main

sys.exit(main())
