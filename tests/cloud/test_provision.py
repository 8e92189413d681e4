# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""openstack_site on a real control plane: what it makes, what it changes, what it refuses, and what it survives."""

from __future__ import annotations

import os
import random
import subprocess
import time

import openstack
import pytest
import yaml

WRITES = ("POST", "PUT", "DELETE")
CONTAINER = "imaging-repository-cloud-embassy"


def writes(result: dict) -> int:
    return sum(result["api_calls"][method] for method in WRITES)


def actions(result: dict) -> set[str]:
    return {step["action"] for step in result["plan"]}


def step(result: dict, kind: str, name: str) -> dict:
    return next(entry for entry in result["plan"] if (entry["kind"], entry["name"]) == (kind, name))


@pytest.fixture(scope="module")
def shared(make_site):
    """A deployed site, for the tests that leave it as they found it or say what they change."""
    site = make_site()
    site.result = site.run(user_data={"database": "#cloud-config\n{}\n"})
    return site


# --- Create, and no change ----------------------------------------------------------------------------------------


def test_check_mode_of_a_new_site_writes_nothing(site):
    result = site.run(check=True)
    assert writes(result) == 0 and actions(result) == {"create"} and result["changed"]
    assert result["missing_hosts"] == [f"{site.name}-database", f"{site.name}-proxy"]
    assert f"create  server          {site.name}-database" in result["diff"]["after"]
    assert not site.names()


def test_a_site_is_made_whole(shared):
    assert set(shared.names().values()) == {1}
    assert {kind for kind, _name in shared.names()} == {
        "server",
        "volume",
        "key pair",
        "network",
        "subnet",
        "router",
        "port",
        "security group",
        "address",
    }
    assert shared.result["missing_hosts"] == [] and shared.result["strangers"] == []
    for host in ("database", "proxy"):
        server, told = shared.server(host), shared.result["servers"][host]
        assert (server.status, server.id) == ("ACTIVE", told["id"])
        assert server.metadata["imaging_repository_site"] == shared.name
        addresses = [entry["addr"] for entry in server.addresses[shared.name] if entry["OS-EXT-IPS:type"] == "fixed"]
        assert addresses == [told["address"]]
    volume = shared.volume("database-db")
    assert volume.status == "in-use" and volume.attachments[0]["server_id"] == shared.server("database").id
    assert shared.result["servers"]["database"]["volumes"] == {"db": volume.id}
    address = shared.listing()["address"][0]
    assert address.floating_ip_address == shared.result["servers"]["proxy"]["floating_ip"]
    assert address.fixed_ip_address == shared.result["servers"]["proxy"]["address"]
    assert shared.result["servers"]["database"]["floating_ip"] == ""


def test_only_what_the_site_needs_is_open(shared):
    groups = {group.name: group for group in shared.listing()["security group"]}
    names = {group.id: name for name, group in groups.items()}
    rules = {
        (name, rule["protocol"], rule["port_range_min"], names.get(rule["remote_group_id"]), rule["remote_ip_prefix"])
        for name, group in groups.items()
        for rule in group.security_group_rules
        if rule["direction"] == "ingress"
    }
    site = shared.name
    assert rules == {
        (site, "tcp", 22, f"{site}-bastion", None),
        (site, "icmp", 8, site, None),
        (f"{site}-bastion", "tcp", 22, None, "172.16.0.0/12"),
        *((f"{site}-public", "tcp", port, None, network) for port in (443, 80) for network in ("0.0.0.0/0", "::/0")),
    }
    port = next(port for port in shared.listing()["port"] if port.name == f"{site}-database")
    assert {names[group] for group in port.security_group_ids} == {site, f"{site}-database"}


def test_a_second_run_changes_nothing_and_only_reads(shared):
    result = shared.run()
    assert not result["changed"] and actions(result) == {"keep"} and writes(result) == 0
    assert result["servers"] == shared.result["servers"]


# --- Change -------------------------------------------------------------------------------------------------------


