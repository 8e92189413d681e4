# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Restarts a unit on one host after the other where the task says so: see the module of the same name."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
from collections.abc import Iterator
from typing import Any

from ansible import constants
from ansible.plugins.action import ActionBase


@contextlib.contextmanager
def turn(unit: str) -> Iterator[str]:
    """Wait until no other host restarts this unit; yields the file that names the host on which it did not come up.

    All hosts of a run share the directory, and no other run does.
    """
    name = hashlib.sha256(unit.encode()).hexdigest()[:12]
    path = os.path.join(constants.DEFAULT_LOCAL_TMP, f"restart-{name}")
    with open(f"{path}.lock", "w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield f"{path}.failed"


def read(path: str) -> str:
    """Return the content of a file, empty where there is none."""
    with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8") as file:
        return file.read()
    return ""


class ActionModule(ActionBase):
    """Asks first, on all hosts at once, and takes turns only where a restart is needed."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        first = arguments | ({"restart": False} if arguments.get("one_by_one") else {})
        result = self._execute_module(module_args=first, task_vars=task_vars)
        if result.pop("put_off", False) and not result.get("failed") and not self._task.check_mode:
            result = self._restart(arguments, task_vars or {})
        return result

    def _restart(self, arguments: dict[str, Any], task_vars: dict[str, Any]) -> dict[str, Any]:
        unit, host = arguments["name"], task_vars["inventory_hostname"]
        with turn(unit) as failed:
            other = read(failed)
            if other and other != host:
                return {
                    "failed": True,
                    "msg": f"service: {unit} was not restarted, because it did not come up on {other}",
                }
            # The module may not come back at all, when the host does not.
            with open(failed, "w", encoding="utf-8") as file:
                file.write(host)
            result = self._execute_module(module_args=arguments, task_vars=task_vars)
            result.pop("put_off", None)
            if not result.get("failed") and not result.get("unreachable"):
                os.remove(failed)
            return result
