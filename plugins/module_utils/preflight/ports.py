# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Who listens on a host, and which of the wanted ports others have. Read from /proc: ss may not be installed."""

from __future__ import annotations

import os
import re
import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from .reading import text

LISTEN, UDP_OPEN = "0A", "07"
_SOCKET = re.compile(r"socket:\[(\d+)\]").fullmatch
_UNIT = re.compile(r"([^/]+\.(?:service|socket|scope))(?:/|$)")


class Listener(NamedTuple):
    """A socket that is open for requests."""

    protocol: str
    address: str
    port: int
    inode: str


class Program(NamedTuple):
    """The process that holds a socket."""

    name: str
    number: int
    unit: str


def listeners(protocol: str, table: str) -> list[Listener]:
    """Return the open sockets of a table as /proc/net/tcp, tcp6, udp and udp6 hold it."""
    found = []
    for line in table.splitlines()[1:]:
        words = line.split()
        if len(words) > 9 and words[3] == (LISTEN if protocol == "tcp" else UDP_OPEN):
            address, _, port = words[1].rpartition(":")
            found.append(Listener(protocol, readable(address), int(port, 16), words[9]))
    return found


def readable(address: str) -> str:
    """Return an address of /proc/net: hexadecimal, each four bytes in the order of the processor."""
    words = [bytes.fromhex(address[start : start + 8])[::-1] for start in range(0, len(address), 8)]
    packed = b"".join(words)
    return socket.inet_ntop(socket.AF_INET if len(packed) == 4 else socket.AF_INET6, packed)


def is_in_the_way(listener: Listener, wanted: Mapping[str, Any]) -> bool:
    """Return whether a service could not listen where it must, because of this socket."""
    if (listener.protocol, listener.port) != (wanted.get("protocol", "tcp"), wanted["port"]):
        return False
    everywhere = listener.address in ("0.0.0.0", "::")
    loopback = listener.address in ("127.0.0.1", "::1", "::ffff:127.0.0.1")
    return everywhere or loopback or not wanted.get("loopback")


def problems(
    wanted: Iterable[Mapping[str, Any]],
    found: Iterable[Listener],
    programs: Mapping[str, Program],
    strangers: Collection[str] = (),
) -> list[str]:
    """Return which ports others have. `programs` by the inode of their socket; a socket of nobody is the kernel's.

    On the ports of the features in `strangers` every program is another's.

    Of a port without names of programs nobody can say who are others: the service of the site may run already.
    """
    listening, told = list(found), []
    for port in wanted:
        for listener in listening if port.get("programs") else ():
            if not is_in_the_way(listener, port):
                continue
            program = programs.get(listener.inode)
            if program is None or (port.get("feature") not in strangers and is_ours(program, port["programs"])):
                continue
            unit = f", {program.unit}" if program.unit else ""
            told.append(
                f"port {port['port']} is in use by {program.name} (pid {program.number}{unit}), and "
                f"{port.get('description', 'a service of the site')} needs it; stop {program.name}, or let it listen elsewhere"
            )
    return list(dict.fromkeys(told))


def is_ours(program: Program, names: Collection[str]) -> bool:
    """Return whether a process is one of a service of the site. systemd holds the sockets of units that it starts."""
    # The kernel keeps 15 characters of a name.
    return program.name in {name[:15] for name in names} | {"systemd"}


def read_listeners(proc: str = "/proc") -> list[Listener]:
    """Return the open sockets of this host."""
    found = []
    for name in ("tcp", "tcp6", "udp", "udp6"):
        try:
            with open(f"{proc}/net/{name}", encoding="ascii") as table:
                found += listeners(name[:3], table.read())
        except FileNotFoundError:
            # Without IPv6 there is no such table.
            continue
    return found


def read_programs(inodes: Collection[str], proc: str = "/proc") -> dict[str, Program]:
    """Return the processes that hold these sockets, by inode. Looks at every process, so it is asked only if needed."""
    wanted = set(inodes)
    found: dict[str, Program] = {}
    for number in filter(str.isdigit, os.listdir(proc)) if wanted else ():
        for inode in wanted.intersection(_sockets(f"{proc}/{number}/fd")):
            # Of several processes the one that was first: the master of its workers.
            if inode not in found or int(number) < found[inode].number:
                found[inode] = Program(text(f"{proc}/{number}/comm").strip(), int(number), _unit(f"{proc}/{number}"))
    return found


def _sockets(directory: str) -> Sequence[str]:
    found = []
    try:
        for name in os.listdir(directory):
            match = _SOCKET(os.readlink(f"{directory}/{name}"))
            if match:
                found.append(match[1])
    except OSError:
        # The process, or one of its files, has ended meanwhile.
        pass
    return found


def _unit(process: str) -> str:
    units = _UNIT.findall(text(f"{process}/cgroup"))
    return units[-1] if units else ""