def test_each_attribute_is_changed_in_place(site):
    site.run()
    before = site.server("database").id
    site.openstack["ssh_from"] = ["198.51.100.0/24"]
    site.openstack["network"]["dns"] = ["192.0.2.53"]
    site.hosts["database"]["groups"] = ["database", "image_server_primary"]
    site.hosts["database"]["volumes"][0]["gib"] = 2
    site.hosts["database"]["volumes"].append({"name": "data", "gib": 1, "mount": "/srv/images"})
    site.overrides["hosts"].append(
        {"name": "replica", "count": 2, "groups": ["image_server_replica"], "flavor": "m1.small", "boot_volume_gib": 3}
    )
    connection = site.connection
    connection.compute.stop_server(before)
    connection.compute.wait_for_server(connection.compute.get_server(before), status="SHUTOFF", interval=1)
    result = site.run()
    assert "refuse" not in actions(result)
    assert step(result, "volume", f"{site.name}-database-db")["detail"] == "1 -> 2 GiB"
    assert step(result, "server", f"{site.name}-database")["detail"] == "start"
    volume = site.volume("database-db")
    assert (volume.size, volume.status) == (2, "in-use")
    assert site.volume("database-data").status == "in-use"
    assert (site.server("database").id, site.server("database").status) == (before, "ACTIVE")
    group = next(group for group in site.listing()["server group"])
    assert group.policy == "soft-anti-affinity"
    assert set(group.member_ids) == {site.server("replica1").id, site.server("replica2").id}
    # The cloud has one machine.
    together = f"{site.name}-replica1, {site.name}-replica2 run on one machine of the cloud, and fall with it"
    assert any(together in str(warning) for warning in site.run(check=True)["warnings"])
    bastion = next(group for group in site.listing()["security group"] if group.name == f"{site.name}-bastion")
    assert [rule["remote_ip_prefix"] for rule in bastion.security_group_rules if rule["direction"] == "ingress"] == [
        "198.51.100.0/24"
    ]
    assert site.listing()["subnet"][0].dns_nameservers == ["192.0.2.53"]
    assert set(site.names().values()) == {1}
    again = site.run()
    assert not again["changed"] and writes(again) == 0
    # Hosts that the file names no more are left alone and said; what was open for them is closed.
    site.overrides["hosts"].pop()
    fewer = site.run()
    assert fewer["strangers"] == [f"{site.name}-replica1", f"{site.name}-replica2"]
    assert {entry["kind"] for entry in fewer["plan"] if entry["action"] == "change"} == {"security group"}
    assert site.server("replica1").status == site.server("replica2").status == "ACTIVE"


def test_what_would_lose_something_is_refused_all_at_once(shared):
    kept = shared.overrides
    try:
        shared.overrides = {
            **kept,
            "openstack": {**kept["openstack"], "image": "Other"},
            "hosts": [{**kept["hosts"][0], "flavor": "m1.medium", "boot_volume_gib": 5}, kept["hosts"][1]],
        }
        for check in (True, False):
            result = shared.attempt(check=check)
            assert result["failed"] and writes(result) == 0
            for words in (
                "was made from the image Debian 13",
                "openstack server resize",
                "boots from the flavor's own disk",
            ):
                assert words in result["msg"]
    finally:
        shared.overrides = kept


def test_a_failed_server_is_made_anew_only_by_name(site):
    site.run()
    before = site.server("database").id
    with openstack.connect(cloud="embassy-admin") as admin:
        admin.compute.reset_server_state(before, "error")
    refused = site.attempt()
    assert refused["failed"] and writes(refused) == 0
    assert f"server {site.name}-database: is in ERROR" in refused["msg"]
    assert "-e recreate_failed=database" in refused["msg"]
    volume = site.volume("database-db").id
    result = site.run(recreate_failed=["database"])
    assert step(result, "server", f"{site.name}-database")["action"] == "recreate"
    assert site.server("database").status == "ACTIVE" and site.server("database").id != before
    assert site.volume("database-db").id == volume
    assert site.volume("database-db").attachments[0]["server_id"] == site.server("database").id
    assert set(site.names().values()) == {1}


# --- What is not ours ---------------------------------------------------------------------------------------------


