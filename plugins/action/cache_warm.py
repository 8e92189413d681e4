# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Shows how far the service cache-warm is while the module of the same name follows it."""

from __future__ import annotations

from ..module_utils.cache_warm.status import FINAL_STATES
from ..plugin_utils.progress import ProgressAction


class ActionModule(ProgressAction):
    verb = "warm"
    progress_file = "/run/cache-warm/status.json"

    def _line(self, progress: dict) -> str | None:
        # A final state is that of an earlier warm, or the summary says it in a moment.
        return None if progress.get("state") in FINAL_STATES else super()._line(progress)
