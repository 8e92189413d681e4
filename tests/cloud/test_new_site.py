# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""new_site.yml on real clouds: the file that it writes is sound for the cloud that it was written for."""

from __future__ import annotations

import random
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest
import yaml

from tests.cloud.verbs import REPOSITORY, play, words


@pytest.fixture
def file() -> Iterator[Path]:
    """A site file that does not exist yet."""
    file = REPOSITORY / "vars" / f"t{random.randrange(16**8):08x}.yml"
    yield file
    file.unlink(missing_ok=True)


@pytest.mark.parametrize(
    ("cloud", "image", "network", "flavors"),
    [
        ("embassy", "Debian 13", "public", "m1."),
        pytest.param("dundee", "debian-13-genericcloud", "ext-net", "c2.", marks=pytest.mark.slow),
    ],
)
def test_the_file_fits_its_cloud(file, cloud, image, network, flavors):
    try:
        openstack.connect(cloud=cloud).authorize()
    except openstack.exceptions.SDKException:
        pytest.fail(f"the test cloud {cloud} does not answer; start it with tests/cloud/up {cloud}", pytrace=False)
    arguments = ["-e", f"cloud={cloud}", "-e", f"name={file.stem}"]
    planned = play("new_site", *arguments, "--check", "--diff")
    assert planned.returncode == 0 and not file.exists(), planned.stdout
    assert f'+    cloud: "{cloud}"' in planned.stdout, planned.stdout

    written = play("new_site", *arguments)
    assert written.returncode == 0, written.stdout
    text = file.read_text()
    site = yaml.safe_load(text)["site"]
    assert site["openstack"]["image"] == image
    assert site["openstack"]["network"]["external"] == network
    assert all(host["flavor"].startswith(flavors) for host in site["hosts"])
    assert "MISSING" not in text, text

    sound = play("validate", "-e", f"@{file}")
    assert sound.returncode == 0, text + sound.stdout

    kept = play("new_site", *arguments)
    assert kept.returncode and "exists, and a site file is never overwritten" in words(kept), kept.stdout
    assert file.read_text() == text


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say for which cloud and under which name"),
        (["-e", "cloud=nowhere", "-e", "name=idr127"], "clouds.yaml does not say how to reach 'nowhere'"),
        (["-e", "cloud=embassy", "-e", "name=IDR_127"], "name: 'IDR_127' is no name of small letters"),
    ],
)
def test_what_cannot_become_a_site_file_is_refused(arguments, sentence):
    refused = play("new_site", *arguments)
    assert refused.returncode and sentence in words(refused), refused.stdout
    assert not (REPOSITORY / "vars" / "IDR_127.yml").exists()
