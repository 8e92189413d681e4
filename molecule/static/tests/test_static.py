# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A site on servers that exist: behind a bastion, with host keys checked and a user who needs sudo."""

from __future__ import annotations

import json
import os
import socket
import ssl
import subprocess
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

testinfra_hosts = ["ansible://site"]

REPOSITORY = Path(__file__).parents[3]
SCENARIO = REPOSITORY / "molecule/static"
SITE = yaml.safe_load((SCENARIO / "vars/site.yml").read_text())["site"]
STATE = REPOSITORY / "state" / SITE["name"]
ADDRESSES = {host["name"]: host["address"] for host in SITE["hosts"]}
BASTION = SITE["static"]["bastion"]
HOST_KEY = "/etc/ssh/ssh_host_ed25519_key"


def run(*command: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A command in the repository; what it prints, errors included, is its stdout."""
    return subprocess.run(
        command,
        cwd=REPOSITORY,
        env={**os.environ, **variables},
        text=True,
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def inside(host: str, command: str) -> str:
    """As the administrator at the console of a server, without SSH."""
    done = run("docker", "exec", f"{SITE['name']}-{host}", "sh", "-c", command)
    assert done.returncode == 0, done.stdout
    return done.stdout


def ansible(command: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """An Ansible command over new connections: an open one would not be asked for its host key again."""
    return run(command, "-i", str(SCENARIO / "inventory"), *arguments, ANSIBLE_SSH_ARGS="-o ControlMaster=no")


def answers(address: str) -> bool:
    try:
        with socket.create_connection((address, 22), timeout=2):
            return True
    except OSError:
        return False


def test_only_the_bastion_answers_the_controller():
    assert [name for name, address in ADDRESSES.items() if answers(address)] == [BASTION]


def test_the_user_who_logs_in_is_not_root(host):
    assert host.check_output("id --user --name") == SITE["static"]["user"]
    with host.sudo():
        assert host.check_output("id --user --name") == "root"


def test_nobody_logs_in_as_root():
    done = run("ssh", "-F", SITE["static"]["ssh_config"], "-o", "BatchMode=yes", f"root@{ADDRESSES[BASTION]}", "true")
    assert done.returncode == 255 and "Permission denied" in done.stdout


def test_modules_are_piped_and_not_copied():
    done = ansible("ansible", "site", "-m", "ansible.builtin.ping", "-vvv")
    assert done.stdout.count("SUCCESS") == len(ADDRESSES), done.stdout
    assert "PUT " not in done.stdout


@pytest.fixture(params=["primary", BASTION])
def changed(request) -> Iterator[str]:
    """A host that shows another host key than it did."""
    inside(
        request.param,
        f"cp -p {HOST_KEY} {HOST_KEY}.old && cp -p {HOST_KEY}.pub {HOST_KEY}.pub.old && "
        f"echo y | ssh-keygen -q -t ed25519 -N '' -f {HOST_KEY} && systemctl restart ssh",
    )
    yield request.param
    inside(
        request.param, f"mv {HOST_KEY}.old {HOST_KEY} && mv {HOST_KEY}.pub.old {HOST_KEY}.pub && systemctl restart ssh"
    )


def test_a_changed_host_key_stops_the_run(changed):
    done = ansible("ansible-playbook", "playbooks/configure.yml", "--limit", f"localhost,{SITE['name']}-{changed}")
    assert done.returncode != 0
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in done.stdout
    assert "unreachable=1" in done.stdout


def test_nothing_passes_a_bastion_whose_host_key_changed(changed):
    done = ansible("ansible", "site", "-m", "ansible.builtin.ping")
    unreachable = {name for name in ADDRESSES if f"{SITE['name']}-{name} | UNREACHABLE" in done.stdout}
    assert unreachable == (set(ADDRESSES) if changed == BASTION else {changed})


def test_a_host_without_a_known_key_is_not_trusted():
    done = run(
        "ssh",
        "-F",
        SITE["static"]["ssh_config"],
        "-o",
        "BatchMode=yes",
        "-o",
        "UserKnownHostsFile=/dev/null",
        f"{SITE['static']['user']}@{ADDRESSES[BASTION]}",
        "true",
    )
    assert done.returncode == 255 and "Host key verification failed" in done.stdout


def fetch(path: str, method: str = "GET") -> tuple[int, bytes]:
    """Status and body of an answer of the public host, at its own address and with the site's authority."""
    context = ssl.create_default_context(cafile=str(STATE / "ca/ca.crt"))
    url = f"https://{ADDRESSES[BASTION]}:{SITE['public']['https_port']}{path}"
    try:
        with urllib.request.urlopen(urllib.request.Request(url, method=method), context=context, timeout=20) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()


def test_the_site_is_public_at_the_address_and_port_of_its_server():
    status, body = fetch("/catalogue.json")
    assert status == 200
    studies = json.loads(body)["studies"]
    assert len(studies) == 2
    for study in studies:
        status, body = fetch(study["thumbnail"])
        assert status == 200 and body[:2] == b"\xff\xd8", study
    assert fetch("/instances", "POST")[0] == 405


def test_volumes_are_mounted_from_the_devices_of_the_file(host):
    name = host.check_output("hostname").removeprefix(f"{SITE['name']}-")
    for volume in next(entry for entry in SITE["hosts"] if entry["name"] == name).get("volumes", []):
        device = host.check_output("readlink --canonicalize %s", volume["device"])
        assert host.check_output("findmnt --noheadings --output TARGET --source %s", device)
