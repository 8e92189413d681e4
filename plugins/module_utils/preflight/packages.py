# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Packages that cannot be installed, as apt says it without installing them."""

from __future__ import annotations

import os
import re
import subprocess
import time
from collections.abc import Callable, Sequence

Run = Callable[[Sequence[str]], tuple[int, str]]

# As the roles have it: cache_valid_time.
LISTS_VALID_SECONDS = 86400
LISTS = "/var/lib/apt/lists"
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


def problems(
    packages: Sequence[str], update: bool = True, command: Run = run, lists_age_seconds: float | None = None
) -> list[str]:
    """Return why packages cannot be installed. Where all of them are, apt is not asked.

    `update`: fetch apt's lists first where they are older than the roles admit; without it, a package that no list
    names is no problem where there are no lists.
    """
    missing = not_installed(packages, command)
    if not missing:
        return []
    age = lists_age() if lists_age_seconds is None else lists_age_seconds
    if age > LISTS_VALID_SECONDS:
        if not update:
            return []
        status, output = command(["apt-get", "update", "--quiet"])
        if status != 0:
            return [f"the lists of packages cannot be fetched: {first_error(output)}; correct /etc/apt or the network"]
    status, output = command(["apt-get", "install", "--simulate", "--assume-yes", "--no-install-recommends", *missing])
    return [] if status == 0 else sentences(output, missing)


def not_installed(packages: Sequence[str], command: Run) -> list[str]:
    """Return the packages that are not installed."""
    if not packages:
        return []
    _, output = command(["dpkg-query", "--show", "--showformat=${Package} ${db:Status-Status}\\n", *packages])
    installed = {line.split()[0] for line in output.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def sentences(output: str, missing: Sequence[str]) -> list[str]:
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
    return [f"packages {', '.join(missing)} cannot be installed: {first_error(output)}; {REMEDY}"]


def first_error(output: str) -> str:
    """Return the first error in apt's output, or its last line."""
    errors = _ERROR.findall(output)
    return (errors or output.strip().splitlines()[-1:] or ["apt says nothing"])[0].rstrip(".")


def lists_age(directory: str = LISTS, now: float | None = None) -> float:
    """Return how many seconds ago apt's lists were fetched; they are infinitely old where there are none."""
    stamps = ["/var/lib/apt/periodic/update-success-stamp"] if directory == LISTS else []
    try:
        if any("_Packages" in name for name in os.listdir(directory)):
            newest = max(os.stat(path).st_mtime for path in [directory, *stamps] if os.path.exists(path))
            return (time.time() if now is None else now) - newest
    except OSError:
        pass
    return float("inf")
