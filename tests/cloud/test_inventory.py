# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The site file to the hosts of a cloud, through the verbs: validate, plan, provision, and what the inventory offers.

The servers of the test cloud do not run anything: they are never connected to, so provision.yml is limited to the part
that happens on this machine.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.cloud.conftest import REPOSITORY, Site

HOSTS = {
    "database": (["database"], {"db": "/var/lib/postgresql"}),
    "primary": (["image_server_primary"], {}),
    "replica": (["image_server_replica"], {}),
    "proxy": (["cache", "bastion"], {"cache": "/var/cache/nginx"}),
}


def command(site: Site, program: str, *arguments: str, fails: bool = False) -> subprocess.CompletedProcess[str]:
    """Runs Ansible as a user does, with the site's file."""
    file = site.directory / f"{site.name}.yml"
    file.write_text(yaml.safe_dump({"site": site.overrides}))
    result = subprocess.run(
        [Path(sys.executable).parent / program, f"-e@{file}", *arguments],
        cwd=REPOSITORY,
        text=True,
        capture_output=True,
        check=False,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1"},
    )
    assert "Traceback" not in result.stdout + result.stderr, result.stdout + result.stderr
    assert bool(result.returncode) == fails, result.stdout + result.stderr
    return result


def play(site: Site, *arguments: str, fails: bool = False) -> str:
    """Runs a verb and returns what it printed."""
    playbook, *options = arguments
    result = command(site, "ansible-playbook", f"playbooks/{playbook}.yml", *options, fails=fails)
    return result.stdout + result.stderr


def inventory(site: Site) -> tuple[dict, str]:
    """The inventory and its warnings."""
    result = command(site, "ansible-inventory", "--list")
    return json.loads(result.stdout), " ".join(result.stderr.split())


@pytest.fixture(scope="module")
def site(make_site) -> Iterator[Site]:
    """A whole site in the file, with nothing in the cloud yet."""
    site = make_site()
    site.overrides["hosts"] = [
        {
            "name": name,
            "groups": groups,
            "flavor": "m1.small",
            "public": name == "proxy",
            "volumes": [{"name": volume, "gib": 1, "mount": mount} for volume, mount in volumes.items()]
            + ([{"name": "data", "absent": True}] if name == "primary" else []),
        }
        for name, (groups, volumes) in HOSTS.items()
    ]
    site.hosts["replica"]["count"] = 2
    yield site
    shutil.rmtree(REPOSITORY / "state" / site.name, ignore_errors=True)


@pytest.fixture(scope="module")
def deployed(site: Site) -> Site:
    """The site in the cloud."""
    play(site, "provision", "--limit", "localhost")
    site.public_key = (REPOSITORY / "state" / site.name / "ssh" / "id_ed25519.pub").read_text()
    return site


def test_a_sound_site_is_sound_in_its_cloud(site: Site) -> None:
    assert f"Site {site.name} is sound" in play(site, "validate")


def test_validate_names_all_that_the_cloud_does_not_have(make_site, site: Site) -> None:
    wrong = make_site()
    wrong.overrides = {
        **site.overrides,
        "name": wrong.name,
        "openstack": {**site.openstack, "image": "Debian13", "volume_type": "fats", "network": {"external": "pubic"}},
    }
    wrong.overrides["hosts"] = [{**host, "flavor": "m1.smal"} for host in site.overrides["hosts"]]
    said = play(wrong, "validate", fails=True)
    for words in ("'Debian13'", "'fats'", "'pubic'", "'m1.smal'", "did you mean", "Debian 13"):
        assert words in said, said
    assert "changed=0" in said
    assert not wrong.names()


def test_the_plan_of_a_new_site_writes_nothing(site: Site) -> None:
    said = play(site, "provision", "--check", "--diff")
    assert f"create  server          {site.name}-database" in said, said
    assert not site.names()
    assert not (REPOSITORY / "state" / site.name).exists()


def test_a_second_run_changes_nothing(deployed: Site) -> None:
    said = play(deployed, "provision", "--limit", "localhost")
    assert "changed=0" in said, said


