"""Shows the progress of the module cache_warm while it runs."""
from __future__ import annotations

from ..plugin_utils.progress import ProgressAction


class ActionModule(ProgressAction):
    verb = "warm"
