# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Makes one schema of the keys of the core and those of the features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from .core import FEATURE_KEYS, HOST, MARKS, PROVIDER_KEYS, SITE, VOLUME
from .feature import ALL, Feature, Group
from .fields import EVERY, GIVEN, MADE, OTHERS, Field, find, resolved


def ordered(features: Iterable[Feature]) -> tuple[Feature, ...]:
    """Return the features in the order in which hosts get them: what needs another one comes after it.

    Providers come first, then what runs on all hosts. Otherwise the names decide. A circle is broken by name.
    """
    left = {feature.name: feature for feature in sorted(features, key=lambda feature: feature.name)}
    waits = _waits(left)
    result: list[Feature] = []
    while left:
        free = [name for name in left if not waits[name] & left.keys()]
        result.append(left.pop(free[0] if free else next(iter(left))))
    return tuple(result)


def _waits(features: Mapping[str, Feature]) -> dict[str, set[str]]:
    """Return the names of the features that each one comes after."""
    owners = {group.name: feature.name for feature in features.values() for group in feature.groups}
    parents = {group.name: group.parent for feature in features.values() for group in feature.groups}
    everywhere = {name for name, feature in features.items() if feature.on == (ALL,)}
    early = {name for name in everywhere if everywhere.issuperset(features[name].after)}
    providers = {name for name, feature in features.items() if feature.provider}
    drivers = {name for name, feature in features.items() if feature.driver}
    waits: dict[str, set[str]] = {}
    for name, feature in features.items():
        needed = [need for group in feature.groups for need in group.needs if owners.get(need) != name]
        lent = [need for extension in feature.extends.values() for need in extension.needs]
        runs_there = {
            other.name
            for other in features.values()
            if any(need in other.on or parents.get(need) in other.on for need in needed)
        }
        names = {owners.get(group, "") for group in (*feature.on, *feature.extends, *needed, *lent)}
        names |= {*feature.after, *runs_there}
        if name in drivers:
            # What image servers need for their work, such as files, is there before their software.
            names |= {other for other in features if set(features[other].on) & set(feature.on)} - drivers
        if name not in providers:
            names |= providers
            names |= early if name not in early else set()
        waits[name] = names - {name}
    return waits


def groups_of(features: Sequence[Feature]) -> dict[str, Group]:
    """Return all groups, each with what other features add to what it listens on."""
    groups = {group.name: group for feature in features for group in feature.groups}
    for feature in features:
        for name, extension in feature.extends.items():
            if name in groups:
                listens = (*groups[name].listens, *extension.listens)
                groups[name] = replace(groups[name], listens=listens)
    return groups


def site_field(features: Sequence[Feature], groups: Mapping[str, Group]) -> Field:
    """Return the field of a whole site file."""
    providers = [feature.provider for feature in features if feature.provider]
    names = {
        EVERY: tuple(provider.name for provider in providers),
        MADE: tuple(provider.name for provider in providers if provider.makes),
        GIVEN: tuple(provider.name for provider in providers if not provider.makes),
    }
    takes_hosts = tuple(name for name, group in groups.items() if group.takes_hosts)
    choices = {
        "providers": names[EVERY],
        "groups": takes_hosts,
        "drivers": tuple(feature.driver_name for feature in features if feature.driver),
    }
    volume = _with(VOLUME, FEATURE_KEYS, _keys(features, "volume_keys"))
    host = _with(HOST, FEATURE_KEYS, _keys(features, "host_keys"))
    host_keys = {**host.keys, "volumes": replace(host.keys["volumes"], item=volume)}
    if takes_hosts:
        host_keys["name"] = replace(host_keys["name"], example=takes_hosts[0])
    host = replace(host, keys=host_keys)
    site = _with(SITE, PROVIDER_KEYS, _keys([feature for feature in features if feature.provider], "keys"))
    site = _with(site, FEATURE_KEYS, _keys([feature for feature in features if not feature.provider], "keys"))
    site = replace(
        site,
        keys={
            **site.keys,
            "provider": replace(
                site.keys["provider"],
                default=next((provider.name for provider in providers if provider.default), None),
            ),
            "hosts": replace(site.keys["hosts"], item=host),
        },
    )
    for provider in providers:
        for path, value in provider.defaults.items():
            if find(site, path):
                site = _with_default(site, path, provider.name, value)
    return resolved(_without_marks(site), names, choices)


def _keys(features: Sequence[Feature], where: str) -> dict[str, Field]:
    """Return the keys that features add somewhere; those of a provider are known only with it."""
    result: dict[str, Field] = {}
    for feature in features:
        for path, field in getattr(feature, where).items():
            if feature.provider:
                name = feature.provider.name
                field = _required_with(field, name)
                if field.providers == (EVERY,):
                    field = replace(field, providers=(name,))
            result[path] = field
    return result


def _required_with(field: Field, provider: str) -> Field:
    return replace(
        field,
        required=(provider,) if field.required == (EVERY,) else field.required,
        item=_required_with(field.item, provider) if field.item else None,
        keys={key: _required_with(inner, provider) for key, inner in field.keys.items()},
    )


def _with(field: Field, mark: str, additions: Mapping[str, Field]) -> Field:
    """Return the mapping with more keys, where the mark is or at the end. A key such as a.b goes below a."""
    keys = dict(field.keys)
    below: dict[str, dict[str, Field]] = {}
    own: dict[str, Field] = {}
    for path, addition in additions.items():
        first, _dot, rest = path.partition(".")
        if rest:
            below.setdefault(first, {})[rest] = addition
        elif first not in keys:
            own[first] = addition
    result: dict[str, Field] = {}
    for name, inner in keys.items():
        result.update(own if name == mark else {name: inner})
    result = {**result, **own}
    for name, inner_additions in below.items():
        if name in result:
            result[name] = _with(result[name], FEATURE_KEYS, inner_additions)
    return replace(field, keys=result)


def _without_marks(field: Field) -> Field:
    return replace(
        field,
        item=_without_marks(field.item) if field.item else None,
        keys={name: _without_marks(inner) for name, inner in field.keys.items() if name not in MARKS},
    )


def _with_default(field: Field, path: str, provider: str, value: object) -> Field:
    """Return the field with a default for one provider at a path that it has."""
    first, _dot, rest = path.partition(".")
    inner = field.keys[first]
    if rest:
        changed = _with_default(inner, rest, provider, value)
    else:
        others = inner.default if isinstance(inner.default, dict) else {OTHERS: inner.default}
        known = {name: default for name, default in others.items() if default is not None}
        last = {name: known.pop(name) for name in (OTHERS,) if name in known}
        changed = replace(inner, default={**known, provider: value, **last})
    return replace(field, keys={**field.keys, first: changed})
