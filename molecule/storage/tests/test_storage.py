# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The volumes of the hosts are mounted, by units that a boot does not wait for."""

from __future__ import annotations

import pytest

testinfra_hosts = ["ansible://site"]


def volumes_of(host) -> list[dict]:
    """The volumes that the inventory says this host has."""
    volumes = host.ansible.get_variables().get("host_volumes") or []
    if not volumes:
        pytest.skip("this host has no volume")
    return volumes


def test_every_volume_is_mounted_from_its_own_device(host) -> None:
    for volume in volumes_of(host):
        mount = host.check_output(f"findmnt --noheadings --raw --output FSTYPE,LABEL,MAJ:MIN {volume['mount']}").split()
        number = host.check_output(f"stat --dereference --format %Hr:%Lr {volume['device']}")
        assert mount == [volume.get("file_system", "xfs"), f"ir-{volume['name']}", number]


def test_volumes_use_the_whole_device(host) -> None:
    for volume in volumes_of(host):
        size_bytes = int(host.check_output(f"findmnt --noheadings --bytes --output SIZE {volume['mount']}"))
        assert size_bytes > 0.9 * volume["gib"] * 1024**3


def test_boot_does_not_wait_for_volumes_but_services_do(host) -> None:
    for volume in volumes_of(host):
        unit = host.check_output(f"systemd-escape --path --suffix=mount {volume['mount']}")
        needed = host.check_output("systemctl list-dependencies --plain --all local-fs.target sysinit.target")
        assert unit not in needed
        assert host.check_output(f"systemctl is-enabled '{unit}'") == "enabled"
        probe = f"systemd-run --wait --quiet --property=RequiresMountsFor={volume['mount']} findmnt {volume['mount']}"
        assert host.run(probe).rc == 0


def test_mounting_again_after_a_stop_brings_the_data_back(host) -> None:
    for volume in volumes_of(host):
        unit = host.check_output(f"systemd-escape --path --suffix=mount {volume['mount']}")
        if host.run(f"fuser --mount --silent {volume['mount']}").rc == 0:
            pytest.skip("a service uses the volume already")
        host.run_expect([0], f"touch {volume['mount']}/kept && systemctl stop '{unit}' && systemctl start '{unit}'")
        assert host.file(f"{volume['mount']}/kept").exists
        host.run_expect([0], f"rm {volume['mount']}/kept")
