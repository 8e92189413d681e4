# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Lookup plugin that finds the playbooks by which a site adds to the verb configure."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site_hook
short_description: The playbook that a user wants to run before or after configure
version_added: 0.2.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Looks for C(hooks/<name>.yml) beside the files that were given by C(-e @<file>), the last one first, and returns its
    absolute path. Where there is none, it returns that of a playbook that does nothing.
options:
  _terms:
    description: Names of hooks, V(before) or V(after).
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
- name: Run what the site wants to come first
  ansible.builtin.import_playbook: "{{ lookup('imaging.repository.site_hook', 'before') }}"
"""

RETURN = r"""
_raw:
  description: Absolute paths of playbooks.
  type: list
  elements: str
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ansible import context
from ansible.plugins.lookup import LookupBase

NONE = Path(__file__).resolve().parents[2] / "playbooks" / "hooks" / "none.yml"


class LookupModule(LookupBase):  # type: ignore[misc]
    """Finds hooks."""

    def run(self, terms: Sequence[str], variables: Any = None, **_options: Any) -> list[str]:
        """Return the path of each hook."""
        given = context.CLIARGS.get("extra_vars") or ()
        return [str(hook(term, [str(text) for text in given])) for term in terms]


def hook(name: str, extra_vars: Sequence[str]) -> Path:
    """Return the hook that lies beside a file of the extra variables, or the one that does nothing."""
    files = [Path(text[1:]).expanduser().absolute() for text in extra_vars if text.startswith("@")]
    candidates = (file.parent / "hooks" / f"{name}.yml" for file in reversed(files))
    return next((candidate for candidate in candidates if candidate.is_file()), NONE)