def test_what_others_made_is_refused_until_it_is_adopted(site):
    connection, name = site.connection, f"{site.name}-database-db"
    volume = connection.block_storage.create_volume(name=name, size=1)
    network = connection.network.create_network(name=site.name)
    connection.block_storage.wait_for_status(volume, "available", interval=1)
    refused = site.attempt()
    assert refused["failed"] and writes(refused) == 0
    for identifier in (volume.id, network.id):
        assert f"exists as {identifier} and is not ours" in refused["msg"]
    site.openstack["adopt"] = [name, site.name]
    site.run()
    assert site.volume("database-db").id == volume.id and site.listing()["network"][0].id == network.id
    assert set(site.names().values()) == {1}
    site.openstack["adopt"] = []
    assert not site.run()["changed"]


def test_two_sites_in_one_project_leave_each_other_alone(shared, site):
    before = shared.listing()
    site.run()
    assert shared.run()["changed"] is False
    site.destroy()
    assert not site.names()
    after = shared.listing()
    assert {kind: sorted(entry.id for entry in entries) for kind, entries in before.items()} == {
        kind: sorted(entry.id for entry in entries) for kind, entries in after.items()
    }


# --- What the cloud does not have ---------------------------------------------------------------------------------


def test_unknown_names_are_told_all_at_once(site):
    site.openstack.update(image="Debian13", availability_zone="mars", volume_type="quick")
    site.openstack["network"]["external"] = "publik"
    site.hosts["proxy"]["flavor"] = "m1.smal"
    site.hosts["database"]["volumes"][0]["from"] = "old-db"
    result = site.attempt()
    assert result["failed"] and writes(result) == 0
    for words in (
        "there is no image 'Debian13' in cloud embassy; did you mean 'Debian 13'?",
        "there is no external network 'publik' in cloud embassy; did you mean 'public'?",
        "there is no flavor 'm1.smal' in cloud embassy; did you mean 'm1.small'?",
        "there is no volume type 'quick'",
        "there is no availability zone 'mars'",
        "there is no volume or snapshot 'old-db'",
    ):
        assert words in result["msg"]


def test_a_quota_too_small_is_told_with_numbers_before_anything_is_made(site):
    with openstack.connect(cloud="embassy-admin") as admin:
        project = site.connection.current_project_id
        before = {
            "instances": admin.compute.get_quota_set(project).instances,
            "volumes": admin.block_storage.get_quota_set(project).volumes,
            "ports": admin.network.get_quota(project).ports,
        }
        used = len(list(site.connection.compute.servers()))
        volumes = len(list(site.connection.block_storage.volumes()))
        ports = len(list(site.connection.network.ports(project_id=project)))
        try:
            admin.compute.update_quota_set(project, instances=used + 1)
            admin.block_storage.update_quota_set(project, volumes=volumes, gigabytes_fast=0)
            site.hosts["proxy"]["volumes"][0]["type"] = "fast"
            admin.network.update_quota(project, ports=ports + 1)
            result = site.attempt()
        finally:
            admin.compute.update_quota_set(project, instances=before["instances"])
            admin.block_storage.update_quota_set(project, volumes=before["volumes"], gigabytes_fast=-1)
            admin.network.update_quota(project, ports=before["ports"])
    assert result["failed"] and writes(result) == 0
    assert f"needs 2 more servers, the project may have {used + 1} and uses {used}" in result["msg"]
    assert f"needs 2 more volumes, the project may have {volumes} and uses {volumes}" in result["msg"]
    assert "needs 1 more GiB of volumes of type fast, the project may have 0 and uses" in result["msg"]
    assert f"needs 3 more ports, the project may have {ports + 1} and uses {ports}" in result["msg"]


def test_a_password_that_is_no_longer_right_is_a_sentence(site, clouds, tmp_path, monkeypatch):
    content = yaml.safe_load(clouds.read_text())
    content["clouds"]["embassy"]["auth"]["password"] = "expired"
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump(content))
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    result = site.attempt()
    assert result["failed"] and result["msg"].startswith("cloud embassy: identity: the login was refused")
    site.overrides["openstack"]["cloud"] = "atlantis"
    assert "clouds.yaml does not say how to reach 'atlantis'" in site.attempt()["msg"]
    site.overrides["openstack"]["cloud"] = "embassy"
    monkeypatch.undo()


