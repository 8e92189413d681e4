# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""One run of the module docker_site: list, plan, and write unless in check mode."""

from __future__ import annotations

import os
import socket
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypedDict

from ..plan import Step, table, writes
from . import machine
from .devices import SiteError, loops, losetup, make_volume, point, private_directory
from .engine import (
    connect,
    find,
    keep_packages_private,
    make_host,
    make_network,
    make_packages,
    remove_host,
    remove_packages,
    sentences,
    start,
    wait_for_boot,
)
from .plan import GIB, PACKAGES_NAME, Found, Want, plan, removal, wanted


def check_ports(want: Want, steps: list[Step]) -> None:
    """Refuse a published port that another program holds, before anything is made."""
    starting = {step["name"] for step in steps if step["kind"] == "host" and step["action"] in ("create", "change")}
    for host in want["hosts"]:
        for port in host["specification"]["ports"].values() if host["name"] in starting else ():
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    listener.bind(("127.0.0.1", port))
                except OSError:
                    # A running container that is replaced or given more memory holds its own port.
                    if not any(step["name"] == host["name"] and step["action"] == "change" for step in steps):
                        raise SiteError(
                            f"site.public: port {port} of this machine is in use; stop what listens there "
                            f"(ss -ltnp 'sport = {port}') or choose another https_port or http_port"
                        ) from None


def check_machine(client: Any, want: Want, steps: list[Step]) -> None:
    """Refuse an engine that cannot run hosts, and a network that would hide what this machine reaches."""
    problem = machine.engine_problem(client.info())
    if not problem and any((step["kind"], step["action"]) == ("network", "create") for step in steps):
        with open(machine.ROUTES, encoding="ascii") as table:
            problem = machine.route_problem(want["cidr"], table.read())
    if problem:
        raise SiteError(problem)


def check_disk(want: Want, found: Found, directory: Path) -> None:
    """Refuse volumes that could never be filled: a full disk below a file system damages what is on it."""
    parent = next(path for path in (directory, *directory.parents) if path.exists())
    free = os.statvfs(parent)
    free_bytes = free.f_bavail * free.f_frsize
    there = {file: actual["bytes"] for file, actual in found["volumes"].items()}
    growth = sum(max(0, volume["bytes"] - there.get(volume["file"], 0)) for volume in want["volumes"])
    if growth > free_bytes:
        raise SiteError(
            f"site.docker.directory: {directory} has {free_bytes / GIB:.1f} GiB free, the new "
            f"volumes may take {growth / GIB:.1f} GiB; free some space, make the volumes "
            "smaller, or choose another directory"
        )


def apply(client: Any, want: Want, steps: list[Step], image: str, directory: Path) -> None:
    """Write what the plan says, in the order in which one thing needs the other."""
    action = {(step["kind"], step["name"]): step["action"] for step in steps}
    private_directory(directory)
    if action["network", want["name"]] == "create":
        make_network(client, want)
    if action["packages", PACKAGES_NAME] != "keep":
        make_packages(client, want, image, directory)
    keep_packages_private(client, directory)
    attached = loops()
    for volume in want["volumes"]:
        if action["volume", volume["name"]] in ("create", "change"):
            make_volume(volume)
        else:
            point(Path(volume["link"]), attached[volume["file"]])
    changed = [host for host in want["hosts"] if action["host", host["name"]] != "keep"]
    for host in changed:
        if action["host", host["name"]] == "change":
            container = client.containers.get(host["name"])
            if host["name"] in want["replace"]:
                remove_host(container)
            else:
                container.update(mem_limit=host["memory_bytes"], memswap_limit=host["memory_bytes"])
                start(container)
                continue
        make_host(client, want, host, image, directory)
    wait_for_boot(client, [host["name"] for host in changed])


def remove(client: Any, want: Want, steps: list[Step], directory: Path) -> None:
    """Write the plan of a removal."""
    attached = loops()
    for step in steps:
        if step["kind"] == "host":
            remove_host(client.containers.get(step["name"]))
        elif step["kind"] == "network":
            network = client.networks.get(step["name"])
            for container in network.containers:
                network.disconnect(container, force=True)
            network.remove()
        else:
            if step["name"] in attached:
                losetup("--detach", attached[step["name"]])
            if step["action"] == "remove":
                os.unlink(step["name"])
    for link in (directory / "devices").glob("*"):
        link.unlink()
    remove_packages(client)


class Answer(TypedDict, total=False):
    """What the module returns."""

    changed: bool
    plan: list[Step]
    table: str
    missing_hosts: list[str]
    diff: dict[str, str]


def run(parameters: Mapping[str, Any], check_mode: bool) -> Answer:
    """List, plan, and write unless in check mode. Raises SiteError and OSError."""
    with sentences():
        return _run(parameters, check_mode)


def without_links(site: Mapping[str, Any]) -> dict[str, Any]:
    """Return the site with the real path of its directory, which the kernel says of the files of loop devices."""
    docker = site["docker"]
    return {**site, "docker": {**docker, "directory": os.path.realpath(docker["directory"])}}


def _run(parameters: Mapping[str, Any], check_mode: bool) -> Answer:
    client = connect()
    site = without_links(parameters["site"])
    directory = Path(site["docker"]["directory"]) / site["name"]
    want = wanted(site, parameters["replace_hosts"])
    found = find(client, want, directory)
    absent = parameters["state"] == "absent"
    if absent:
        steps = removal(want, found, parameters["destroy_volumes"])
    else:
        steps = plan(want, found)
        refused = [f"{step['kind']} {step['name']}: {step['detail']}" for step in steps if step["action"] == "refuse"]
        if refused:
            raise SiteError("nothing was changed:\n" + "\n".join(refused))
        check_machine(client, want, steps)
        check_ports(want, steps)
        check_disk(want, found, directory)
    running = {name for name, actual in found["hosts"].items() if actual["running"]}
    answer: Answer = {
        "changed": writes(steps),
        "plan": steps,
        "table": table(steps),
        "missing_hosts": [host["name"] for host in want["hosts"] if host["name"] not in running],
    }
    if answer["changed"]:
        answer["diff"] = {"before": "", "after": answer["table"], "before_header": "now", "after_header": "plan"}
    if check_mode:
        return answer
    if absent:
        remove(client, want, steps, directory)
    else:
        apply(client, want, steps, parameters["image"], directory)
        answer["missing_hosts"] = []
    return answer
