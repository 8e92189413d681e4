# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The rules of a host's firewall: who may reach which port, out of the table of the site."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils import nftables
from plugins.module_utils.firewall import Firewall
from plugins.module_utils.nftables import Opening, openings, render, with_ssh

SITE: Firewall = {
    "groups": {
        "site": [
            {"protocol": "tcp", "port": 22, "sources": ["entry"]},
            {"protocol": "icmp", "port": None, "sources": ["site"]},
        ],
        "pixels": [{"protocol": "tcp", "port": 8042, "sources": ["front"]}],
        "front": [],
        "entry": [{"protocol": "tcp", "port": 22, "cidr": "198.51.100.0/24"}],
        "public": [{"protocol": "tcp", "port": 443, "cidr": "0.0.0.0/0"}],
    },
    "hosts": {"one": ["site", "pixels"], "two": ["site", "pixels"], "proxy": ["site", "front", "entry", "public"]},
}
KNOWN = {"one": ["10.0.0.1"], "two": ["10.0.0.2"], "proxy": ["192.0.2.9", "10.0.0.9"]}


def test_a_port_is_open_to_the_hosts_of_its_source_groups_at_all_their_addresses():
    assert openings(SITE, "one", KNOWN) == [
        Opening("tcp", 22, ("10.0.0.9", "192.0.2.9")),
        Opening("tcp", 8042, ("10.0.0.9", "192.0.2.9")),
    ]


def test_a_host_has_the_rules_of_all_its_firewalls_each_port_once():
    assert openings(SITE, "proxy", KNOWN) == [
        Opening("tcp", 22, ("10.0.0.9", "192.0.2.9", "198.51.100.0/24")),
        Opening("tcp", 443, ("0.0.0.0/0",)),
    ]


def test_the_file_replaces_its_own_table_and_no_other():
    text = render(openings(SITE, "one", KNOWN))
    assert "flush" not in text
    assert {line.split(" {")[0] for line in text.splitlines() if "table" in line} == {
        "table inet imaging_repository",
        "delete table inet imaging_repository",
    }
    assert "policy drop;" in text
    assert "\t\tip saddr { 10.0.0.9, 192.0.2.9 } tcp dport 8042 accept\n" in text
    assert "\t\ttcp dport 443 accept\n" in render(openings(SITE, "proxy", KNOWN))


def test_operators_keep_their_way_in():
    opened = with_ssh(openings(SITE, "one", KNOWN), [2222], ["203.0.113.0/24", "2001:db8::/32"])
    text = render(opened)
    assert "\t\tip saddr 203.0.113.0/24 tcp dport 2222 accept\n" in text
    assert "\t\tip6 saddr 2001:db8::/32 tcp dport 2222 accept\n" in text
    assert "tcp dport 2222 accept" in render(with_ssh([], [2222], ["0.0.0.0/0"]))


def test_a_port_without_sources_stays_closed():
    empty: Firewall = {"groups": {"a": [{"protocol": "tcp", "port": 1, "sources": ["b"]}]}, "hosts": {"one": ["a"]}}
    assert openings(empty, "one", KNOWN) == []


networks = st.one_of(
    st.ip_addresses(v=4).map(str),
    st.builds(lambda address, prefix: str(ipaddress.ip_network(f"{address}/{prefix}", strict=False)),
              st.ip_addresses(v=4), st.integers(1, 32)),
)  # fmt: skip


@given(st.lists(networks, min_size=1, max_size=8), st.ip_addresses(v=4).map(str))
def test_merged_networks_do_not_overlap_and_hold_the_same(some, address):
    opened = with_ssh([], [22], some)[0].networks
    parsed = [ipaddress.ip_network(network) for network in opened]
    assert not any(one.overlaps(other) for one in parsed for other in parsed if one is not other)
    assert nftables.holds(opened, address) == nftables.holds(some, address)


@pytest.mark.parametrize(
    "host, expected",
    [
        ({"address": "192.0.2.1"}, ["192.0.2.1"]),
        ({"address": "192.0.2.1", "private_address": "10.0.0.1"}, ["192.0.2.1", "10.0.0.1"]),
    ],
)
def test_a_host_is_seen_from_each_of_its_addresses(host, expected):
    assert nftables.addresses([{"name": "one", **host}]) == {"one": expected}
