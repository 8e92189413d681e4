# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Decide which secrets of a site are made. Pure logic without Ansible; reading and writing is in site_secrets."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Collection, Mapping, Sequence

# 32 bytes are 256 bits, 43 characters of the URL-safe alphabet: no shell, URL or configuration file needs to quote it.
SECRET_BYTES = 32

HEADER = """\
# The secrets of this site, made once by role secrets and never changed by it. Keep a copy in a safe place: the data of
# the site's volumes are read with these. A secret that the site gives itself (ansible-vault) is not in here.
"""


def generate() -> str:
    """A secret of 256 bits."""
    return secrets.token_urlsafe(SECRET_BYTES)


def missing(names: Sequence[str], existing: Collection[str], given: Collection[str]) -> list[str]:
    """The names to make a secret for, in the order asked: neither in the file nor given by the site."""
    return [name for name in dict.fromkeys(names) if name not in existing and name not in given]


def problems(names: Sequence[str], existing: object) -> list[str]:
    """What is wrong with the names asked for and with the content of the secrets file; never quotes a value."""
    found = [
        f"secrets: '{name}' is not a name for a secret; write vault_ and lower-case letters, digits or '_'"
        for name in names
        if not re.fullmatch(r"vault_[a-z0-9_]+", name)
    ]
    if not isinstance(existing, Mapping):
        return [*found, "secrets: the file does not hold names and values; restore it from its copy"]
    return found + [
        f"secrets: '{name}' in the file is empty or not a text; restore it, or remove its line"
        for name, value in existing.items()
        if not isinstance(value, str) or not value
    ]


def added(text: str, new: Mapping[str, str]) -> str:
    """The text of the secrets file with new secrets at its end; what was there stays as it was."""
    start = text or HEADER
    if not start.endswith("\n"):
        start += "\n"
    return start + "".join(f"{name}: {json.dumps(value)}\n" for name, value in new.items())
