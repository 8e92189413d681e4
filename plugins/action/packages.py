# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Asks the host only for packages that preflight has not seen there in the same run: see the module of this name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ansible.plugins.action import ActionBase


def seen(names: Any, variables: Mapping[str, Any]) -> bool:
    """Return whether preflight has seen all of the packages on the host in this run."""
    return isinstance(names, list) and set(names) <= set(variables.get("preflight_installed_packages") or [])


class ActionModule(ActionBase):
    """Returns what the module would, without it where nothing can be missing."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        if seen(self._task.args.get("names"), task_vars or {}):
            return {**result, "changed": False, "installed": []}
        return {**result, **self._execute_module(task_vars=task_vars)}
