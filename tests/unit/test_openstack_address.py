# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The exchange of public addresses: who gets what, in which order, and back after a cut at any point."""

from __future__ import annotations

import copy

import pytest
from hypothesis import given, strategies

from plugins.module_utils.openstack import exchange as module

PUBLIC, OTHER, THIRD = "172.24.4.10", "172.24.4.20", "172.24.4.30"


def found(public="port-old", other="port-new", note=None, target="port-new"):
    """Site `old` and site `new`, a foreign server, and three addresses of which the third is free."""
    return {
        "addresses": {
            PUBLIC: {"port": public, "mark": ""},
            OTHER: {"port": other, "mark": "imaging.repository site new"},
            THIRD: {"port": "", "mark": ""},
        },
        "ports": {
            "port-old": {"server": "old-proxy", "site": "old"},
            "port-new": {"server": "new-proxy", "site": "new"},
            "port-foreign": {"server": "web", "site": ""},
        },
        "target": target,
        "note": note or {},
    }


NOTE = {"address": PUBLIC, "exchange": OTHER, "port": "port-old", "site": "old"}


def write(cloud, address, port, mark=""):
    """What Neutron does with one PUT: a port that has an address answers 409."""
    holders = [name for name, entry in cloud["addresses"].items() if port and entry["port"] == port and name != address]
    assert not holders, f"409: {port} has {holders}"
    cloud["addresses"][address] = {"port": port, "mark": mark}


def carry_out(cloud, result, most=99):
    """Note first, then the writes; stop after `most` of them as a kill does."""
    if result["note"]:
        cloud["note"] = result["note"]
    marks = module.marks(result["wanted"], cloud)
    for address, port in module.writes(result["wanted"], cloud["addresses"])[:most]:
        write(cloud, address, port, marks[address] if port else cloud["addresses"][address]["mark"])


def test_a_switch_exchanges_the_addresses():
    cloud = found()
    result = module.plan(PUBLIC, "old", False, cloud)
    assert result["wanted"] == {PUBLIC: "port-new", OTHER: "port-old"}
    assert [step["detail"] for step in result["steps"]] == [
        "old-proxy (site old) -> new-proxy (site new)",
        "new-proxy (site new) -> old-proxy (site old), in exchange",
    ]
    assert result["note"] == NOTE
    assert module.writes(result["wanted"], cloud["addresses"]) == [
        (OTHER, ""),
        (PUBLIC, "port-new"),
        (OTHER, "port-old"),
    ]
    assert not result["interrupted"]


def test_the_mark_follows_the_holder():
    cloud = found()
    cloud["addresses"][PUBLIC]["mark"] = "imaging.repository site old"
    carry_out(cloud, module.plan(PUBLIC, "", False, cloud))
    assert cloud["addresses"][PUBLIC]["mark"] == "imaging.repository site new"
    assert cloud["addresses"][OTHER]["mark"] == "imaging.repository site old"


def test_an_address_given_to_a_foreign_server_is_nobodys_to_release():
    cloud = found(public="port-foreign")
    carry_out(cloud, module.plan(PUBLIC, "web", False, cloud))
    assert cloud["addresses"][OTHER] == {"port": "port-foreign", "mark": ""}


def test_a_second_switch_changes_nothing():
    cloud = found()
    carry_out(cloud, module.plan(PUBLIC, "old", False, cloud))
    again = module.plan(PUBLIC, "old", False, cloud)
    assert module.writes(again["wanted"], cloud["addresses"]) == []
    assert {step["action"] for step in again["steps"]} == {"keep"}


def test_back_restores_what_was_and_is_nothing_the_second_time():
    cloud = found()
    before = copy.deepcopy(cloud["addresses"])
    carry_out(cloud, module.plan(PUBLIC, "old", False, cloud))
    carry_out(cloud, module.plan(PUBLIC, "", True, cloud))
    assert cloud["addresses"] == before
    assert module.writes(module.plan(PUBLIC, "", True, cloud)["wanted"], cloud["addresses"]) == []


def test_without_an_address_to_exchange_the_old_host_is_said_to_lose_its_own():
    cloud = found(other="")
    result = module.plan(PUBLIC, "old", False, cloud)
    assert result["wanted"] == {PUBLIC: "port-new"}
    assert "gets none in exchange" in result["steps"][0]["detail"]
    carry_out(cloud, result)
    carry_out(cloud, module.plan(PUBLIC, "", True, cloud))
    assert cloud["addresses"][PUBLIC]["port"] == "port-old"
    assert cloud["addresses"][OTHER]["port"] == ""


