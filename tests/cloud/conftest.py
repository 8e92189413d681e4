# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A real OpenStack control plane to test against: see README.md. Each test makes sites of its own and removes them.

The module runs as Ansible runs it, as a program with its arguments in a file; what it did is read back through
openstacksdk's own calls, not through the project's code.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import openstack
import pytest

from plugins.module_utils.site import site_firewall
from plugins.plugin_utils import features

REPOSITORY = Path(__file__).resolve().parents[2]
# Another file may be named, as for every client of OpenStack.
CLOUDS = Path(os.environ.get("OS_CLIENT_CONFIG_FILE", REPOSITORY / ".cache/cloud/clouds.yaml"))
MODULE = "plugins/modules/openstack_site.py"


@pytest.fixture(scope="session", autouse=True)
def clouds() -> Path:
    """The clouds.yaml of the test clouds, for all that runs here."""
    if not CLOUDS.exists():
        pytest.fail(f"{CLOUDS} is missing; start the test cloud with tests/cloud/up", pytrace=False)
    os.environ["OS_CLIENT_CONFIG_FILE"] = str(CLOUDS)
    return CLOUDS


@pytest.fixture(scope="session")
def public_key(tmp_path_factory) -> str:
    """A public key that nova accepts."""
    file = tmp_path_factory.mktemp("ssh") / "id_ed25519"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", file], check=True)
    return file.with_suffix(".pub").read_text()


class Site:
    """A site of a test: its file, the module on it, and what the cloud has of it."""

    def __init__(self, directory: Path, public_key: str, connection, cloud: str = "embassy"):
        self.directory, self.public_key, self.connection, self.cloud = directory, public_key, connection, cloud
        self.name = f"t{random.randrange(16**8):08x}"
        self.overrides = {
            "name": self.name,
            "provider": "openstack",
            "openstack": {
                "cloud": cloud,
                "image": "Debian 13",
                "new_address": True,
                "ssh_from": ["172.16.0.0/12"],
                "network": {"external": "public"},
            },
            "public": {"name": "images.example.org"},
            "hosts": [
                {
                    "name": "database",
                    "groups": ["database"],
                    "flavor": "m1.small",
                    "volumes": [{"name": "db", "gib": 1, "mount": "/var/lib/postgresql"}],
                },
                {
                    "name": "proxy",
                    "groups": ["cache", "bastion"],
                    "flavor": "m1.small",
                    "public": True,
                    "volumes": [{"name": "cache", "gib": 1, "mount": "/var/cache/nginx"}],
                },
            ],
        }

    @property
    def openstack(self) -> dict:
        return self.overrides["openstack"]

    @property
    def hosts(self) -> dict[str, dict]:
        return {host["name"]: host for host in self.overrides["hosts"]}

    def start(self, state: str = "present", check: bool = False, **parameters) -> subprocess.Popen:
        """The module, running."""
        schema = features.read().schema
        site = schema.effective(None, self.overrides)
        arguments = {
            "site": site,
            "firewall": site_firewall(schema, site),
            "spread": ["image_server_replica"],
            "bastion": "proxy",
            "state": state,
            "public_key": self.public_key,
            "lock_file": str(self.directory / f"{self.name}.lock"),
            "_ansible_check_mode": check,
            "_ansible_diff": True,
            **parameters,
        }
        file = self.directory / f"{self.name}-{random.randrange(16**8):08x}.json"
        file.write_text(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        return subprocess.Popen(
            [sys.executable, MODULE, str(file)],
            cwd=REPOSITORY,
            text=True,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": "collections"},
        )

    def run(self, **options) -> dict:
        """What the module returned, of a run that must succeed."""
        result = self.attempt(**options)
        assert not result.get("failed"), result["msg"]
        return result

    def attempt(self, **options) -> dict:
        """What the module returned."""
        output, errors = self.start(**options).communicate(timeout=600)
        assert output.strip(), errors
        assert "Traceback" not in errors, errors
        return json.loads(output.strip().splitlines()[-1])

    def listing(self) -> dict[str, list]:
        """All that has the name of the site, by kind."""
        found = {
            "server": self.connection.compute.servers(),
            "volume": self.connection.block_storage.volumes(),
            "snapshot": self.connection.block_storage.snapshots(),
            "key pair": self.connection.compute.keypairs(),
            "server group": self.connection.compute.server_groups(),
            "network": self.connection.network.networks(),
            "subnet": self.connection.network.subnets(),
            "router": self.connection.network.routers(),
            "port": self.connection.network.ports(),
            "security group": self.connection.network.security_groups(),
        }
        named = {
            kind: [
                resource
                for resource in resources
                if resource.name == self.name or (resource.name or "").startswith(f"{self.name}-")
            ]
            for kind, resources in found.items()
        }
        named["address"] = [
            address
            for address in self.connection.network.ips()
            if address.description == f"imaging.repository site {self.name}"
        ]
        return named

    def names(self) -> Counter:
        """How many there are of each kind and name; addresses, which the cloud chooses, without a name."""
        return Counter(
            (kind, "" if kind == "address" else resource.name)
            for kind, resources in self.listing().items()
            for resource in resources
        )

    def server(self, host: str):
        return next(server for server in self.listing()["server"] if server.name == f"{self.name}-{host}")

    def volume(self, name: str):
        return next(volume for volume in self.listing()["volume"] if volume.name == f"{self.name}-{name}")

    def destroy(self) -> None:
        """Removes the site with all its volumes, through the module itself."""
        data = [resource.name for kind in ("volume", "snapshot") for resource in self.listing()[kind]]
        self.run(state="absent", destroy_volumes=data)


@pytest.fixture(scope="session")
def connection(clouds):
    """The cloud as its users see it."""
    return openstack.connect(cloud="embassy")


@pytest.fixture(scope="module")
def make_site(tmp_path_factory, public_key, connection) -> Iterator:
    """Makes a site that is destroyed after the module's tests."""
    made = []

    def make() -> Site:
        made.append(Site(tmp_path_factory.mktemp("site"), public_key, connection))
        return made[-1]

    yield make
    # A volume goes only after the snapshots of it, which later sites may have made.
    for site in reversed(made):
        site.destroy()


@pytest.fixture
def site(make_site) -> Iterator[Site]:
    """A site of one test."""
    return make_site()
