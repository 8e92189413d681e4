# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Volumes of other sites, on real loop devices: run by `bin/test storage`."""

from __future__ import annotations

import pytest

from tests.storage.conftest import DATA, OTHER, Host, Loop, actions

MARKER = "/srv/data/.imaging-repository-volume"


@pytest.mark.parametrize("kind", ["xfs", "ext4"])
def test_a_volume_of_another_site_is_refused_until_it_is_adopted(host: Host, data: Loop, kind: str) -> None:
    volume = {**DATA, "file_system": kind}
    assert actions(host.volumes(volume, site="idr126")) == [["format", "unit", "mount", "mark"]]
    assert host.command("cat", MARKER) == "site=idr126\nvolume=data"
    host.command("sh", "-c", "echo kept > /srv/data/file")
    assert actions(host.volumes(volume, site="idr126")) == [[]]

    # Mounted, and then on another host, where nothing but the device tells.
    assert "is the volume data of the site idr126" in host.volumes(volume, site="idr127")["msg"]
    host.forget()
    before = data.checksum()
    for check in (True, False):
        refused = host.volumes(volume, site="idr127", check=check)
        assert "is the volume data of the site idr126; nothing was written" in refused["msg"]
        assert "adopt: idr126" in refused["msg"]
    wrong = host.volumes({**volume, "adopt": "idr125"}, site="idr127")
    assert "of the site idr126" in wrong["msg"]
    adopted = {**volume, "adopt": "idr126"}
    planned = host.volumes(adopted, site="idr127", check=True)
    assert actions(planned) == [["unit", "mount", "mark"]] and "of the site idr126" in planned["diff"]["before"]
    assert data.checksum() == before

    assert actions(host.volumes(adopted, site="idr127")) == [["unit", "mount", "mark"]]
    assert host.command("cat", MARKER) == "site=idr127\nvolume=data"
    assert host.command("cat", "/srv/data/file") == "kept"
    # The word may stay, and may go.
    assert actions(host.volumes(adopted, site="idr127")) == [[]]
    assert actions(host.volumes(volume, site="idr127")) == [[]]
    assert "of the site idr127" in host.volumes(volume, site="idr126")["msg"]


def test_a_volume_made_before_volumes_named_their_site_is_the_sites(host: Host, data: Loop) -> None:
    assert actions(host.volumes(DATA)) == [["format", "unit", "mount"]]
    host.forget()
    assert actions(host.volumes(DATA, site="idr127", check=True)) == [["unit", "mount", "mark"]]
    assert actions(host.volumes(DATA, site="idr127")) == [["unit", "mount", "mark"]]
    assert actions(host.volumes(DATA, site="idr127")) == [[]]
    assert "of the site idr127" in host.volumes(DATA, site="idr126")["msg"]


def test_a_copy_of_another_sites_volume_becomes_this_sites(host: Host, data: Loop) -> None:
    host.volumes(DATA, site="idr126")
    host.forget()
    assert actions(host.volumes({**DATA, "copy": True}, site="idr127")) == [["unit", "mount", "mark"]]
    assert host.command("cat", MARKER) == "site=idr127\nvolume=data"


def test_nothing_is_written_to_a_site_volume_beside_a_strangers(host: Host, data: Loop, other: Loop) -> None:
    host.volumes(DATA, site="idr126")
    host.forget()
    before = other.checksum()
    assert host.volumes(DATA, OTHER, site="idr127")["failed"]
    assert other.checksum() == before and host.command("ls", "/srv") == ""
