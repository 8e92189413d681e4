# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""destroy.yml on a real control plane: it lists, asks, keeps the data, and leaves alone what is not the site's."""

from __future__ import annotations

import re
import signal
import time
from collections.abc import Iterator

import pytest

from tests.cloud.verbs import Verbs, words


@pytest.fixture
def verbs(site) -> Iterator[Verbs]:
    """A site that does not exist yet, with its verbs."""
    verbs = Verbs(site)
    yield verbs
    verbs.forget()


def kinds(site) -> set[str]:
    """Of what kinds there is something left."""
    return {kind for kind, _name in site.names()}


@pytest.fixture
def strangers(connection) -> Iterator:
    """Makes what has the name of a site and not its mark."""
    made = []

    def make(site) -> set[tuple[str, str]]:
        made.append(connection.network.create_security_group(name=f"{site.name}-visitors"))
        made.append(connection.block_storage.create_volume(name=f"{site.name}-database-old", size=1))
        return {("security group", made[0].name), ("volume", made[1].name)}

    yield make
    if made:
        connection.network.delete_security_group(made[0])
        connection.block_storage.delete_volume(made[1])
        connection.block_storage.wait_for_delete(made[1], interval=1)


def test_a_site_is_listed_asked_for_removed_and_found_again(verbs, strangers):
    site = verbs.site
    verbs.provision()
    before = site.names()
    volumes = {volume.name: volume.id for volume in site.listing()["volume"]}
    others = strangers(site)

    listed = verbs("destroy", "--check")
    assert listed.returncode == 0, listed.stdout
    for kind, name in (
        ("server", f"{site.name}-proxy"),
        ("network", site.name),
        ("port", f"{site.name}-database"),
        ("security group", f"{site.name}-public"),
        ("key pair", site.name),
    ):
        assert re.search(rf"remove +{kind} +{name}\b", listed.stdout), (kind, listed.stdout)
    assert re.search(r"remove +server .*ACTIVE, (less than a|\d+) minutes? old", listed.stdout), listed.stdout
    assert re.search(r"remove +address +172\.24\.4\.\d+ +allocated by this site", listed.stdout), listed.stdout
    assert re.search(rf"keep +volume +{site.name}-database-db .*its data stays", listed.stdout), listed.stdout

    for arguments in ([], ["-e", f"confirm={site.name}x"]):
        asked = verbs("destroy", *arguments)
        assert asked.returncode and f"nothing was removed: say -e confirm={site.name}" in words(asked), asked.stdout
    wrong = verbs("destroy", "-e", f"confirm={site.name}", "-e", f"destroy_volumes={site.name}-proxy-cache,mars")
    assert wrong.returncode and "no volume or snapshot 'mars'" in words(wrong), wrong.stdout
    assert f"{site.name}-database-db" in wrong.stdout
    everything = verbs("destroy", "-e", f"confirm={site.name}", "-e", "destroy_volumes=true")
    assert everything.returncode and "nothing was changed" in words(everything), everything.stdout
    assert {key: count for key, count in site.names().items() if key in before} == before

    removed = verbs("destroy", "-e", f"confirm={site.name}")
    assert removed.returncode == 0, removed.stdout
    left = site.names()
    assert set(left) == {("volume", name) for name in volumes} | others
    again = verbs("destroy", "-e", f"confirm={site.name}")
    assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout

    verbs.provision()
    assert {name: site.volume(name.removeprefix(f"{site.name}-")).id for name in volumes} == volumes
    assert site.volume("database-db").status == "in-use"

    named = verbs("destroy", "-e", f"confirm={site.name}", "-e", f"destroy_volumes={site.name}-proxy-cache")
    assert named.returncode == 0, named.stdout
    assert set(site.names()) == {("volume", f"{site.name}-database-db")} | others


@pytest.mark.parametrize(
    "seconds", [pytest.param(2, marks=pytest.mark.slow), 6, pytest.param(12, marks=pytest.mark.slow)]
)
def test_a_half_made_site_is_removed(verbs, seconds):
    site = verbs.site
    key = verbs.state / "ssh" / "id_ed25519.pub"
    key.parent.mkdir(parents=True)
    key.write_text(site.public_key)
    running = site.start(lock_file=str(verbs.state / "openstack.lock"))
    time.sleep(seconds)
    running.send_signal(signal.SIGKILL)
    running.communicate()
    removed = verbs("destroy", "-e", f"confirm={site.name}")
    assert removed.returncode == 0, removed.stdout
    assert kinds(site) <= {"volume"}


@pytest.mark.slow
def test_what_others_put_into_the_network_stays_with_the_network(verbs):
    site, connection = verbs.site, verbs.site.connection
    site.run()
    network = site.listing()["network"][0]
    port = connection.network.create_port(network_id=network.id, name="guest")
    try:
        removed = verbs("destroy", "-e", f"confirm={site.name}")
        assert removed.returncode == 0, removed.stdout
        assert "stays: ports that are not this site's use it: guest" in words(removed)
        assert connection.network.get_port(port.id)
        assert "network" in kinds(site) and "server" not in kinds(site)
    finally:
        connection.network.delete_port(port)
    assert verbs("destroy", "-e", f"confirm={site.name}").returncode == 0
    assert kinds(site) <= {"volume", "key pair"}


def test_servers_that_exist_are_refused(verbs, monkeypatch):
    monkeypatch.setattr(
        verbs.site,
        "overrides",
        {
            "name": verbs.site.name,
            "provider": "static",
            "static": {"network": {"cidr": "192.0.2.0/24"}},
            "public": {"name": "images.example.org"},
            "hosts": [
                {
                    "name": "one",
                    "address": "192.0.2.10",
                    "public": True,
                    "groups": ["database", "image_server_primary", "image_server_replica", "cache"],
                },
                *({"name": name, "absent": True} for name in ("database", "primary", "replica", "proxy")),
            ],
        },
    )
    refused = verbs("destroy")
    assert refused.returncode and "were not made by this toolkit" in words(refused), refused.stdout
