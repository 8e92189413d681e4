# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A whole site on virtual machines of a test cloud, from nothing to its removal. The tests build on each other."""

from __future__ import annotations

import json
import os
import re
import shutil
import ssl
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import openstack
import pytest
import yaml

from tests.machines.commands import REPOSITORY, run

SITE_FILE = REPOSITORY / "tests/machines/site.yml"
SITE = yaml.safe_load(SITE_FILE.read_text())["site"]
NAME = SITE["name"]
HOSTS = [f"{NAME}-{host}" for host in ("database", "primary", "replica1", "proxy")]
VOLUMES = [f"{NAME}-database-db", f"{NAME}-primary-data", f"{NAME}-proxy-cache"]
STATE = REPOSITORY / "state" / NAME
DEPLOYED = REPOSITORY / ".cache/machines/site.yml"
# Emulated processors take their time before sudo answers.
ENVIRONMENT = {**os.environ, "ANSIBLE_TIMEOUT": "120"}
SSH = ("ssh", "-F", str(STATE / "ssh/config"), "-o", "BatchMode=yes", "-o", "ConnectTimeout=20")


def play(playbook: str, *arguments: str, file: Path = DEPLOYED, fails: bool = False) -> str:
    """What a verb prints on the site; its seconds are printed as well."""
    started = time.monotonic()
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-playbook")),
            "-i",
            "inventory/",
            "-e",
            f"@{file}",
            f"playbooks/{playbook}.yml",
            *arguments,
        ],
        cwd=REPOSITORY,
        env=ENVIRONMENT,
        text=True,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        check=False,
        timeout=5400,
    )
    print(f"\n{playbook}.yml {' '.join(arguments)}: {time.monotonic() - started:.0f} s")
    assert bool(done.returncode) == fails, done.stdout[-8000:]
    return done.stdout


def changes(output: str) -> dict[str, int]:
    """How much a run changed on each host."""
    lines = output.split("PLAY RECAP")[1].splitlines()
    return {line.split()[0]: int(re.search(r"changed=(\d+)", line)[1]) for line in lines if "changed=" in line}


def write_site(image: str, **keys: object) -> None:
    """Writes the site file that is deployed: the committed one with the image that was built and with other keys."""
    DEPLOYED.parent.mkdir(parents=True, exist_ok=True)
    DEPLOYED.write_text(yaml.safe_dump({"site": {**SITE, "openstack": {**SITE["openstack"], "image": image}, **keys}}))


def on(host: str, command: str, check: bool = True) -> str:
    """The output of a command on a host, reached as people reach it."""
    return run(*SSH, host, command, check=check).strip()


def fetch(path: str) -> bytes:
    """A public answer, through the floating IP, which the certificate names as well."""
    address = next(
        openstack.connect(cloud=SITE["openstack"]["cloud"]).network.ips(description=f"imaging.repository site {NAME}")
    ).floating_ip_address
    context = ssl.create_default_context(cafile=str(STATE / "ca/ca.crt"))
    with urllib.request.urlopen(f"https://{address}{path}", context=context, timeout=120) as answer:
        return answer.read()


def eventually(check, seconds: int = 600):
    """The value of check() as soon as it is true."""
    deadline = time.monotonic() + seconds
    while not (value := check()):
        assert time.monotonic() < deadline, f"not so after {seconds} s"
        time.sleep(5)
    return value


@pytest.fixture(scope="module")
def cloud():
    """The cloud as its users see it."""
    return openstack.connect(cloud=SITE["openstack"]["cloud"])


def test_the_image_that_the_cloud_has_is_kept():
    output = play("image", file=SITE_FILE)
    assert changes(output) == {"localhost": 0}
    write_site(re.search(r"site\.openstack\.image: (imaging-repository-debian-13-\w+)", output)[1])


def test_a_new_site_can_be_planned():
    output = play("site", "--check", "--diff")
    assert all(re.search(rf"create +server +{host}\b", output) for host in HOSTS), output[-4000:]


def test_the_whole_site_is_deployed():
    play("site")
    report = json.loads((STATE / "verify.json").read_text())
    assert report["failed"] == 0 and report["passed"] >= 25


def test_the_gallery_answers_through_the_floating_address():
    studies = json.loads(fetch("/catalogue.json"))["studies"]
    assert len(studies) >= 2
    for study in studies:
        assert fetch(study["thumbnail"])[:2] == b"\xff\xd8"


def test_a_second_run_changes_nothing():
    assert set(changes(play("site")).values()) == {0}


@pytest.mark.parametrize(
    "host, mount", [("database", "/var/lib/postgresql"), ("primary", "/srv/images"), ("proxy", "/var/cache/nginx")]
)
def test_volumes_are_found_by_their_identity(host: str, mount: str):
    device = on(f"{NAME}-{host}", f"findmnt --noheadings --output SOURCE {mount}")
    links = on(f"{NAME}-{host}", f"find -L /dev/disk/by-id -samefile {device}")
    assert "/dev/disk/by-id/virtio-" in links


def test_every_host_comes_back_from_a_reboot_by_itself():
    before = {host: on(host, "cat /proc/sys/kernel/random/boot_id") for host in HOSTS}
    # The bastion last: the others are reached through it.
    for host in HOSTS:
        on(host, "sudo systemctl reboot", check=False)
    for host in reversed(HOSTS):
        eventually(
            lambda name=host: on(name, "cat /proc/sys/kernel/random/boot_id", check=False) not in ("", before[name])
        )
    eventually(
        lambda: (
            subprocess.run(
                [
                    str(Path(sys.executable).with_name("ansible-playbook")),
                    "-i",
                    "inventory/",
                    "-e",
                    f"@{DEPLOYED}",
                    "playbooks/verify.yml",
                ],
                cwd=REPOSITORY,
                env=ENVIRONMENT,
                capture_output=True,
                check=False,
            ).returncode
            == 0
        )
    )
    for host in HOSTS:
        assert on(host, "systemctl --failed --no-legend") == "", host


def test_a_volume_grows_and_keeps_what_is_on_it(cloud):
    """The volume is detached meanwhile: the cinder driver of the test cloud extends no volume that a machine has open."""
    host, before = f"{NAME}-primary", fetch("/catalogue.json")
    on(host, "sudo systemctl stop orthanc nfs-server && sudo umount /srv/images")
    server = cloud.compute.find_server(host)
    volume = cloud.block_storage.find_volume(f"{NAME}-primary-data")
    cloud.compute.delete_volume_attachment(server, volume)
    eventually(lambda: cloud.block_storage.get_volume(volume.id).status == "available")
    hosts = [
        {**entry, "volumes": [{"name": "data", "gib": 2}]} if entry["name"] == "primary" else entry
        for entry in SITE["hosts"]
    ]
    write_site(yaml.safe_load(DEPLOYED.read_text())["site"]["openstack"]["image"], hosts=hosts)
    play("provision")
    play("configure")
    assert int(on(host, "df --output=size -BM /srv/images | tail -1 | tr -d M")) > 1800
    assert json.loads(fetch("/catalogue.json"))["studies"] == json.loads(before)["studies"]
    play("verify")


def test_the_site_is_removed_and_its_volumes_only_by_name():
    output = play("destroy", "-e", f"confirm={NAME}")
    assert all(name in output for name in (*HOSTS, *VOLUMES))
    play("destroy", "-e", f"confirm={NAME}", "-e", f"destroy_volumes={','.join(VOLUMES)}")
    shutil.rmtree(STATE)
