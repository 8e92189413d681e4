# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which floating IP a host of the OpenStack provider gets."""

from __future__ import annotations

import pytest
from openstack_samples import (
    EXTERNAL,
    PROJECT,
    applied,
    first,
    nothing,
    problems_of,
    site_with,
    steps_of,
    want_of,
)


def address(number: int, **values) -> dict:
    return {
        "id": f"address-{number}",
        "floating_ip_address": f"198.51.100.{number}",
        "description": "",
        "port_id": None,
        "floating_network_id": EXTERNAL["id"],
        "project_id": PROJECT,
        **values,
    }


@pytest.mark.parametrize(
    "public, new_address, addresses, expected",
    [
        ("198.51.100.5", False, [address(5)], ("change", "198.51.100.5")),
        ("198.51.100.5", False, [address(5, port_id="ours")], ("keep", "198.51.100.5")),
        (
            "198.51.100.5",
            True,
            [address(5, port_id="other")],
            ("create", "a new one of public; 198.51.100.5 stays at port other; playbooks/switch.yml moves it"),
        ),
        (
            "198.51.100.5",
            True,
            [address(5, port_id="other"), address(6, description="imaging.repository site demo")],
            ("change", "198.51.100.6; 198.51.100.5 stays at port other; playbooks/switch.yml moves it"),
        ),
        (
            "198.51.100.5",
            False,
            [address(5, port_id="other"), address(6, port_id="ours")],
            ("keep", "198.51.100.6; 198.51.100.5 stays at port other; playbooks/switch.yml moves it"),
        ),
        (None, True, [], ("create", "a new one of public")),
        (None, True, [address(5)], ("create", "a new one of public")),
        ("198.51.100.5", False, [address(5), address(6, port_id="ours")], ("change", "198.51.100.5")),
    ],
)
def test_addresses_are_used_when_free_and_never_taken(public, new_address, addresses, expected):
    site = site_with("openstack", new_address=new_address)
    site["public"]["address"] = public
    found = applied(want_of(site))
    ours = first(found, "port", "demo-proxy")["id"]
    found.resources["address"] = [
        {**entry, "port_id": ours if entry["port_id"] == "ours" else entry["port_id"]} for entry in addresses
    ]
    assert steps_of(site, found)["address", "demo-proxy"] == expected


@pytest.mark.parametrize(
    "public, addresses, words",
    [
        (
            None,
            [address(7)],
            "site.public.address: is missing; write a floating IP of the project (free: 198.51.100.7)",
        ),
        ("198.51.100.5", [], "site.public.address: 198.51.100.5 is no floating IP of this project"),
        ("198.51.100.5", [address(5, port_id="other")], "site.openstack.new_address: true"),
    ],
)
def test_a_bastion_without_an_address_is_refused(public, addresses, words):
    site = site_with("openstack", new_address=False)
    site["public"]["address"] = public
    found = nothing(address=addresses)
    problems = problems_of(site, found)
    assert len(problems) == 1 and words in problems[0]


@pytest.mark.parametrize("deployed", [False, True])
def test_an_address_of_another_network_than_the_routers_is_refused(deployed):
    site = site_with("openstack", new_address=False)
    site["public"]["address"] = "198.51.100.5"
    found = applied(want_of(site)) if deployed else nothing()
    found.resources["address"] = [address(5, floating_network_id="elsewhere"), address(6)]
    assert problems_of(site, found) == [
        "site.public.address: 198.51.100.5 is of another network than public, to which the router of the site leads; "
        "write a floating IP of that network (free: 198.51.100.6), or name the other one in "
        "site.openstack.network.external"
    ]


def test_an_address_that_the_host_has_is_kept_whatever_its_network_is_called():
    site = site_with("openstack", new_address=False)
    site["public"]["address"] = "198.51.100.5"
    found = applied(want_of(site))
    ours = first(found, "port", "demo-proxy")["id"]
    found.resources["address"] = [address(5, floating_network_id="renamed", port_id=ours)]
    assert steps_of(site, found)["address", "demo-proxy"] == ("keep", "198.51.100.5")


def test_a_spare_address_of_another_network_is_not_used():
    site = site_with("openstack", new_address=True)
    spare = address(5, description="imaging.repository site demo", floating_network_id="elsewhere")
    assert steps_of(site, nothing(address=[spare]))["address", "demo-proxy"] == ("create", "a new one of public")
