# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Renders templates and reads files on the controller, and sends all of them in one call: see the module of this name."""

from __future__ import annotations

import base64
import os
from collections.abc import Iterator
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.module_utils.parsing.convert_bool import boolean
from ansible.plugins.action import ActionBase
from ansible.template import trust_as_template

from .file_tree import read_tree

# What ansible.builtin.template says where nobody sets it.
MANAGED = {"ansible_managed": "Ansible managed"}
KINDS = ("template", "source", "content", "directory")


def encoded(content: bytes) -> dict[str, str]:
    """Return the content as the module takes it."""
    return {"content": base64.b64encode(content).decode("ascii")}


class ActionModule(ActionBase):
    """Calls the module once, whatever the number of files."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp: None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the module's result."""
        super().run(tmp, task_vars)
        variables = task_vars or {}
        arguments = dict(self._task.args)
        sent = []
        for number, entry in enumerate(arguments.get("files") or []):
            kinds = [kind for kind in KINDS if entry.get(kind) is not None]
            if len(kinds) != 1 or not entry.get("dest"):
                raise AnsibleActionFail(f"files[{number}]: needs dest and one of {', '.join(KINDS)}; correct the task")
            if boolean(entry.get("when", True), strict=False):
                sent.extend(self._entries(dict(entry), kinds[0], variables))
        arguments["files"] = sent
        result: dict[str, Any] = self._execute_module(module_args=arguments, task_vars=variables)
        # Of no use in a log.
        result.get("invocation", {}).get("module_args", {}).pop("files", None)
        return result

    def _entries(self, entry: dict[str, Any], kind: str, variables: dict[str, Any]) -> Iterator[dict[str, Any]]:
        """Yield an entry as the module takes it: with its content in place of where that comes from."""
        entry.pop("when", None)
        value = entry.pop(kind)
        if kind == "directory":
            yield entry | {"directory": True}
        elif kind == "source":
            path = self._find_needle("files", value)
            for below in sorted(read_tree([path])) if os.path.isdir(path) else [""]:
                with open(os.path.join(path, below).rstrip(os.sep), "rb") as file:
                    yield entry | {"dest": os.path.join(entry["dest"], below).rstrip(os.sep)} | encoded(file.read())
        else:
            text = self._render(self._find_needle("templates", value), variables) if kind == "template" else str(value)
            yield entry | encoded(text.encode("utf-8"))

    def _render(self, path: str, variables: dict[str, Any]) -> str:
        """Return a template rendered as ansible.builtin.template does it."""
        roots = [*variables.get("ansible_search_path", []), self._loader.get_basedir(), os.path.dirname(path)]
        places = [place for root in roots for place in (os.path.join(root, "templates"), root)]
        templar = self._templar.copy_with_new_env(searchpath=places, available_variables={**MANAGED, **variables})
        text = trust_as_template(self._loader.get_text_file_contents(path))
        rendered = templar.template(
            text, escape_backslashes=False, overrides={"trim_blocks": True, "lstrip_blocks": False}
        )
        return "" if rendered is None else str(rendered)
