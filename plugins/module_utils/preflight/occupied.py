# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a server that exists is somebody else's: files that the site would replace, and the site that it is of.

Once a site has begun on a host it has a directory there, and what the features write is its own from then on. Before
that, only what packages have written and nobody has changed may be replaced without a word of the user.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from .reading import text

# What configure makes on every host before anything else; the second was the first of older releases.
OWN = ("/var/lib/imaging-repository", "/etc/imaging-repository")
# Says of which site the host is.
STAMP = "/var/lib/imaging-repository/site"
COPY = ".before-imaging-repository"
NAMED_FILES = 4
# A line of dpkg-query's ${Conffiles}.
_CONFFILE = re.compile(r"^ (/\S.*?) ([0-9a-f]{32})(?: obsolete)?$", re.MULTILINE)


def is_begun(root: str = "") -> bool:
    """Return whether a site has begun on this host."""
    return any(os.path.isdir(f"{root}{path}") for path in OWN)


def conffiles(listing: str) -> dict[str, str]:
    """Return the configuration files of packages: path -> MD5 of what the package wrote (dpkg-query ${Conffiles})."""
    return dict(_CONFFILE.findall(listing))


def foreign(path: str, pristine: Mapping[str, str], root: str = "") -> list[str]:
    """Return the files at or below a path that no package wrote, or that somebody has changed since."""
    top = f"{root}{path}"
    if not os.path.lexists(top):
        return []
    paths = [top] if not os.path.isdir(top) or os.path.islink(top) else sorted(_below(top))
    return [found.removeprefix(root) for found in paths if not _is_pristine(found, pristine, root)]


def _below(directory: str) -> Iterator[str]:
    for here, directories, names in os.walk(directory):
        yield from (os.path.join(here, name) for name in names)
        yield from (os.path.join(here, name) for name in directories if os.path.islink(os.path.join(here, name)))


def _is_pristine(path: str, pristine: Mapping[str, str], root: str) -> bool:
    target = path
    if os.path.islink(path):
        link = os.readlink(path)
        target = f"{root}{link}" if link.startswith("/") else os.path.normpath(f"{os.path.dirname(path)}/{link}")
    if os.path.isdir(target):
        # A link to a directory, such as nginx's to its modules.
        return True
    checksum = pristine.get(target.removeprefix(root))
    try:
        with open(target, "rb") as file:
            return checksum is not None and hashlib.md5(file.read(), usedforsecurity=False).hexdigest() == checksum
    except OSError:
        return False


def strangers(replaces: Iterable[Mapping[str, Any]], begun: bool) -> set[str]:
    """Return the features that find nothing of their own on this host, so that every program on their ports is another's."""
    return set() if begun else {entry["feature"] for entry in replaces if not entry["takeover"]}


def problems(
    replaces: Iterable[Mapping[str, Any]], site: str, pristine: Mapping[str, str], root: str = ""
) -> list[str]:
    """Return what of others the site would replace. Each of `replaces` has `path`, `feature` and `takeover`."""
    told = []
    owner = text(f"{root}{STAMP}").strip()
    if owner and site and owner != site:
        told.append(
            f"is a host of the site {owner}; choose another server, or remove that site from it and then the file {STAMP}"
        )
    if is_begun(root):
        return told
    for entry in replaces:
        path = entry["path"]
        files = [] if entry["takeover"] else foreign(path, pristine, root)
        if files:
            names = ", ".join(files[:NAMED_FILES]) + (", ..." if len(files) > NAMED_FILES else "")
            told.append(
                f"{path} is in use by others ({names}), and the site would replace it; move it away, or write "
                f"site.static.takeover: [{path}] to have it replaced (a copy stays at {path}{COPY})"
            )
    return told
