# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Merging of sound sites, and filling of one with its defaults."""

from __future__ import annotations

from typing import Any

from .fields import Field


def merge_sites(field: Field, base: dict[str, Any], overrides: dict[str, Any]) -> dict[str, Any]:
    """Return overrides over base; a base of another provider lends less."""
    provider = base.get("provider", field.keys["provider"].default)
    if overrides.get("provider", provider) != provider:
        base = lendable(field, base)
    result: dict[str, Any] = merge(field, base, overrides)
    return result


def lendable(field: Field, value: Any) -> Any:
    """Return what a base lends to a site of another provider."""
    if field.kind == "mapping":
        return {key: lendable(field.keys[key], inner) for key, inner in value.items() if not field.keys[key].own}
    if field.kind == "list":
        return [lendable(field.entry, inner) for inner in value]
    return value


def merge(field: Field, below: Any, above: Any) -> Any:
    """Return one value over another: mappings recursively, lists with names by name, others as a whole."""
    if below is None or above is None:
        return above if below is None else below
    if field.kind == "mapping":
        keys = [key for key in field.keys if key in below or key in above]
        return {key: merge(field.keys[key], below.get(key), above.get(key)) for key in keys}
    if field.named:
        entries = {entry["name"]: entry for entry in below}
        for entry in above:
            entries[entry["name"]] = merge(field.entry, entries.get(entry["name"]), entry)
        return list(entries.values())
    return above


def fill(field: Field, value: Any, provider: str | None = None) -> Any:
    """Return the value with defaults, without the keys of other providers."""
    if field.kind == "mapping":
        value = value or {}
        provider = provider or value.get("provider", field.keys["provider"].default)
        keys = [key for key, inner in field.keys.items() if provider in inner.providers]
        filled = {key: fill(field.keys[key], value.get(key), provider) for key in keys}
        return {
            key: inner
            for key, inner in filled.items()
            if inner is not None and (key in value or _goes_with(field.keys[key], filled))
        }
    if value is None:
        value = field.default_for(provider or "")
    if field.kind == "list" and value is not None:
        return [fill(field.entry, inner, provider) for inner in value]
    return value


def _goes_with(field: Field, beside: dict[str, Any]) -> bool:
    """Return whether the default of a key makes sense with the values beside it."""
    return all(beside.get(key) == value for key, value in field.only_with.items())
