# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Runs both sides in turns, prints what they took, and removes what they made; called by benchmarks/provision.sh."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import openstack
import yaml

HERE = Path(__file__).parent
REPOSITORY = HERE.parents[1]
ORDINARY = "ordinary"
GROWTH = (5, 40, 80)
GOALS = {"create": 5, "no_change": 30}


def site(hosts: int) -> dict:
    """A site of that many hosts, a volume each; at most 16 in an entry, as the site file wants it."""
    entries = [
        {"name": name, "groups": groups, "public": name == "proxy", "volumes": [{"name": volume, "gib": 1}]}
        for name, groups, volume in (
            ("database", ["database"], "db"),
            ("primary", ["image_server_primary"], "data"),
            ("proxy", ["cache", "bastion"], "cache"),
        )
    ]
    replicas = hosts - len(entries)
    for letter, start in zip("abcde", range(0, replicas, 16), strict=False):
        entries.append(
            {
                "name": f"replica-{letter}",
                "count": min(16, replicas - start),
                "groups": ["image_server_replica"],
                "volumes": [{"name": "scratch", "gib": 1, "mount": "/srv/scratch"}],
            }
        )
    for entry in entries:
        entry["flavor"] = "m1.small"
    # The base has replicas of its own.
    absent = [{"name": "replica", "absent": True}]
    return {
        "site": {
            "name": f"bench{hosts}",
            "provider": "openstack",
            "hosts": entries + absent,
            "openstack": {
                "cloud": "embassy",
                "image": "Debian 13",
                "network": {"external": "public"},
                "ssh_from": ["192.0.2.0/24"],
                "new_address": True,
            },
            "public": {"name": "images.example.org"},
        }
    }


def playbook(log: Path, *arguments: str, **environment: str) -> float:
    """Seconds of a run of ansible-playbook."""
    started = time.monotonic()
    done = subprocess.run(
        [REPOSITORY / ".venv/bin/ansible-playbook", *arguments],
        cwd=REPOSITORY,
        check=False,
        stdout=log.open("w"),
        stderr=subprocess.STDOUT,
        env={**os.environ, **environment},
    )
    if done.returncode:
        sys.exit(f"{' '.join(arguments)} failed:\n{log.read_text()[-3000:]}")
    return time.monotonic() - started


def inventory(work: Path, python: str) -> str:
    """An inventory of this machine alone, whose modules run with that Python."""
    file = work / "localhost.yml"
    host = {"ansible_connection": "local", "ansible_python_interpreter": python}
    file.write_text(yaml.safe_dump({"all": {"hosts": {"localhost": host}}}))
    return str(file)


def run_ordinary(work: Path, hosts: int, python: str) -> tuple[float, float, int]:
    """Seconds of the tasks and of the whole command, and requests, of the ordinary playbook."""
    requests, tasks = work / "requests.log", work / "seconds"
    requests.unlink(missing_ok=True)
    seconds = playbook(
        work / "ordinary.log",
        "-i",
        inventory(work, python),
        "-e",
        f"hosts={hosts}",
        "-e",
        f"requests_log={requests}",
        "-e",
        f"seconds_file={tasks}",
        str(HERE / "ordinary.yml"),
    )
    return float(tasks.read_text()), seconds, requests.read_text().count("REQ: curl")


def run_ours(work: Path, hosts: int) -> tuple[float, float, int]:
    """The same of openstack_site."""
    (work / "site.yml").write_text(yaml.safe_dump(site(hosts)))
    key = work / "key"
    if not key.exists():
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
    told = work / "result.json"
    # Not by -e: a site file takes only variables that it knows.
    seconds = playbook(
        work / "ours.log",
        "-i",
        "inventory/",
        "-e",
        f"@{work / 'site.yml'}",
        str(HERE / "ours.yml"),
        BENCHMARK_PUBLIC_KEY=f"{key}.pub",
        BENCHMARK_RESULT=str(told),
    )
    result = json.loads(told.read_text())
    return result["seconds"], seconds, result["calls"]


def clean(prefix: str) -> None:
    """Removes servers, volumes and networks of the measurement; they carry its prefix."""
    cloud = openstack.connect(cloud="embassy")
    servers = [server for server in cloud.compute.servers() if server.name.startswith(prefix)]
    for server in servers:
        cloud.compute.delete_server(server)
    for server in servers:
        cloud.compute.wait_for_delete(server, wait=600)
    for volume in cloud.block_storage.volumes():
        if volume.name.startswith(prefix):
            cloud.block_storage.wait_for_status(volume, "available", wait=300)
            cloud.block_storage.delete_volume(volume)
    for address in cloud.network.ips():
        if (address.description or "").endswith(f"site {prefix}"):
            cloud.network.delete_ip(address)
    for port in cloud.network.ports():
        if port.name.startswith(prefix):
            cloud.network.delete_port(port)
    for router in cloud.network.routers():
        if router.name == prefix:
            for subnet in cloud.network.subnets(name=prefix):
                cloud.network.remove_interface_from_router(router, subnet_id=subnet.id)
            cloud.network.delete_router(router)
    for network in cloud.network.networks():
        if network.name == prefix:
            cloud.network.delete_network(network)
    for group in cloud.network.security_groups():
        if group.name == prefix or group.name.startswith(f"{prefix}-"):
            cloud.network.delete_security_group(group)
    for group in cloud.compute.server_groups():
        if group.name.startswith(f"{prefix}-"):
            cloud.compute.delete_server_group(group)
    for key in cloud.compute.keypairs():
        if key.name == prefix:
            cloud.compute.delete_keypair(key)


def main() -> None:
    hosts, python = int(sys.argv[1]), sys.argv[2]
    made = [ORDINARY, *(f"bench{count}" for count in {hosts, *GROWTH})]
    for prefix in made:
        clean(prefix)

    def note(side: str, what: str, count: int, result: tuple[float, float, int]) -> tuple[float, float]:
        tasks, command, calls = result
        print(
            f"{side:16} {what:10} {count:3} hosts {tasks:7.1f} s, whole command {command:7.1f} s, {calls:5} API calls",
            flush=True,
        )
        return tasks, command

    with tempfile.TemporaryDirectory() as directory:
        work = Path(directory)
        try:
            playbook(work / "network.log", "-i", inventory(work, python), str(HERE / "ordinary_network.yml"))
            seconds = {}
            for what in GOALS:
                seconds["ordinary", what] = note("openstack.cloud", what, hosts, run_ordinary(work, hosts, python))
                seconds["ours", what] = note("openstack_site", what, hosts, run_ours(work, hosts))
            clean(ORDINARY)
            clean(f"bench{hosts}")
            for count in GROWTH:
                for what in GOALS:
                    note("openstack_site", what, count, run_ours(work, count))
                clean(f"bench{count}")
        finally:
            for prefix in made:
                clean(prefix)
    ratios = {
        what: [theirs / ours for theirs, ours in zip(seconds["ordinary", what], seconds["ours", what], strict=False)]
        for what in GOALS
    }
    for what, (_tasks, command) in ratios.items():
        print(f"{what}: {command:.1f} times as fast with the start of Ansible")
    for what, goal in GOALS.items():
        print(f"provision_{what}: {ratios[what][0]:.1f} (goal {goal})")
    sys.exit(any(ratios[what][0] < goal for what, goal in GOALS.items()))


if __name__ == "__main__":
    main()
