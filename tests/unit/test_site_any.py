# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The schema of the site file over whatever YAML can hold: nothing makes it raise."""

from __future__ import annotations

import ipaddress
import json
import re
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from site_samples import DEMO, schema

from plugins.module_utils import site as site_file

SCALARS = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    # Python refuses to print it.
    st.builds(lambda: 10**6000),
    st.builds(lambda: "a" * 100_000),
    st.builds(lambda: "1" * 5000),
    st.floats(),
    st.text(max_size=20),
    st.binary(max_size=5),
    st.dates(),
    st.sampled_from(["{{ x }}", "\ud800", "localhost", "10.0.0.0/8"]),
)
KEYS = st.one_of(
    st.sampled_from(sorted({key for key, _path in site_file.key_paths(schema.site, "site")})),
    st.text(max_size=8),
    st.integers(),
    st.none(),
    st.tuples(st.integers()),
)
ANY_YAML = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=6)),
    max_leaves=30,
)

TEXTS = ["a", "b", "database", "10.0.0.1", "10.0.0.0/24", "/srv/a", "/dev/disk/by-id/a", "x.y"]


@st.composite
def shaped(draw: st.DrawFn, field: site_file.Field) -> Any:
    """Draw a value of the right shape, and now and then anything else."""
    if draw(st.integers(0, 14)) == 7:
        return draw(ANY_YAML)
    if field.kind == "mapping":
        keys = draw(st.lists(st.sampled_from(list(field.keys)), unique=True, max_size=6))
        return {key: draw(shaped(field.keys[key])) for key in keys}
    if field.kind == "list":
        return [draw(shaped(field.item)) for _number in range(draw(st.integers(0, 3)))]
    if field.choices:
        return draw(st.sampled_from(field.choices))
    if field.kind == "integer":
        return draw(st.integers(field.minimum, 300))
    return draw(st.booleans() if field.kind == "boolean" else st.sampled_from(TEXTS))


SITES = st.one_of(shaped(schema.site), ANY_YAML)


@given(base=SITES, overrides=SITES)
@settings(max_examples=300, deadline=None)
def test_nothing_raises_whatever_yaml_holds(base: Any, overrides: Any) -> None:
    for line in [*schema.problems(base, overrides), *schema.file_problems(overrides)]:
        assert re.match(r"site.*: .+; .+", line), line
        assert line.isprintable()
        assert len(line) < 1000
    site = schema.effective(base, overrides)
    assert json.loads(json.dumps(site)) == site
    site_file.url(site)


@given(names=st.lists(KEYS), known=st.lists(st.text()))
def test_no_name_of_a_variable_raises(names: list[Any], known: list[str]) -> None:
    assert all(line.isprintable() for line in schema.variable_problems(names, known))


def test_a_site_that_holds_itself_does_not_raise() -> None:
    site: dict[str, Any] = {"name": "lab", "hosts": []}
    site["hosts"].append(site)
    site["docker"] = site
    assert schema.problems(DEMO, site)
    schema.effective(DEMO, site)


@given(overrides=shaped(schema.site))
@settings(max_examples=200, deadline=None)
def test_effective_is_idempotent(overrides: Any) -> None:
    site = schema.effective(DEMO, overrides)
    names = [host["name"] for host in site["hosts"]]
    addressed = site["provider"] == "static" or all("address" in host for host in site["hosts"])
    # What problems() refuses: a name made twice, a host that found no address.
    if len(names) == len(set(names)) and addressed:
        assert schema.effective(site) == site
    if not schema.problems(DEMO, overrides):
        assert schema.problems(None, site) == []


COUNTS = st.integers(1, 15)


@given(counts=st.lists(COUNTS, min_size=1, max_size=10), grown=st.data())
@settings(deadline=None)
def test_addresses_are_unique_and_stay_when_a_count_grows(counts: list[int], grown: st.DataObject) -> None:
    def addresses(numbers: list[int]) -> dict[str, str]:
        names = "abcdefghij"
        hosts = [
            {"name": name, "groups": ["image_server_replica"], "count": number}
            for name, number in zip(names, numbers, strict=False)
        ]
        assert schema.problems(DEMO, {"name": "lab", "hosts": hosts}) == []
        return {host["name"]: host["address"] for host in schema.effective(DEMO, {"hosts": hosts})["hosts"]}

    before = addresses(counts)
    assert len(set(before.values())) == len(before)
    assert all(ipaddress.ip_address(address) in ipaddress.ip_network("172.30.77.0/24") for address in before.values())
    more = grown.draw(st.lists(COUNTS, max_size=10 - len(counts)))
    after = addresses([grown.draw(st.integers(number, 15)) for number in counts] + more)
    assert {name: after[name] for name in before} == before
