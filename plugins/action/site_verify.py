# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Prints the table of the module site_verify as a table."""

from __future__ import annotations

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

display = Display()


class ActionModule(ActionBase):
    def run(self, tmp=None, task_vars=None):
        result = super().run(tmp, task_vars)
        result.update(self._execute_module(task_vars=task_vars))
        if "table" in result:
            display.display(f"{result.pop('table')}\n\n{result['summary']}".lstrip())
        if result.get("failed"):
            # Everything is in the table above; the error names what failed.
            result.pop("checks", None)
        return result
