# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Servers in a network that the cloud has, without a router or floating IPs of the site."""

from __future__ import annotations

from openstack_samples import applied, first, nothing, problems_of, site_with, steps_of, want_of

from plugins.module_utils.openstack.found import result
from plugins.module_utils.openstack.site import kinds_of, together

CAMPUS = {"id": "campus-1", "name": "campus", "port_security_enabled": True}
FOUR = {"id": "four", "network_id": "campus-1", "ip_version": 4, "cidr": "10.20.0.0/24"}
SIX = {"id": "six", "network_id": "campus-1", "ip_version": 6, "cidr": "fd00:20::/64"}
NETWORK = {"cidr": "10.20.0.0/24", "existing": "campus", "dns": []}


def site(**network):
    made = site_with("openstack", network={**NETWORK, **network}, new_address=False)
    for host in made["hosts"]:
        del host["address"]
    return made


def cloud(*networks, **kinds):
    return nothing(**{"any network": list(networks) or [CAMPUS], "any subnet": [FOUR, SIX], **kinds})


def test_the_plan_makes_ports_and_no_network_of_its_own():
    steps = steps_of(site(), cloud())
    assert not {"network", "subnet", "router", "address"} & {kind for kind, _name in steps}
    assert steps["port", "demo-database"] == ("create", "an address of campus")
    assert problems_of(site(), cloud()) == []
    asked = kinds_of(want_of(site()), absent=False)
    assert "any network" in asked and "router" not in asked


def test_the_public_host_gets_the_public_address_where_the_network_has_it():
    inside, outside = site(), site()
    inside["public"]["address"] = "10.20.0.80"
    outside["public"]["address"] = "192.0.2.80"
    assert steps_of(inside, cloud())["port", "demo-proxy"] == ("create", "10.20.0.80")
    assert steps_of(outside, cloud())["port", "demo-proxy"] == ("create", "an address of campus")


def test_what_the_network_gave_is_kept_and_told():
    want = want_of(site())
    found = applied(want_of(site_with())).with_resources(**{"any network": [CAMPUS], "any subnet": [FOUR, SIX]})
    for port in found["port"]:
        port.update(network_id="campus-1", fixed_ips=[{"ip_address": "fd00:20::9"}, {"ip_address": "10.20.0.9"}])
    assert steps_of(site(), found)["port", "demo-database"] == ("keep", "10.20.0.9, fd00:20::9")
    assert result(want, found)["database"]["address"] == "10.20.0.9"


def test_servers_do_not_move_to_another_network():
    found = applied(want_of(site_with())).with_resources(**{"any network": [CAMPUS], "any subnet": [FOUR]})
    action, detail = steps_of(site(), found)["port", "demo-database"]
    assert action == "refuse" and "is in another network than campus" in detail


def test_a_network_that_cannot_be_used_is_refused():
    assert problems_of(site(), cloud({**CAMPUS, "port_security_enabled": False})) == [
        "site.openstack.network.existing: the network campus has port security off, so that no security group would "
        "protect the servers; name another network, or have it switched on"
    ]
    assert problems_of(site(existing="campu"), cloud()) == [
        "site.openstack.network.existing: there is no network 'campu' in cloud embassy; did you mean 'campus'?"
    ]
    assert problems_of(site(), cloud(CAMPUS, {**CAMPUS, "id": "campus-2"})) == [
        "site.openstack.network.existing: 'campus' is the name of 2 networks in cloud embassy; write the id of one of "
        "them: campus-1, campus-2"
    ]
    assert problems_of(site(cidr="192.168.77.0/24"), cloud()) == [
        "site.openstack.network.cidr: 192.168.77.0/24 is no subnet of the network campus; write one of 10.20.0.0/24"
    ]


def test_hosts_that_should_be_apart_and_are_not_are_named():
    replicas = [
        {**site_with()["hosts"][1], "name": f"replica{number}", "address": f"192.168.77.{40 + number}"}
        for number in (1, 2, 3)
    ]
    apart = site_with(hosts=[site_with()["hosts"][0], *replicas, site_with()["hosts"][2]])
    want = want_of(apart)
    found = applied(want)
    for name, machine in (("database", "a"), ("replica1", "a"), ("replica2", "b"), ("replica3", "a")):
        first(found, "server", f"demo-{name}")["hostId"] = machine
    (sentence,) = together(want, found)
    assert sentence.startswith("demo-replica1, demo-replica3 run on one machine of the cloud, and fall with it")
    first(found, "server", "demo-replica3")["hostId"] = ""
    assert list(together(want, found)) == []