# --- Clones and removal -------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_a_volume_in_use_is_cloned_and_the_original_stays(shared, site):
    source = shared.volume("database-db")
    site.hosts["database"]["volumes"][0].update({"from": source.name, "gib": 2})
    result = site.run()
    assert step(result, "snapshot", f"{site.name}-database-db-source")["action"] == "create"
    snapshot = site.listing()["snapshot"][0]
    volume = site.volume("database-db")
    assert (snapshot.volume_id, snapshot.status) == (source.id, "available")
    assert (volume.snapshot_id, volume.size, volume.status) == (snapshot.id, 2, "in-use")
    assert shared.volume("database-db").status == "in-use"
    assert not site.run()["changed"]


def test_destroy_keeps_volumes_and_a_redeploy_finds_them(site):
    site.run()
    volumes = {volume.name: volume.id for volume in site.listing()["volume"]}
    plan = site.run(state="absent", check=True)
    assert writes(plan) == 0 and "ACTIVE, " in step(plan, "server", f"{site.name}-proxy")["detail"]
    refused = site.attempt(state="absent", destroy_volumes=["somebody-elses"])
    assert refused["failed"] and writes(refused) == 0 and "no volume or snapshot 'somebody-elses'" in refused["msg"]
    site.run(state="absent")
    assert set(site.names()) == {("volume", name) for name in volumes}
    assert not site.run(state="absent")["changed"]
    site.run()
    assert {volume.name: volume.id for volume in site.listing()["volume"]} == volumes
    site.run(state="absent", destroy_volumes=[f"{site.name}-database-db"])
    assert set(site.names()) == {("volume", f"{site.name}-proxy-cache")}


# --- Faults -------------------------------------------------------------------------------------------------------


def in_cloud(*command: str) -> None:
    subprocess.run(["docker", "exec", CONTAINER, *command], check=True, capture_output=True)


@pytest.mark.slow
def test_a_run_survives_an_api_that_is_away_for_a_while(site):
    run = site.start()
    # Written once it has listed what there is and begins to write.
    while not site.listing()["network"]:
        assert run.poll() is None, run.communicate()
    in_cloud("systemctl", "stop", "cinder-api")
    try:
        time.sleep(20)
        assert run.poll() is None, run.communicate()
    finally:
        in_cloud("systemctl", "start", "cinder-api")
    output, errors = run.communicate(timeout=300)
    assert run.returncode == 0, output + errors
    assert set(site.names().values()) == {1} and not site.run()["changed"]


@pytest.mark.slow
def test_a_run_that_is_killed_at_any_moment_is_finished_by_the_next(site, capsys):
    kills, outcomes = 0, []
    whole = None
    # After a killed run the next one waits before it begins.
    lock = site.directory / f"{site.name}.lock"
    while kills < 10:
        settle = 5 if lock.exists() and lock.stat().st_size else 0
        run, delay = site.start(), random.uniform(1, 9)
        try:
            run.communicate(timeout=settle + delay)
        except subprocess.TimeoutExpired:
            os.kill(run.pid, 9)
            run.communicate()
            kills += 1
            names = site.names()
            assert not names or max(names.values()) == 1
            outcomes.append(f"killed after {delay:.1f} s: {sum(names.values())} resources, none twice")
            continue
        result, names = site.run(), site.names()
        assert run.returncode == 0 and not result["changed"] and set(names.values()) == {1}
        whole = whole or names
        assert names == whole
        outcomes.append(f"finished by the next run: {len(whole)} resources, none twice")
        if kills < 10:
            # The removal is killed, too.
            removal = site.start(state="absent", destroy_volumes=[volume.name for volume in site.listing()["volume"]])
            time.sleep(random.uniform(0.8, 3))
            removal.kill()
            removal.communicate()
            site.destroy()
            assert not site.names()
    result = site.run()
    assert set(site.names().values()) == {1} and not site.run()["changed"]
    outcomes.append(f"finished by the next run: {len(site.names())} resources, none twice")
    with capsys.disabled():
        print("", *outcomes, sep="\n")
