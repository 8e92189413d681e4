# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a site needs of a Docker engine, what is there, and the plan between the two.

Pure functions: the module docker_site lists and writes, this file decides.

A plan is that of plan.py; its kinds are ``network``, ``packages``, ``volume`` and ``host``.
"""

from __future__ import annotations

import ipaddress
import json
from collections.abc import Mapping, Sequence
from typing import Any, TypedDict

from ..plan import Step, step

SITE_LABEL = "imaging_repository_site"
SPECIFICATION_LABEL = "imaging_repository_specification"
PACKAGES_NAME = "imaging-repository-packages"
PACKAGES_PORT = 3142
DEVICE_PREFIX = "/dev/disk/by-id/imaging-repository-"

# Loop devices work in whole sectors; a GiB is a whole number of them.
GIB = 1024**3
MIB = 1024**2


class Specification(TypedDict):
    """What cannot be changed in a container that exists: its address, devices and published ports."""

    address: str
    # Device in the container -> link on this machine; port in the container -> port on loopback.
    devices: dict[str, str]
    ports: dict[str, int]


class Host(TypedDict):
    """A host that is wanted."""

    name: str
    memory_bytes: int
    specification: Specification


class Volume(TypedDict):
    """A volume that is wanted: its file, and the link that names its loop device."""

    name: str
    host: str
    volume: str
    bytes: int
    file: str
    link: str


class Want(TypedDict):
    """All that a site needs; ``replace`` has the full names of hosts that are made anew."""

    name: str
    cidr: str
    volumes: list[Volume]
    hosts: list[Host]
    replace: list[str]


class FoundNetwork(TypedDict):
    """A network of the engine, with the site of its label."""

    site: str | None
    cidr: str | None


class FoundVolume(TypedDict):
    """A file of a volume, and its loop device where it is attached."""

    bytes: int
    loop: str | None


class FoundHost(TypedDict):
    """A container, with the site of its label and the specification that it was made from."""

    site: str | None
    running: bool
    memory_bytes: int
    specification: dict[str, Any]


class Found(TypedDict):
    """What is there. ``packages`` says whether the package cache serves this site; None where there is none."""

    network: FoundNetwork | None
    packages: bool | None
    volumes: dict[str, FoundVolume]
    hosts: dict[str, FoundHost]


def packages_address(cidr: str) -> str:
    """Return the address of the package cache in the network of a site: the first after the gateway."""
    return str(ipaddress.ip_network(cidr)[2])


def wanted(site: Mapping[str, Any], replace: Sequence[str] | None = None) -> Want:
    """Return what the effective site needs; `replace` has the short names of hosts that are made anew."""
    name, directory = site["name"], f"{site['docker']['directory']}/{site['name']}"
    volumes: list[Volume] = []
    hosts: list[Host] = []
    for host in site["hosts"]:
        full_name = f"{name}-{host['name']}"
        devices: dict[str, str] = {}
        for volume in host.get("volumes") or []:
            label = f"{host['name']}-{volume['name']}"
            link = f"{directory}/devices/{label}"
            devices[DEVICE_PREFIX + volume["name"]] = link
            volumes.append(
                {
                    "name": label,
                    "host": full_name,
                    "volume": volume["name"],
                    "bytes": volume["gib"] * GIB,
                    "file": f"{directory}/volumes/{label}.img",
                    "link": link,
                }
            )
        ports: dict[str, int] = {}
        if host.get("public"):
            ports = {"443": site["public"]["https_port"], "80": site["public"]["http_port"]}
        hosts.append(
            {
                "name": full_name,
                "memory_bytes": host["memory_mib"] * MIB,
                "specification": {"address": host["address"], "devices": devices, "ports": ports},
            }
        )
    return {
        "name": name,
        "cidr": site["docker"]["network"]["cidr"],
        "volumes": volumes,
        "hosts": hosts,
        "replace": [f"{name}-{short}" for short in replace or []],
    }


def _size(count: int) -> str:
    return f"{count / GIB:g} GiB"


def _plan_network(want: Want, found: Found) -> Step:
    network = found["network"]
    if network is None:
        return step("network", want["name"], "create", want["cidr"])
    if network["site"] != want["name"]:
        return step(
            "network",
            want["name"],
            "refuse",
            "a Docker network of this name exists that this site did not make; "
            "choose another site.name, or remove it with: docker network rm " + want["name"],
        )
    if network["cidr"] != want["cidr"]:
        return step(
            "network",
            want["name"],
            "refuse",
            f"exists as {network['cidr']}, the site file says {want['cidr']}; "
            "set site.docker.network.cidr back, or destroy the site (its volumes stay) and deploy it again",
        )
    return step("network", want["name"], "keep", want["cidr"])


def _plan_volume(volume: Volume, found: Found) -> Step:
    actual = found["volumes"].get(volume["file"])
    if actual is None:
        return step("volume", volume["name"], "create", _size(volume["bytes"]))
    if actual["bytes"] > volume["bytes"]:
        return step(
            "volume",
            volume["name"],
            "refuse",
            f"has {_size(actual['bytes'])}, the site file says {_size(volume['bytes'])}; volumes are never "
            "made smaller: set gib back, or move the data to a new volume",
        )
    if actual["bytes"] < volume["bytes"]:
        return step("volume", volume["name"], "change", f"{_size(actual['bytes'])} -> {_size(volume['bytes'])}")
    if actual["loop"] is None:
        return step("volume", volume["name"], "change", "attach again")
    return step("volume", volume["name"], "keep", _size(volume["bytes"]))


def _difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {old.get(key)} -> {new.get(key)}" for key in sorted(new) if old.get(key) != new.get(key))


def _plan_host(host: Host, want: Want, found: Found) -> Step:
    actual, name = found["hosts"].get(host["name"]), host["name"]
    memory = f"{host['memory_bytes'] // MIB} MiB"
    if actual is None:
        return step("host", name, "create", f"{host['specification']['address']}, {memory}")
    if actual["site"] != want["name"]:
        return step(
            "host",
            name,
            "refuse",
            "a container of this name exists that this site did not make; "
            "choose another site.name, or remove it yourself",
        )
    if name in want["replace"]:
        return step("host", name, "change", "replace, as asked; its volumes stay")
    difference = _difference(actual["specification"], host["specification"])
    if difference:
        short = name[len(want["name"]) + 1 :]
        return step(
            "host",
            name,
            "refuse",
            f"exists with other settings ({difference}); what is not on its volumes "
            f"would be lost: replace it by name with -e replace_hosts={short}",
        )
    changes = []
    if actual["memory_bytes"] != host["memory_bytes"]:
        changes.append(f"memory {actual['memory_bytes'] // MIB} -> {memory}")
    if not actual["running"]:
        changes.append("start")
    return step("host", name, "change" if changes else "keep", ", ".join(changes) or memory)


def plan(want: Want, found: Found) -> list[Step]:
    """Return the steps that lead from what was found to what is wanted. Never a removal."""
    packages = {
        None: ("create", "package cache of all sites on this machine"),
        False: ("change", "join the network of this site"),
        True: ("keep", "package cache of all sites on this machine"),
    }
    steps = [_plan_network(want, found), step("packages", PACKAGES_NAME, *packages[found["packages"]])]
    steps += [_plan_volume(volume, found) for volume in want["volumes"]]
    steps += [_plan_host(host, want, found) for host in want["hosts"]]
    named = {host["name"] for host in want["hosts"]}
    steps += [
        step("host", name, "unknown", "belongs to this site, but the site file does not name it; left alone")
        for name, actual in sorted(found["hosts"].items())
        if name not in named and actual["site"] == want["name"]
    ]
    files = {volume["file"] for volume in want["volumes"]}
    steps += [
        step("volume", file, "unknown", "the site file does not name it; left alone")
        for file in sorted(found["volumes"])
        if file not in files
    ]
    return steps


def removal(want: Want, found: Found, destroy_volumes: bool) -> list[Step]:
    """Return the steps that remove a site: all that carries its label, and its volumes only when asked to."""
    steps = [
        step("host", name, "remove")
        for name, actual in sorted(found["hosts"].items())
        if actual["site"] == want["name"]
    ]
    if found["network"] and found["network"]["site"] == want["name"]:
        steps.append(step("network", want["name"], "remove"))
    for file, actual in sorted(found["volumes"].items()):
        if destroy_volumes:
            steps.append(step("volume", file, "remove", _size(actual["bytes"]) + ", with all data on it"))
        else:
            steps.append(
                step(
                    "volume",
                    file,
                    "change" if actual["loop"] else "keep",
                    "data stays; remove it as well with -e destroy_volumes=true",
                )
            )
    return steps


def specification_label(specification: Specification) -> str:
    """Return the specification as a label of the container, from which the next run reads it."""
    return json.dumps(specification, sort_keys=True)
