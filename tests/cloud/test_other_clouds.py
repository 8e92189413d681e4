# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Clouds that are not as the first one: images of others, networks without routers, zones."""

from __future__ import annotations

from collections.abc import Iterator

import openstack
import pytest

from tests.cloud.test_provision import actions, step, writes


@pytest.fixture(scope="module")
def admin() -> Iterator:
    with openstack.connect(cloud="embassy-admin") as connection:
        yield connection


@pytest.fixture
def strangers_image(admin, site) -> Iterator:
    """An image of another project, which it offers to everybody."""
    image = admin.image.create_image(
        name=f"{site.name}-image", data=b"nothing", disk_format="raw", container_format="bare", visibility="community"
    )
    yield image
    admin.image.reactivate_image(image)
    admin.image.delete_image(image)


def test_an_image_of_strangers_is_taken_by_its_id_only(site, admin, strangers_image):
    site.openstack["image"] = strangers_image.name
    refused = site.attempt(check=True)
    assert f"write the id to say that it is meant: {strangers_image.id}" in refused["msg"]
    site.openstack["image"] = strangers_image.id
    assert actions(site.run(check=True)) == {"create"}
    admin.image.update_image(strangers_image, os_hidden=True)
    assert actions(site.run(check=True)) == {"create"}
    admin.image.deactivate_image(strangers_image)
    refused = site.attempt()
    assert refused["failed"] and writes(refused) == 0
    assert f"'{strangers_image.id}' is deactivated" in refused["msg"]


def test_a_site_in_a_network_of_the_cloud_has_ports_and_no_network_of_its_own(site):
    site.openstack.update(network={"existing": "campus", "cidr": "10.20.0.0/24"}, new_address=False, config_drive=True)
    site.run()
    assert site.server("proxy").has_config_drive
    assert {kind for kind, _name in site.names()} == {"server", "volume", "key pair", "port", "security group"}
    for port in site.listing()["port"]:
        four, six = sorted((entry["ip_address"] for entry in port.fixed_ips), key=lambda address: ":" in address)
        assert four.startswith("10.20.0.") and six.startswith("fd00:20::")
        assert port.is_port_security_enabled and port.security_group_ids
    again = site.run()
    assert not again["changed"] and actions(again) == {"keep"} and writes(again) == 0
    told = again["servers"]["proxy"]
    assert told["address"] in step(again, "port", f"{site.name}-proxy")["detail"] and told["floating_ip"] == ""
    site.openstack["network"]["cidr"] = "10.21.0.0/24"
    assert "10.21.0.0/24 is no subnet of the network campus; write one of 10.20.0.0/24" in site.attempt()["msg"]
    site.openstack["network"]["cidr"] = "10.20.0.0/24"
    site.destroy()
    assert not site.names()


def test_a_network_without_port_security_is_refused(site, admin):
    network = admin.network.create_network(name=f"{site.name}-open", is_shared=True, is_port_security_enabled=False)
    try:
        admin.network.create_subnet(network_id=network.id, ip_version=4, cidr="10.22.0.0/24")
        site.openstack.update(network={"existing": network.name, "cidr": "10.22.0.0/24"}, new_address=False)
        refused = site.attempt()
        assert refused["failed"] and writes(refused) == 0
        assert "has port security off, so that no security group would protect the servers" in refused["msg"]
    finally:
        admin.network.delete_network(network)