def test_every_host_has_its_address_and_its_volumes_by_identity(deployed: Site) -> None:
    listing, warnings = inventory(deployed)
    hosts = listing["_meta"]["hostvars"]
    assert listing["site"]["hosts"] == [
        f"{deployed.name}-{name}" for name in ("database", "primary", "replica1", "replica2", "proxy")
    ]
    assert "WARNING" not in warnings
    for name, offset in (("database", 16), ("primary", 32), ("replica1", 48), ("replica2", 49), ("proxy", 64)):
        variables = hosts[f"{deployed.name}-{name}"]
        assert variables["host_address"] == f"192.168.77.{offset}"
        assert variables["ansible_host"] == f"{deployed.name}-{name}"
    identity = deployed.volume("database-db").id
    assert hosts[f"{deployed.name}-database"]["host_volumes"][0]["device"] == f"/dev/disk/by-id/*{identity[:20]}*"
    floating = deployed.listing()["address"][0].floating_ip_address
    shared = hosts["localhost"]
    assert shared["site_public_address"] == shared["site_bastion_address"] == floating
    assert shared["site_cloud_problem"] == ""


def test_people_and_ansible_reach_the_hosts_by_the_same_configuration(deployed: Site) -> None:
    listing, _warnings = inventory(deployed)
    directory = REPOSITORY / "state" / deployed.name / "ssh"
    names = listing["site"]["hosts"]
    shared = listing["_meta"]["hostvars"]["localhost"]
    for name in names:
        assert listing["_meta"]["hostvars"][name]["ansible_ssh_common_args"] == f"-F {directory}/config"
        shown = subprocess.run(
            ["ssh", "-F", directory / "config", "-G", name], capture_output=True, text=True, check=True
        ).stdout
        settings = dict(line.split(" ", 1) for line in shown.splitlines())
        bastion = name.endswith("-proxy")
        assert settings["hostname"] == (
            shared["site_bastion_address"] if bastion else listing["_meta"]["hostvars"][name]["host_address"]
        )
        # Not ProxyJump, which would hand the path of the configuration on without quotes.
        jump = f"ssh -F {directory}/config -W [%h]:%p {deployed.name}-proxy"
        assert settings.get("proxycommand") == (None if bastion else jump)
        assert (settings["hostkeyalias"], settings["user"]) == (name, "debian")
        assert settings["stricthostkeychecking"] == "true"
        known = subprocess.run(
            ["ssh-keygen", "-F", name, "-f", settings["userknownhostsfile"]], check=False, capture_output=True
        )
        assert known.returncode == 0
    assert (
        deployed.connection.compute.get_keypair(deployed.name).public_key.split()[:2] == deployed.public_key.split()[:2]
    )


def test_a_new_server_knows_its_host_key(deployed: Site) -> None:
    user_data = (REPOSITORY / "state" / deployed.name / "ssh" / "user_data" / "proxy.yml").read_text()
    told = yaml.safe_load(user_data)
    public = (REPOSITORY / "state" / deployed.name / "ssh" / "host_keys" / "proxy.pub").read_text()
    assert told["ssh_keys"]["ed25519_public"] in public


def test_a_server_that_the_file_does_not_name_is_reported_and_left_alone(deployed: Site) -> None:
    deployed.hosts["replica"]["count"] = 1
    try:
        listing, warnings = inventory(deployed)
        assert f"{deployed.name}-replica2" not in listing["_meta"]["hostvars"]
        assert f"the server {deployed.name}-replica2 belongs to the site, but its file has no host" in warnings
        before = deployed.names()
        play(deployed, "provision", "--limit", "localhost")
        assert deployed.names() == before
        assert deployed.server("replica2").status == "ACTIVE"
    finally:
        deployed.hosts["replica"]["count"] = 2


def test_two_sites_of_one_project_do_not_see_each_other(deployed: Site, make_site) -> None:
    other = make_site()
    # A name that begins like the first one's.
    other.name = other.overrides["name"] = f"{deployed.name}-b"
    other.overrides["hosts"] = deployed.overrides["hosts"]
    listing, warnings = inventory(other)
    assert "WARNING" not in warnings
    assert listing["_meta"]["hostvars"]["localhost"]["site_bastion_address"] == ""
    assert "device" not in listing["_meta"]["hostvars"][f"{other.name}-database"]["host_volumes"][0]
