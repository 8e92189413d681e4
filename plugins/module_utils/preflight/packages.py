# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Packages that cannot be installed, as apt says it without installing them."""

from __future__ import annotations

import os
import re
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..packages import fresh, is_locked, missing, waiting

Run = Callable[[Sequence[str]], tuple[int, str]]

# As the roles have it: cache_valid_time.
LISTS_VALID_SECONDS = 86400
FORMAT = "${Package} ${db:Status-Status}\\n"
# Another apt, for example that of unattended upgrades, may be at work.
LOCK_SECONDS = 120
REMEDY = "let apt-get install it by hand, or correct the sources of apt in /etc/apt"
_ERROR = re.compile(r"^E: (.*)$", re.MULTILINE)
_UNMET = re.compile(r"^ ([a-z0-9][a-z0-9+.-]*) : ((?:Pre-)?Depends: .*)$", re.MULTILINE)
_UNKNOWN = re.compile(r"Unable to locate package (\S+)|Package '?(\S+?)'? has no installation candidate")


@dataclass(frozen=True)
class Apt:
    """How apt is asked: with options, and with the content of a file of sources in place of those of the host."""

    options: Mapping[str, str] = field(default_factory=dict)
    sources: str = ""

    @contextmanager
    def command(self) -> Iterator[list[str]]:
        """Yield the beginning of a command line; the file exists so long."""
        options = dict(self.options)
        with tempfile.NamedTemporaryFile("w", suffix=".sources", encoding="utf-8") as file:
            if self.sources:
                # apt reads its sources as a user of its own.
                os.fchmod(file.fileno(), 0o644)
                file.write(self.sources)
                file.flush()
                options["Dir::Etc::SourceList"] = file.name
            yield ["apt-get", *(f"--option={name}={value}" for name, value in options.items())]


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
    wanted: Sequence[str],
    update: bool = True,
    command: Run = run,
    lists_are_fresh: bool | None = None,
    apt: Apt | None = None,
    lock_seconds: float = LOCK_SECONDS,
) -> list[str]:
    """Return why packages that are not installed cannot be installed.

    `update`: fetch apt's lists first where they are older than the roles admit; without it, a package that no list
    names is no problem where there are no lists.
    """
    if not wanted:
        return []
    with (apt or Apt()).command() as words:
        if not (fresh(LISTS_VALID_SECONDS) if lists_are_fresh is None else lists_are_fresh):
            if not update:
                return []
            status, output = waiting(lambda: command([*words, "update", "--quiet", "--error-on=any"]), lock_seconds)
            if status != 0:
                return [fetch_problem(output, lock_seconds)]
        # Half the time of --simulate, which also works out the order.
        install = [*words, "install", "--print-uris", "--assume-yes", "--no-install-recommends", *wanted]
        status, output = command(install)
    return [] if status == 0 else sentences(output, wanted)


def fetch_problem(output: str, lock_seconds: float) -> str:
    """Return why the lists of packages could not be fetched."""
    if is_locked(output):
        return (
            f"another program has worked with apt for {lock_seconds:.0f} s: {first_error(output)}; run this again when it "
            "has finished"
        )
    return (
        f"the lists of packages cannot be fetched: {first_error(output)}; correct /etc/apt or the network, or write "
        "site.packages.proxy or mirror"
    )


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
