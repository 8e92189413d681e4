# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Machines that cannot hold the hosts of a site: their engines and their routes."""

from __future__ import annotations

import pytest

from plugins.module_utils.docker.machine import ROUTES, engine_problem, route_problem, routes

# Default by eth0, 172.30.0.0/16 by a VPN, 10.8.0.1/32 likewise, and 172.17.0.0/16 which is down.
TABLE = """Iface\tDestination\tGateway \tFlags\tRefCnt\tUse\tMetric\tMask\t\tMTU\tWindow\tIRTT
eth0\t00000000\t0101A8C0\t0003\t0\t0\t0\t00000000\t0\t0\t0
tun0\t00001EAC\t00000000\t0001\t0\t0\t0\t0000FFFF\t0\t0\t0
tun0\t0100080A\t00000000\t0005\t0\t0\t0\tFFFFFFFF\t0\t0\t0
docker0\t000011AC\t00000000\t0000\t0\t0\t0\t0000FFFF\t0\t0\t0
"""


def test_the_routes_of_this_machine_are_read():
    assert [(str(route.network), route.interface) for route in routes(TABLE)] == [
        ("172.30.0.0/16", "tun0"),
        ("10.8.0.1/32", "tun0"),
    ]
    with open(ROUTES, encoding="ascii") as table:
        assert all(route.interface for route in routes(table.read()))


@pytest.mark.parametrize("cidr", ["172.30.81.0/24", "172.16.0.0/12", "10.8.0.0/24"])
def test_a_network_that_hides_a_vpn_is_refused(cidr):
    problem = route_problem(cidr, TABLE)
    assert problem.startswith(f"site.docker.network.cidr: {cidr} would hide addresses") and "by tun0" in problem


@pytest.mark.parametrize("cidr", ["192.168.77.0/24", "172.17.0.0/24", "10.9.0.0/24"])
def test_others_are_free(cidr):
    assert route_problem(cidr, TABLE) == ""


def test_engines_that_cannot_run_hosts_are_refused():
    assert "is rootless" in engine_problem({"SecurityOptions": ["name=seccomp,profile=builtin", "name=rootless"]})
    assert "containers of windows" in engine_problem({"OSType": "windows"})
    assert engine_problem({"SecurityOptions": None, "OSType": "linux"}) == ""
