# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Packages that cannot be installed, as apt says it without installing them."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Sequence

from ..packages import fresh, missing

Run = Callable[[Sequence[str]], tuple[int, str]]

# As the roles have it: cache_valid_time.
LISTS_VALID_SECONDS = 86400
FORMAT = "${Package} ${db:Status-Status}\\n"
REMEDY = "let apt-get install it by hand, or correct the sources of apt in /etc/apt"
_ERROR = re.compile(r"^E: (.*)$", re.MULTILINE)
_UNMET = re.compile(r"^ ([a-z0-9][a-z0-9+.-]*) : ((?:Pre-)?Depends: .*)$", re.MULTILINE)
_UNKNOWN = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate")


def run(arguments: Sequence[str]) -> tuple[int, str]:
    """Return status and output of a command in plain English."""
    done = subprocess.run(
        arguments,
        env={**os.environ, "LC_ALL": "C.UTF-8", "DEBIAN_FRONTEND": "noninteractive"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=False,
    )
    return done.returncode, done.stdout


def installed(packages: Sequence[str], command: Run = run) -> list[str]:
    """Return those of the packages that are installed."""
    _, known = command(["dpkg-query", "--show", "--showformat", FORMAT, "--", *packages]) if packages else (0, "")
    absent = missing(packages, known)
    return [package for package in packages if package not in absent]


def problems(
    wanted: Sequence[str], update: bool = True, command: Run = run, lists_are_fresh: bool | None = None
) -> list[str]:
    """Return why packages that are not installed cannot be installed.

    `update`: fetch apt's lists first where they are older than the roles admit; without it, a package that no list
    names is no problem where there are no lists.
    """
    if not wanted:
        return []
    if not (fresh(LISTS_VALID_SECONDS) if lists_are_fresh is None else lists_are_fresh):
        if not update:
            return []
        status, output = command(["apt-get", "update", "--quiet"])
        if status != 0:
            return [f"the lists of packages cannot be fetched: {first_error(output)}; correct /etc/apt or the network"]
    # Half the time of --simulate, which also works out the order.
    status, output = command(["apt-get", "install", "--print-uris", "--assume-yes", "--no-install-recommends", *wanted])
    return [] if status == 0 else sentences(output, wanted)


def sentences(output: str, wanted: Sequence[str]) -> list[str]:
    """Return what apt's output says is wrong, one sentence for each package that it names."""
    errors = _ERROR.findall(output)
    found = {}
    for error in errors:
        if unknown := _UNKNOWN.search(error):
            found[unknown[1] or unknown[2]] = "no source of apt has it"
    for package, text in _UNMET.findall(output):
        found.setdefault(package, re.sub(r"\s+", " ", text))
    told = [f"package {package} cannot be installed: {why}; {REMEDY}" for package, why in found.items()]
    if told:
        return told
    return [f"packages {', '.join(wanted)} cannot be installed: {first_error(output)}; {REMEDY}"]


def first_error(output: str) -> str:
    """Return the first error in apt's output, or its last line."""
    errors = _ERROR.findall(output)
    return (errors or output.strip().splitlines()[-1:] or ["apt says nothing"])[0].rstrip(".")
