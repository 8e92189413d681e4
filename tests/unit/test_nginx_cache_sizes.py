# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Sizes of the cache's zones, and what is said when something does not fit."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils.nginx_cache.sizes import KEYS_PER_MIB, cache_zones, zone_problems, zone_warnings

POLICY = [
    {"name": "thumbnails", "max_size_mib": 4096, "mean_size_kib": 8, "inactive": "365d"},
    {"name": "tiles", "max_size_mib": 8192, "mean_size_kib": 16, "inactive": "365d"},
    {"name": "lists", "max_size_mib": 64, "mean_size_kib": 4, "inactive": "1h"},
]


def sizes(zones: list[dict]) -> dict[str, int]:
    """The bound of each zone in MiB."""
    return {zone["name"]: zone["max_size_mib"] for zone in zones}


def test_without_a_volume_the_sizes_are_the_policys() -> None:
    assert sizes(cache_zones(POLICY)) == {"thumbnails": 4096, "tiles": 8192, "lists": 64}


@pytest.mark.parametrize(
    "volume_gib, expected",
    [
        (2, {"thumbnails": 576, "tiles": 1153, "lists": 9}),
        (1000, {"thumbnails": 288630, "tiles": 577260, "lists": 4509}),
    ],
)
def test_zones_share_the_volume_by_their_weights(volume_gib: int, expected: dict) -> None:
    assert sizes(cache_zones(POLICY, volume_gib)) == expected


def test_a_zone_as_nginx_gets_it() -> None:
    assert cache_zones(POLICY, 2)[0] == {
        "name": "thumbnails",
        "directory": "/var/cache/nginx/thumbnails",
        "max_size_mib": 576,
        "mean_size_kib": 8,
        "entries": 73728,
        "keys_size_mib": 10,
        "inactive": "365d",
        "min_free_mib": 102,
    }


def test_keys_are_for_what_the_site_knows_to_expect() -> None:
    zone = cache_zones(POLICY, 2, expected_entries={"thumbnails": 2_800_000})[0]
    assert (zone["entries"], zone["keys_size_mib"]) == (2_800_000, 350)


def test_chosen_keys_that_are_too_few_are_told_with_the_figure() -> None:
    zones = cache_zones(POLICY, keys_size_mib={"tiles": 4})
    assert [zone["keys_size_mib"] for zone in zones] == [66, 4, 3]
    assert zone_problems(zones, keys_size_mib={"tiles": 4}) == [
        "cache_keys_size_mib.tiles: 4 MiB hold 32,000 keys, but 524,288 entries are expected (8,192 MiB of 16 KiB each, "
        "or as cache_expected_entries says); set 66, or leave it out"
    ]
    assert zone_problems(cache_zones(POLICY, keys_size_mib={"tiles": 66})) == []


def test_misspelt_zones_are_told() -> None:
    assert zone_problems(cache_zones(POLICY), {"thumbnail": 1}, {"tile": 1}) == [
        "cache_expected_entries.thumbnail: the policy has no such zone; write one of thumbnails, tiles, lists",
        "cache_keys_size_mib.tile: the policy has no such zone; write one of thumbnails, tiles, lists",
    ]


def test_a_volume_that_is_too_small_is_told_with_the_size_that_is_not() -> None:
    expected = {"thumbnails": 2_800_000, "tiles": 10}
    zones = cache_zones(POLICY, 20, expected_entries=expected)
    assert zone_problems(zones, expected) == []
    assert zone_warnings(zones, expected, 20) == [
        "zone thumbnails: 2,800,000 entries of 8 KiB are expected, its 5,772 MiB hold 738,816; a volume of 76 GiB "
        "would hold them"
    ]
    assert zone_warnings(cache_zones(POLICY, 76, expected_entries=expected), expected, 76) == []
    assert zone_warnings(cache_zones(POLICY), expected) == [
        "zone thumbnails: 2,800,000 entries of 8 KiB are expected, its 4,096 MiB hold 524,288; set its max_size_mib in "
        "the policy to 21875"
    ]


@given(
    st.lists(st.tuples(st.integers(1, 10**6), st.integers(1, 4096)), min_size=1, max_size=8),
    st.integers(1, 10**5),
    st.integers(1, 100),
)
def test_zones_never_fill_more_than_they_may(zones: list[tuple[int, int]], volume_gib: int, percent: int) -> None:
    policy = [
        {"name": f"zone{number}", "max_size_mib": size, "mean_size_kib": mean, "inactive": "1d"}
        for number, (size, mean) in enumerate(zones)
    ]
    made = cache_zones(policy, volume_gib, percent)
    assert zone_problems(made) == []
    # Each has at least one MiB, however small its weight.
    assert sum(zone["max_size_mib"] for zone in made) <= volume_gib * 1024 * percent // 100 + len(made)
    assert all(zone["keys_size_mib"] * KEYS_PER_MIB >= zone["entries"] for zone in made)
