# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Runs verify_volumes and, by meta/runtime.yml, its sisters: a host that does not answer is a line as well."""

from __future__ import annotations

from typing import Any

from ansible.errors import AnsibleConnectionFailure
from ansible.plugins.action import ActionBase

from ..module_utils.verify.lines import no_answer


class ActionModule(ActionBase):
    """Returns `lines`, whatever happens on the host."""

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Run the module. Of a host that did not answer once, the other checks are not tried."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        host = str(self._task.args.get("name", ""))
        silent = no_answer(host, "")["name"]
        if any(line.get("name") == silent for line in (task_vars or {}).get("verify_lines", [])):
            return {**result, "changed": False, "lines": []}
        try:
            answer = self._execute_module(task_vars=task_vars)
        except AnsibleConnectionFailure as error:
            answer = {"msg": str(error)}
        if "lines" in answer:
            return {**result, **answer}
        # What the connection complained about says more than that no result came back.
        told = str(answer.get("module_stderr") or answer.get("msg") or "no result").strip().splitlines()
        return {**result, "changed": False, "lines": [no_answer(host, told[-1] if told else "no result")]}
