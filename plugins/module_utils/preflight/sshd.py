# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Whether the SSH server of a host would let in a user that a feature makes, by what `sshd -T` says (sshd_config(5))."""

from __future__ import annotations

import fnmatch
import re
from collections.abc import Callable, Sequence

Run = Callable[[Sequence[str]], tuple[int, str]]
CONFIGURATION = "/etc/ssh/sshd_config"
_INCLUDE = re.compile(
    r"^\s*Include\s+[\"']?/etc/ssh/sshd_config\.d/\*(\.conf)?[\"']?\s*(#.*)?$", re.MULTILINE | re.IGNORECASE
)


def problems(user: str, settings: str, configuration: str) -> list[str]:
    """Return why the user, whose group has the same name, could not log in by a file in sshd_config.d.

    `settings` is the output of `sshd -T`, `configuration` the text of /etc/ssh/sshd_config.
    """
    found = []
    if not _INCLUDE.search(configuration):
        found.append(
            f"{CONFIGURATION} does not include /etc/ssh/sshd_config.d, where the site says what the user {user} may do; add "
            "Include /etc/ssh/sshd_config.d/*.conf at its beginning"
        )
    for word, names in (("AllowUsers", "users"), ("AllowGroups", "groups")):
        allowed = _patterns(settings, word)
        if allowed and not _matches(user, allowed):
            found.append(
                f"sshd lets in only the {names} {' '.join(allowed)}, and image servers read the images as {user}; add {user} "
                f"to {word}, or write share.kind: nfs"
            )
    for word, names in (("DenyUsers", "user"), ("DenyGroups", "group")):
        if _matches(user, _patterns(settings, word)):
            found.append(
                f"sshd keeps the {names} {user} out ({word}), as whom image servers read the images; let it in, or write "
                "share.kind: nfs"
            )
    return found


def _patterns(settings: str, word: str) -> list[str]:
    """Return the patterns of a setting; sshd -T writes each on a line of its own."""
    lines = (line.split() for line in settings.splitlines())
    return [pattern for line in lines if line and line[0] == word.lower() for pattern in line[1:]]


def _matches(name: str, patterns: Sequence[str]) -> bool:
    """Return whether one of the patterns holds the name, from wherever it comes."""
    return any(fnmatch.fnmatchcase(name, pattern.partition("@")[0]) for pattern in patterns)


def read(user: str, command: Run) -> list[str]:
    """Return the problems of this host; none where it has no SSH server yet."""
    status, settings = command(["/usr/sbin/sshd", "-T", "-C", f"user={user},host=replica,addr=192.0.2.1"])
    try:
        with open(CONFIGURATION, encoding="utf-8", errors="replace") as file:
            configuration = file.read()
    except OSError:
        return []
    if status:
        said = " ".join(settings.split())
        return [f"the configuration of its SSH server is not sound: {said}; correct {CONFIGURATION}"]
    return problems(user, settings, configuration)
