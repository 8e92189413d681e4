# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Who holds a public address of a cloud, who shall hold it, and the writes between the two.

Pure functions: the module openstack_address lists and writes, this file decides.

A switch is an exchange: the public address goes to the public host of the new site, and the address which that host
had goes to the one that held the public address, because a server is reached through its address. The new host keeps
a note of it in the cloud, so that anybody can finish an exchange that was cut, or reverse it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypedDict

from ..plan import Step, step
from .wanted import MARK, mark

# Metadata of the server that got the address; at most 255 characters (compute API, "Create or Update Metadata").
NOTE_KEY = "imaging_repository_switch"
NOBODY = "nobody"


class Address(TypedDict):
    """A floating IP: its id, the id of the port that has it or "", and its description."""

    id: str
    port: str
    mark: str


class Place(TypedDict):
    """A port that holds or may get an address: the name of its server, and of the site of the server or ""."""

    server: str
    site: str


class Note(TypedDict, total=False):
    """What the new host keeps of an exchange; empty where there was none."""

    address: str
    # The address that was given in exchange, the port that had the first one, and the site of that port.
    exchange: str
    port: str
    site: str


class Holders(TypedDict):
    """What was found: addresses by themselves, ports by their ids."""

    addresses: dict[str, Address]
    ports: dict[str, Place]
    # The port of the new site's public host and the id of its server, or "".
    target: str
    server: str
    note: Note


class Exchange(TypedDict):
    """Who shall hold what: the first of ``wanted`` (address -> port or "") is the public address."""

    wanted: dict[str, str]
    steps: list[Step]
    note: Note
    # Where the new site's public host is reached before the switch.
    own_address: str
    # The new site's host gave its address away and got nothing yet: it cannot be reached.
    interrupted: bool


class Refused(Exception):
    """A sentence for the user: why nothing is moved, and what to do."""


def holder(found: Holders, port: str) -> str:
    """Return the holder of an address for people: a server and its site, or nobody."""
    if not port:
        return NOBODY
    place = found["ports"].get(port, {"server": f"port {port}", "site": ""})
    return f"{place['server']} (site {place['site']})" if place["site"] else place["server"]


def plan(address: str, source: str, back: bool, found: Holders) -> Exchange:
    """Return who shall hold what.

    `source` is the name of the site or server that must hold the address now, or "". With `back` the note is followed.
    Raises Refused.
    """
    if address not in found["addresses"]:
        raise Refused(
            f"site.public.address: {address} is no floating IP of this project; "
            "name one that it has (openstack floating ip list)"
        )
    if not found["target"]:
        raise Refused("the public host of this site does not exist; deploy the site with site.yml first")
    note = found["note"] if found["note"].get("address") == address else {}
    now = found["addresses"][address]["port"]
    goal, other = _backwards(address, now, note, found) if back else _forwards(address, now, source, note, found)
    wanted = {address: goal}
    exchange = _exchange(address, goal, other, note, found)
    if exchange:
        wanted[exchange] = other
    if not back and now != goal:
        note = {
            "address": address,
            "exchange": exchange,
            "port": now,
            "site": found["ports"][now]["site"] if now in found["ports"] else "",
        }
    own = sorted(name for name, entry in found["addresses"].items() if entry["port"] == found["target"])
    return {
        "wanted": wanted,
        "steps": _steps(wanted, other, found),
        "note": note,
        "own_address": (own or [exchange])[0],
        "interrupted": bool(exchange) and not back and now != goal and not found["addresses"][exchange]["port"],
    }


def _forwards(address: str, now: str, source: str, note: Note, found: Holders) -> tuple[str, str]:
    """Return the port that gets the address and the one that gets the other in exchange."""
    target = found["target"]
    if now == target:
        port = note.get("port", "")
        return target, port if port in found["ports"] else ""
    place = found["ports"].get(now, {"server": "", "site": ""})
    names = [name for name in (place["site"], place["server"]) if name]
    if source and source not in names:
        raise Refused(
            f"from: {address} is held by {holder(found, now)}, not by {source}; nothing was moved. "
            "Look at who holds it, then say its name"
        )
    if now and not place["site"] and not source:
        raise Refused(
            f"{address} is held by {holder(found, now)}, which is no site of this toolkit; "
            f"say -e from={place['server'] or now} to take it from there"
        )
    return target, now


def _backwards(address: str, now: str, note: Note, found: Holders) -> tuple[str, str]:
    target = found["target"]
    if not note:
        raise Refused(
            f"back: {holder(found, target)} has no note of where {address} came from; "
            "run switch.yml with the site file of the site that shall hold it"
        )
    if note["port"] and note["port"] not in found["ports"]:
        raise Refused(
            f"back: {address} came from {note['site'] or 'a server'}, whose port {note['port']} is gone; "
            "run switch.yml with the site file of the site that shall hold it"
        )
    if now not in (target, note["port"]):
        raise Refused(
            f"back: {address} is held by {holder(found, now)}, not by {holder(found, target)}; nothing was moved"
        )
    return note["port"], target


def _exchange(address: str, goal: str, other: str, note: Note, found: Holders) -> str:
    """Return the address that is given in exchange, or ""."""
    addresses = found["addresses"]
    if goal and addresses[address]["port"] != goal:
        occupied: list[str] = sorted(name for name, entry in addresses.items() if entry["port"] == goal)
        if occupied:
            return occupied[0]
    noted: str = note.get("exchange", "")
    has_one = other and any(entry["port"] == other for name, entry in addresses.items() if name != address)
    # Free, because an exchange was cut: nobody else's while the note speaks of it.
    return noted if noted in addresses and not addresses[noted]["port"] and not has_one else ""


def _steps(wanted: Mapping[str, str], other: str, found: Holders) -> list[Step]:
    steps = []
    for position, (address, port) in enumerate(wanted.items()):
        now = found["addresses"][address]["port"]
        detail = holder(found, port) if now == port else f"{holder(found, now)} -> {holder(found, port)}"
        if position:
            detail += ", in exchange"
        elif now != port and now and now == other and len(wanted) == 1:
            detail += f"; {holder(found, now)} gets none in exchange and is not reached from outside then"
        steps.append(step("address", address, "keep" if now == port else "change", detail))
    return steps


def marks(wanted: Mapping[str, str], found: Holders) -> dict[str, str]:
    """Return the description of each address at its new holder.

    The mark of an address that a site allocated follows its holder, so that no site releases the address of another.
    """
    result = {}
    for address, port in wanted.items():
        result[address] = found["addresses"][address]["mark"]
        if port and result[address].startswith(MARK):
            site = found["ports"][port]["site"]
            result[address] = mark(site) if site else ""
    return result


def writes(wanted: Mapping[str, str], addresses: Mapping[str, Address]) -> list[tuple[str, str]]:
    """Return the writes (address, port or "") that lead from `addresses` to `wanted`, in their order.

    A port takes one address at a time (the API answers 409 otherwise): the others leave before the first one, which
    visitors use, moves in one call.
    """
    first = next(iter(wanted), "")
    moving = [address for address, port in wanted.items() if addresses[address]["port"] != port]
    leaving = [
        address for address in moving if addresses[address]["port"] and (address != first or not wanted[address])
    ]
    return [(address, "") for address in leaving] + [
        (address, wanted[address]) for address in moving if wanted[address]
    ]
