# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The same site at another cloud: a second file says in a few lines what the clouds name differently."""

from __future__ import annotations

import random
import shutil
from collections.abc import Iterator

import openstack
import pytest
import yaml

from tests.cloud.verbs import REPOSITORY, play

EMBASSY = """\
site:
  name: {name}
  provider: openstack
  openstack:
    cloud: embassy
    image: Debian 13
    volume_type: fast
    new_address: true
    ssh_from: [172.16.0.0/12]
    network: {{external: public}}
  public: {{name: images.example.org}}
  hosts:
    - {{name: database, flavor: m1.medium, volumes: [{{name: db, gib: 2}}]}}
    - {{name: primary, flavor: m1.small, volumes: [{{name: data, gib: 3}}]}}
    - {{name: replica, flavor: m1.small, count: 2}}
    - {{name: proxy, flavor: m1.small, volumes: [{{name: cache, gib: 1}}]}}
"""
DUNDEE = """\
site:
  name: {name}d
  base: {name}
  openstack: {{cloud: dundee, image: debian-13-genericcloud, volume_type: ceph, availability_zone: hall,
              network: {{external: ext-net}}}}
  hosts:
    - {{name: database, flavor: c2.medium}}
    - {{name: primary, flavor: c2.small}}
    - {{name: replica, flavor: c2.small}}
    - {{name: proxy, flavor: c2.small}}
"""


@pytest.fixture
def name() -> Iterator[str]:
    """The name of a site whose files stand in vars/, where a base is looked for."""
    name = f"t{random.randrange(16**8):08x}"
    files = {REPOSITORY / f"vars/{name}.yml": EMBASSY, REPOSITORY / f"vars/{name}d.yml": DUNDEE}
    try:
        for file, text in files.items():
            file.write_text(text.format(name=name))
        yield name
        for site in (name, f"{name}d"):
            volumes = ",".join(f"{site}-{volume}" for volume in ("database-db", "primary-data", "proxy-cache"))
            run = play(
                "destroy", "-e", f"@vars/{site}.yml", "-e", f"confirm={site}", "-e", f"destroy_volumes={volumes}"
            )
            assert run.returncode == 0, run.stdout
    finally:
        for file in files:
            file.unlink()
            shutil.rmtree(REPOSITORY / "state" / file.stem, ignore_errors=True)


def listing(cloud: str, site: str) -> tuple[dict[str, str], dict[str, tuple[int, str, str]]]:
    """The flavors of a site's servers, and sizes, types and zones of its volumes."""
    with openstack.connect(cloud=cloud) as connection:
        servers = {
            server.name.removeprefix(f"{site}-"): server.flavor.name
            for server in connection.compute.servers()
            if server.name.startswith(f"{site}-") and server.status == "ACTIVE"
        }
        volumes = {
            volume.name.removeprefix(f"{site}-"): (volume.size, volume.volume_type, volume.availability_zone)
            for volume in connection.block_storage.volumes()
            if volume.name.startswith(f"{site}-")
        }
    return servers, volumes


@pytest.mark.slow
def test_ten_lines_are_the_same_site_at_another_cloud(name):
    assert len(DUNDEE.splitlines()) <= 10 and yaml.safe_load(DUNDEE.format(name=name))
    flavors = {"embassy": "m1", "dundee": "c2"}
    # Dundee attaches a volume only within a zone, and makes it in another one where nobody names the servers'.
    clouds = ((name, "embassy", "fast", "nova"), (f"{name}d", "dundee", "ceph", "hall"))
    for site, cloud, volume_type, zone in clouds:
        for verb in ("validate", "provision"):
            run = play(verb, "-e", f"@vars/{site}.yml", "--limit", "localhost")
            assert run.returncode == 0, run.stdout
        servers, volumes = listing(cloud, site)
        assert servers == {
            "database": f"{flavors[cloud]}.medium",
            **dict.fromkeys(("primary", "replica1", "replica2", "proxy"), f"{flavors[cloud]}.small"),
        }
        assert volumes == {
            "database-db": (2, volume_type, zone),
            "primary-data": (3, volume_type, zone),
            "proxy-cache": (1, volume_type, zone),
        }
        again = play("provision", "-e", f"@vars/{site}.yml", "--limit", "localhost")
        assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout
