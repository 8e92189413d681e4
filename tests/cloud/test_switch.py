# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The public address between two sites on a real control plane: there, back, cut anywhere, and put back on failure.

The servers of the fake hypervisor run nothing. So the module is tested whole; of switch.yml what ends before the address
moves, what happens when the site does not answer there, and the way back to a site that does: a real web server in the
place of the old site's public host, asked through its floating IP and the cloud's own router.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import re
import subprocess
import time
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from plugins.plugin_utils import features
from tests.cloud.verbs import REPOSITORY, Verbs, run_module, start_module, words

pytestmark = pytest.mark.slow
CONTAINER = "imaging-repository-cloud-embassy"
MODULE = "openstack_address"


@pytest.fixture(scope="module")
def release(make_site, connection) -> Iterator[SimpleNamespace]:
    """An old site that holds the public address, and a new one of the same public address beside it."""
    network = connection.network.find_network("public")
    public = connection.network.create_ip(floating_network_id=network.id, description="of test_switch")
    old, new = Verbs(make_site()), Verbs(make_site())
    for verbs in (old, new):
        verbs.site.overrides["public"]["address"] = public.floating_ip_address
        verbs.provision()
    own = next(connection.network.ips(description=f"imaging.repository site {new.site.name}"))
    yield SimpleNamespace(
        old=old,
        new=new,
        connection=connection,
        public=public.floating_ip_address,
        own=own.floating_ip_address,
        places=[connection.network.get_ip(address.id) for address in (public, own)],
    )
    for verbs in (old, new):
        verbs.site.destroy()
        verbs.forget()
    connection.network.delete_ip(public)


def holders(release) -> dict[str, str]:
    """Which server has which of the two addresses, "" for none."""
    ports = {port.id: port.name for port in release.connection.network.ports()}
    return {
        address.floating_ip_address: ports.get(address.port_id, "")
        for address in release.connection.network.ips()
        if address.floating_ip_address in (release.public, release.own)
    }


def before(release) -> dict[str, str]:
    return {release.public: f"{release.old.site.name}-proxy", release.own: f"{release.new.site.name}-proxy"}


def after(release) -> dict[str, str]:
    return {release.public: f"{release.new.site.name}-proxy", release.own: f"{release.old.site.name}-proxy"}


def effective(verbs) -> dict:
    return features.read().schema.effective(None, verbs.site.overrides)


@pytest.fixture
def move(release, tmp_path):
    """Runs the module for the new site; whatever the test leaves is restored."""

    def run(check: bool = False, **parameters) -> dict:
        return run_module(MODULE, tmp_path, check, site=effective(release.new), **parameters)

    yield run
    changed = [place for place in release.places if state_of(release, place.id) != (place.port_id, place.description)]
    for port in (False, True):
        for place in changed:
            release.connection.network.update_ip(
                place.id, port_id=place.port_id if port else None, description=place.description
            )


def state_of(release, identifier: str) -> tuple[str, str]:
    """Port and description of an address."""
    address = release.connection.network.get_ip(identifier)
    return address.port_id, address.description


def mark(release, address: str) -> str:
    return next(release.connection.network.ips(floating_ip_address=address)).description


def in_cloud(*command: str, **options) -> str:
    return subprocess.run(
        ["docker", "exec", CONTAINER, *command], check=True, text=True, capture_output=True, **options
    ).stdout


@contextlib.contextmanager
def web_server(site) -> Iterator[None]:
    """A host in the network of a site with the address of its public host, that answers /test with 200.

    The fake hypervisor plugs no server in, so its place at the bridge of the network is free.
    """
    connection, name = site.connection, f"{site.name}-proxy"
    port = next(port for port in connection.network.ports() if port.name == name)
    bridge = f"brq{port.network_id[:11]}"
    in_cloud(
        "sh",
        "-euxc",
        f"""
        ip netns add {site.name}
        ip link add w-{site.name} type veth peer name web netns {site.name}
        ip link set w-{site.name} up master {bridge}
        ip -n {site.name} link set web address {port.mac_address} up
        ip -n {site.name} address add {port.fixed_ips[0]["ip_address"]}/24 dev web
        ip -n {site.name} route add default via {connection.network.get_subnet(port.fixed_ips[0]["subnet_id"]).gateway_ip}
        mkdir /tmp/{site.name}
        cd /tmp/{site.name}
        echo a picture > test
        openssl req -x509 -newkey rsa:2048 -nodes -keyout {site.name}.key -out {site.name}.crt -subj /CN=web -days 1
        cat {site.name}.key {site.name}.crt > {site.name}.pem
        systemd-run --unit=web-{site.name} --working-directory=/tmp/{site.name} ip netns exec {site.name} \\
            openssl s_server -accept 443 -cert {site.name}.pem -WWW -quiet""",
    )
    try:
        yield
    finally:
        in_cloud("systemctl", "stop", f"web-{site.name}")
        in_cloud("ip", "netns", "delete", site.name)


# --- The module ---------------------------------------------------------------------------------------------------


def test_there_and_back(release, move):
    old, new = release.old.site.name, release.new.site.name
    planned = move(check=True, source=old)
    assert planned["changed"] and planned["holder"] == f"{old}-proxy (site {old})" and not planned["interrupted"]
    assert [step["name"] for step in planned["plan"]] == [release.public, release.own]
    assert planned["own_address"] == release.own
    assert holders(release) == before(release)
    note = release.new.site.server("proxy").metadata
    assert "imaging_repository_switch" not in note

    moved = move(source=old, seen=planned["seen"])
    assert moved["changed"] and moved["holder"] == f"{new}-proxy (site {new})"
    assert holders(release) == after(release)
    assert mark(release, release.public) == "of test_switch"
    assert mark(release, release.own) == f"imaging.repository site {old}"
    server = release.new.site.server("proxy")
    note = json.loads(server.metadata["imaging_repository_switch"])
    assert (note["address"], note["exchange"], note["site"]) == (release.public, release.own, old)
    assert server.metadata["imaging_repository_site"] == new

    again = move(source=old)
    assert not again["changed"]
    # Neither site's own verb takes anything back.
    for verbs in (release.old, release.new):
        assert not verbs.site.run(check=True)["changed"]

    back = move(back=True)
    assert back["changed"] and holders(release) == before(release)
    assert mark(release, release.own) == f"imaging.repository site {new}"
    assert not move(back=True)["changed"]


@pytest.fixture
def guest(release) -> Iterator:
    """A port in the old site's network that belongs to no site."""
    network = release.old.site.listing()["network"][0]
    port = release.connection.network.create_port(network_id=network.id, name="guest")
    yield port
    release.connection.network.delete_port(port)


def give(release, address: str, port) -> None:
    """What another operator does by hand."""
    found = next(release.connection.network.ips(floating_ip_address=address))
    release.connection.network.update_ip(found.id, port_id=port.id)


def test_an_address_that_is_not_where_the_plan_saw_it_is_left_alone(release, move, guest):
    old = release.old.site.name
    planned = move(check=True)
    give(release, release.public, guest)
    for parameters, sentence in (
        ({"source": "guest", "seen": planned["seen"]}, "is not where the plan saw it: guest"),
        ({"source": old}, f"is held by guest, not by {old}"),
        ({}, "say -e from=guest"),
    ):
        refused = move(**parameters)
        assert refused["failed"] and sentence in refused["msg"], refused["msg"]
        assert holders(release) == {**before(release), release.public: "guest"}


def test_a_server_of_no_site_is_left_with_an_address_that_no_site_releases(release, move, guest):
    give(release, release.public, guest)
    assert move(source="guest")["changed"]
    assert holders(release) == {release.public: f"{release.new.site.name}-proxy", release.own: "guest"}
    assert mark(release, release.own) == ""
    assert move(back=True)["changed"]
    assert holders(release) == {release.public: "guest", release.own: f"{release.new.site.name}-proxy"}


@pytest.fixture
def interfere(release, monkeypatch):
    """Runs the module's work in this process; `action` happens right before its write number `number`."""
    monkeypatch.syspath_prepend(REPOSITORY / "collections")
    module = importlib.import_module("ansible_collections.imaging.repository.plugins.modules.openstack_address")
    update = module.Cloud.update

    def run(number: int, action) -> str:
        count = iter(range(1, 99))

        def interfered(*arguments, **options):
            if next(count) == number:
                action(module)
            return update(*arguments, **options)

        monkeypatch.setattr(module.Cloud, "update", interfered)
        parameters = {"site": effective(release.new), "source": "", "back": False, "seen": None}
        with pytest.raises(module.exchange.Refused) as refused:
            module.run(SimpleNamespace(params=parameters, check_mode=False))
        monkeypatch.setattr(module.Cloud, "update", update)
        return str(refused.value)

    return run


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_write_that_fails_is_put_back(release, move, interfere, number):
    def fail(module):
        raise module.CloudError("the cloud says no")

    sentence = interfere(number, fail)
    assert "the cloud says no" in sentence and "What had been moved is where it was" in sentence
    assert holders(release) == before(release)
    assert mark(release, release.own) == f"imaging.repository site {release.new.site.name}"


