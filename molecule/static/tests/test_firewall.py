# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The firewall of servers that exist: who reaches which port, through restarts, and rules that would cut Ansible off."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator

import pytest
from test_static import ADDRESSES, BASTION, SITE, ansible, inside, run

testinfra_hosts = ["ansible://molecule-servers-replica"]

REPLICA = f"{SITE['name']}-replica"
FIREWALL = {
    "groups": {
        "site": [{"protocol": "icmp", "port": None, "sources": ["site"]}],
        "open": [{"protocol": "tcp", "port": 22, "cidr": "0.0.0.0/0"}],
    },
    "hosts": {"replica": ["site"]},
}
PROBE = "import socket; socket.create_connection(('{}', {}), 3)"
LISTEN = "python3 -m http.server --bind 0.0.0.0 {} >/dev/null 2>&1"


def reaches(host: str, target: str, port: int) -> bool:
    """Whether a connection from one server to a port of another one is answered."""
    name = f"{SITE['name']}-{host}"
    return run("docker", "exec", name, "python3", "-c", PROBE.format(ADDRESSES[target], port)).returncode == 0


def image_server_port() -> int:
    """The one port of the replica that the table opens to the cache."""
    done = run("ansible-inventory", "-i", "molecule/static/inventory", "--host", REPLICA)
    table = json.loads(done.stdout)["site_firewall"]
    (rule,) = table["groups"]["image_server_replica"]
    return rule["port"]


def firewall(state: str, **parameters) -> str:
    """The module on the replica, run at its console, where no SSH is closed to it; what it printed."""
    connection = (
        "-e",
        "ansible_connection=community.docker.docker",
        "-e",
        f"ansible_host={REPLICA}",
        "-e",
        "ansible_user=root",
    )
    arguments = json.dumps({"state": state, "host": "replica", **parameters})
    done = ansible("ansible", REPLICA, "-m", "imaging.repository.host_firewall", "-a", arguments, *connection)
    return done.stdout


def answers_ansible() -> bool:
    return ansible("ansible", REPLICA, "-m", "ansible.builtin.ping", "-T", "10").returncode == 0


def until(happens: Callable[[], bool], seconds: float = 180) -> None:
    """Wait until something happens; the test fails where it does not."""
    deadline = time.monotonic() + seconds
    while not happens():
        assert time.monotonic() < deadline, inside("replica", "nft list ruleset; systemctl list-jobs")
        time.sleep(1)


def assert_only_the_cache_reaches_the_image_server() -> None:
    port = image_server_port()
    assert {host: reaches(host, "replica", port) for host in ADDRESSES if host != "replica"} == {
        "database": False,
        "primary": False,
        BASTION: True,
    }


def test_only_the_cache_reaches_the_image_server():
    assert_only_the_cache_reaches_the_image_server()


def test_only_image_servers_reach_the_database():
    assert {host: reaches(host, "database", 5432) for host in ADDRESSES if host != "database"} == {
        "primary": True,
        "replica": True,
        BASTION: False,
    }


def test_a_port_that_the_site_does_not_know_is_closed_although_somebody_listens():
    inside("replica", f"systemd-run --quiet --unit=stranger /bin/sh -c '{LISTEN.format(9999)}'")
    try:
        time.sleep(1)
        assert run("docker", "exec", REPLICA, "python3", "-c", PROBE.format("127.0.0.1", 9999)).returncode == 0
        assert not any(reaches(host, "replica", 9999) for host in ADDRESSES if host != "replica")
    finally:
        inside("replica", "systemctl stop stranger")


def test_a_scan_from_another_server_finds_what_the_table_opens_and_nothing_else():
    """The same ports before and after: without our table a neighbour reaches all that listens, the writing server too."""
    listening = (
        "ss --no-header --listening --tcp --numeric | awk '{ print $4 }' | grep -v '^127\\|^\\[::1' | sed 's/.*://'"
    )
    ports = sorted({int(port) for port in inside("primary", listening).split()})
    assert image_server_port() in ports and 22 in ports
    inside("primary", "nft delete table inet imaging_repository")
    try:
        before = [port for port in ports if reaches("replica", "primary", port)]
    finally:
        inside("primary", "systemctl restart imaging-repository-firewall")
    after = [port for port in ports if reaches("replica", "primary", port)]
    print(f"primary, seen from replica: before {before}, after {after}")
    assert before == ports and after == [22]


def test_the_rules_of_others_stay_and_ours_survive_a_restart_of_the_server():
    inside("replica", "nft add table inet theirs")
    configured = ansible("ansible-playbook", "playbooks/configure/static_hosts.yml", "--limit", REPLICA)
    assert configured.returncode == 0 and "changed=0" in configured.stdout, configured.stdout
    assert "table inet theirs" in inside("replica", "nft list tables")
    unreachable = inside("replica", "ip route show type unreachable").splitlines()
    assert run("docker", "restart", "-t", "30", REPLICA).returncode == 0
    inside("replica", "; ".join(f"ip route replace {route}" for route in unreachable))
    # At first there is not even a systemd that could be asked.
    until(
        lambda: (
            run("docker", "exec", REPLICA, "systemctl", "is-system-running").stdout.strip() in ("running", "degraded")
        )
    )
    assert "table inet imaging_repository" in inside("replica", "nft list tables")
    port = image_server_port()
    until(lambda: reaches(BASTION, "replica", port))
    assert_only_the_cache_reaches_the_image_server()


@pytest.fixture
def cut_off() -> Iterator[None]:
    """Rules on trial that close SSH to everybody."""
    until(answers_ansible)
    # The rules that are to be tried out take the way in; the table opens no port at all.
    printed = firewall("trial", firewall=FIREWALL, revert_seconds=60, ssh_from=["192.0.2.1"])
    assert "CHANGED" in printed, printed
    yield
    ansible("ansible-playbook", "playbooks/configure/static_hosts.yml", "--limit", REPLICA)


def test_rules_that_cut_ansible_off_are_taken_back(cut_off):
    assert not answers_ansible()
    until(answers_ansible)
    assert_only_the_cache_reaches_the_image_server()
    assert "not confirmed in time" in firewall("confirmed")


def test_a_list_that_would_close_ssh_to_ansible_is_refused():
    arguments = json.dumps({"firewall": FIREWALL, "host": "replica", "ssh_from": ["192.0.2.1"]})
    done = ansible("ansible", REPLICA, "-b", "-m", "imaging.repository.host_firewall", "-a", arguments)
    assert f"Ansible came to this host from {ADDRESSES[BASTION]}" in done.stdout, done.stdout


def test_a_host_with_another_firewall_is_refused_by_name():
    unit = "/etc/systemd/system/ufw.service"
    inside(
        "replica",
        f"printf '[Service]\\nType=oneshot\\nRemainAfterExit=yes\\nExecStart=true\\n' > {unit} && systemctl daemon-reload && systemctl start ufw",
    )
    try:
        printed = firewall("trial", firewall=FIREWALL)
        assert "ufw works on this host" in printed and "ufw disable" in printed
    finally:
        inside("replica", f"systemctl stop ufw && rm {unit} && systemctl daemon-reload")
