# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which secrets are made, and that existing ones stay."""

from __future__ import annotations

import string

import yaml
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils import site_secrets

NAMES = ["vault_a", "vault_b", "vault_c"]


def test_only_missing_names_are_made() -> None:
    assert site_secrets.missing(NAMES, {"vault_a": "x"}, ["vault_c"]) == ["vault_b"]
    assert site_secrets.missing(["vault_a", "vault_a"], {}, []) == ["vault_a"]


def test_secrets_are_long_different_and_need_no_quoting() -> None:
    made = {site_secrets.generate() for _ in range(100)}
    assert len(made) == 100 and site_secrets.SECRET_BYTES * 8 >= 192
    assert all(set(secret) <= set(string.ascii_letters + string.digits + "-_") and len(secret) == 43 for secret in made)


values = st.text(string.ascii_letters + "-_", min_size=1)


@given(
    st.dictionaries(st.from_regex(r"vault_[a-z]{1,8}", fullmatch=True), values),
    st.dictionaries(st.from_regex(r"vault_new_[a-z]{1,8}", fullmatch=True), values),
)
def test_adding_keeps_what_was_there(old: dict[str, str], new: dict[str, str]) -> None:
    text = site_secrets.added(site_secrets.added("", old), new)
    assert yaml.safe_load(text) == ({**old, **new} or None)
    assert text.startswith(site_secrets.added("", old))


def test_a_last_line_without_its_end_is_not_damaged() -> None:
    assert yaml.safe_load(site_secrets.added('vault_a: "x"', {"vault_b": "y"})) == {"vault_a": "x", "vault_b": "y"}


def test_problems_never_quote_a_value() -> None:
    assert site_secrets.problems(NAMES, {"vault_a": "x"}) == []
    assert "is not a name for a secret" in site_secrets.problems(["password"], {})[0]
    assert "restore it" in site_secrets.problems(NAMES, ["hush"])[0]
    found = site_secrets.problems(NAMES, {"vault_a": "", "vault_b": 12345})
    assert len(found) == 2 and not any("12345" in line for line in found)