def test_an_address_that_is_moved_at_the_same_moment_stays_with_who_moved_it(release, move, interfere, guest):
    """The cloud compares: the module's own look was before the other's move, its write is after it."""
    sentence = interfere(2, lambda _module: give(release, release.public, guest))
    assert f"{release.public} was moved by somebody else at this moment" in sentence
    assert holders(release) == {release.public: "guest", release.own: f"{release.new.site.name}-proxy"}


@pytest.mark.parametrize("seconds", [2, 3, 5])
@pytest.mark.parametrize("back", [False, True])
def test_a_killed_switch_is_finished_or_reversed(release, move, tmp_path, seconds, back):
    running = start_module(MODULE, tmp_path, site=effective(release.new))
    time.sleep(seconds)
    running.kill()
    running.communicate()
    # What the cloud had begun is over.
    time.sleep(1)
    noted = "imaging_repository_switch" in release.new.site.server("proxy").metadata
    print("killed after", seconds, "s:", holders(release))
    result = move(back=back)
    if back and not noted:
        assert "has no note of where" in result["msg"] and holders(release) == before(release)
    else:
        assert not result.get("failed"), result
        assert holders(release) == (before if back else after)(release)


# --- The playbook -------------------------------------------------------------------------------------------------


def test_check_mode_shows_who_holds_the_address_and_who_gets_it(release, move):
    run = release.new("switch", "--check", "-e", f"from={release.old.site.name}")
    old, new = release.old.site.name, release.new.site.name
    assert run.returncode == 0, run.stdout
    assert re.search(
        rf"change +address +{release.public} +{old}-proxy \(site {old}\) -> {new}-proxy \(site {new}\)", run.stdout
    ), run.stdout
    assert re.search(
        rf"change +address +{release.own} +{new}-proxy \(site {new}\) -> {old}-proxy \(site {old}\), "
        "in exchange",
        run.stdout,
    ), run.stdout
    assert holders(release) == before(release)


def forget_note(release) -> None:
    """The new site's host as it is before its first switch."""
    server = release.new.site.server("proxy")
    if "imaging_repository_switch" in server.metadata:
        release.connection.compute.delete_server_metadata(server, ["imaging_repository_switch"])


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "nothing was moved: say -e confirm="),
        (["-e", "confirm=other"], "nothing was moved: say -e confirm="),
        (["-e", "from=other"], "is held by"),
        (["-e", "back=true"], "has no note of where"),
    ],
)
def test_nothing_moves_without_the_right_words(release, move, arguments, sentence):
    forget_note(release)
    run = release.new("switch", *arguments)
    assert run.returncode and sentence in words(run), run.stdout
    assert holders(release) == before(release)


def test_a_target_that_is_not_sound_is_not_switched_to(release, move):
    forget_note(release)
    run = release.new("switch", "-e", f"confirm={release.new.site.name}")
    assert run.returncode and "does not exist; run configure.yml" in words(run), run.stdout
    assert "imaging_repository_switch" not in release.new.site.server("proxy").metadata
    assert holders(release) == before(release)


def test_a_site_that_is_not_sound_at_the_public_address_loses_it_again(release, move):
    run = release.new("switch", "-e", f"confirm={release.new.site.name}", "--skip-tags", "target")
    assert run.returncode, run.stdout
    assert f"not switched: the site was not sound at {release.public}, which was moved back" in words(run), run.stdout
    assert "imaging_repository_switch" in release.new.site.server("proxy").metadata
    assert holders(release) == before(release)
    assert f"HostName {release.own}" in (release.new.state / "ssh/config").read_text()


def test_the_way_back_says_when_nothing_answers_there(release, move):
    move()
    run = release.new("switch", "-e", "back=true", "-e", f"confirm={release.new.site.name}")
    assert run.returncode and f"{release.public} is back where it came from, but nothing answers" in words(run), (
        run.stdout
    )
    assert holders(release) == before(release)


def test_the_way_back_to_a_site_that_answers(release, move):
    move()
    with web_server(release.old.site):
        run = release.new("switch", "-e", "back=true", "-e", f"confirm={release.new.site.name}")
        assert run.returncode == 0, run.stdout
        assert f"{release.public} leads to {release.old.site.name}-proxy" in words(run)
        again = release.new("switch", "-e", "back=true")
        assert again.returncode == 0 and "changed=0" in again.stdout, again.stdout
    assert holders(release) == before(release)