def test_a_free_address_goes_to_the_site_and_back_to_nobody():
    cloud = found(public="")
    carry_out(cloud, module.plan(PUBLIC, "", False, cloud))
    assert (cloud["addresses"][PUBLIC]["port"], cloud["addresses"][OTHER]["port"]) == ("port-new", "")
    carry_out(cloud, module.plan(PUBLIC, "", True, cloud))
    assert (cloud["addresses"][PUBLIC]["port"], cloud["addresses"][OTHER]["port"]) == ("", "port-new")


@pytest.mark.parametrize(
    ("source", "back", "cloud", "sentence"),
    [
        ("old", False, found(public="port-foreign"), "is held by web, not by old; nothing was moved"),
        ("old", False, found(public=""), "is held by nobody, not by old"),
        ("", False, found(public="port-foreign"), "no site of this toolkit; say -e from=web"),
        ("", False, found(target=""), "deploy the site with site.yml first"),
        ("", True, found(public="port-new"), "has no note of where"),
        ("", True, found(public="port-foreign", note=NOTE), "is held by web, not by new-proxy"),
        ("", True, found(public="port-new", note={**NOTE, "port": "port-gone"}), "port-gone is gone"),
        ("", True, found(public="port-new", note={**NOTE, "address": THIRD}), "has no note"),
    ],
)
def test_refused(source, back, cloud, sentence):
    with pytest.raises(module.Refused, match=sentence):
        module.plan(PUBLIC, source, back, cloud)


def test_an_unknown_address_is_refused():
    with pytest.raises(module.Refused, match=r"site.public.address: 192.0.2.1 is no floating IP"):
        module.plan("192.0.2.1", "", False, found())


def test_a_server_is_named_as_source_like_its_site():
    assert module.plan(PUBLIC, "old-proxy", False, found())["wanted"][PUBLIC] == "port-new"


@given(
    public=strategies.sampled_from(["port-old", "port-foreign", ""]),
    has_other=strategies.booleans(),
    cuts=strategies.lists(strategies.tuples(strategies.booleans(), strategies.integers(0, 3)), max_size=6),
    back=strategies.booleans(),
)
def test_whatever_was_cut_the_next_whole_run_ends_where_it_shall(public, has_other, cuts, back):
    """Cut runs in either direction, then one whole run: never a 409, never a lost or doubled address."""
    cloud = found(public=public, other="port-new" if has_other else "")
    before = {name: entry["port"] for name, entry in cloud["addresses"].items()}
    carry_out(cloud, module.plan(PUBLIC, "web" if public == "port-foreign" else "", False, cloud), 0)
    for backwards, most in [*cuts, (back, 99)]:
        source = "web" if cloud["addresses"][PUBLIC]["port"] == "port-foreign" else ""
        carry_out(cloud, module.plan(PUBLIC, source, backwards, cloud), most)
    now = {name: entry["port"] for name, entry in cloud["addresses"].items()}
    switched = {**before, PUBLIC: "port-new", **({OTHER: public} if has_other else {})}
    assert now == (before if back else switched)


@given(most=strategies.integers(0, 3), back=strategies.booleans())
def test_what_failed_half_way_is_put_back(most, back):
    cloud = found()
    if back:
        carry_out(cloud, module.plan(PUBLIC, "", False, cloud))
    before = copy.deepcopy(cloud["addresses"])
    result = module.plan(PUBLIC, "", back, cloud)
    carry_out(cloud, result, most)
    original = {address: before[address]["port"] for address in result["wanted"]}
    for address, port in module.writes(original, cloud["addresses"]):
        write(cloud, address, port, before[address]["mark"])
    assert cloud["addresses"] == before


def test_a_host_without_its_address_after_a_cut_is_told():
    cloud = found()
    carry_out(cloud, module.plan(PUBLIC, "", False, cloud), 1)
    assert module.plan(PUBLIC, "", False, cloud)["interrupted"]
    assert module.plan(PUBLIC, "", True, cloud)["wanted"] == {PUBLIC: "port-old", OTHER: "port-new"}
