# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Sends digests first, and the contents only of files that differ: see the module of the same name."""

from __future__ import annotations

import base64
import hashlib
import os
import zlib

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase


def read_tree(directories: list[str], places: list[str] | None = None) -> dict[str, bytes]:
    """Return the contents by relative path; a later directory's file replaces an earlier one's of the same path.

    `places`: below which directory of the tree each of the directories is laid; empty for the tree's own.
    """
    tree = {}
    for directory, place in zip(directories, places or [""] * len(directories), strict=True):
        for parent, below, names in os.walk(directory):
            # What Python has compiled here is nothing that anybody wrote.
            below[:] = [name for name in below if not name.startswith(".") and name != "__pycache__"]
            for name in names:
                if not name.startswith("."):
                    path = os.path.join(parent, name)
                    with open(path, "rb") as file:
                        tree[os.path.join(place, os.path.relpath(path, directory))] = file.read()
    return tree


def included(tree: dict[str, bytes], names: list[str] | None) -> dict[str, bytes]:
    """Return the files of a tree that are below one of these names at its top, or are one; all without names."""
    return tree if not names else {path: content for path, content in tree.items() if path.split(os.sep)[0] in names}


class ActionModule(ActionBase):
    """Reads the sources on the controller and calls the module once, or twice when something must be sent."""

    _supports_check_mode = True
    _supports_diff = True

    def run(self, tmp=None, task_vars=None):
        """Return the module's result."""
        super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        given = arguments.get("sources") or []
        sources = [source["path"] if isinstance(source, dict) else source for source in given]
        places = [source["below"] if isinstance(source, dict) else "" for source in given]
        arguments["sources"] = sources
        directories = [self._find_needle("files", source) for source in sources]
        for source, directory in zip(sources, directories, strict=True):
            if not os.path.isdir(directory):
                raise AnsibleActionFail(f"file_tree: {source} is not a directory on the controller; give a directory")
        tree = read_tree(directories, places)
        tree = included(tree, arguments.get("include"))
        arguments["digests"] = {path: hashlib.sha256(content).hexdigest() for path, content in tree.items()}
        result = self._execute_module(module_args=arguments, task_vars=task_vars)
        missing = result.pop("missing", [])
        if missing and not result.get("failed") and not self._task.check_mode:
            arguments["contents"] = {path: base64.b64encode(zlib.compress(tree[path], 9)).decode() for path in missing}
            result = self._execute_module(module_args=arguments, task_vars=task_vars)
            result.pop("missing", None)
        # Neither is of any use in a log.
        for name in ("digests", "contents"):
            result.get("invocation", {}).get("module_args", {}).pop(name, None)
        return result
