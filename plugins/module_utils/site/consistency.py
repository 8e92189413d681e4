# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What must fit together among features: their names, the paths of keys that they mention, their fields."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ..firewall import ALL_HOSTS
from .assemble import groups_of, ordered, site_field
from .core import HOST, PUBLIC, SITE, VOLUME
from .feature import ALL, Feature, Group, Listen
from .feature_schema import ANYWHERE
from .fields import EVERY, OTHERS, Field, find, nearest_of, one_of
from .network import PUBLIC_HOST, network_path
from .reader import Reader

HOMES = {"keys": SITE, "host_keys": HOST, "volume_keys": VOLUME}
# A place below the file of a feature, and what is wrong there.
Problem = tuple[str, str]


def feature_problems(features: Sequence[Feature]) -> list[str]:
    """Return what is wrong with features that are sound by themselves, in the style of the site file's problems."""
    features = sorted(features, key=lambda feature: feature.name)
    lines = []
    for position, feature in enumerate(features):
        found = [*_twice(feature, features[:position]), *_core_names(feature)]
        lines += [f"{feature.file}: {path}: {text}" for path, text in found]
    if lines:
        # One of two has no meaning, so that nothing else is certain.
        return lines
    whole = ordered(features)
    groups = groups_of(whole)
    site = site_field(whole, groups)
    for feature in features:
        found = [
            *_names(feature, [other.name for other in features], groups),
            *_provider(feature, site),
            *_paths(feature, features, site),
            *_fields(feature, features),
        ]
        lines += [f"{feature.file}: {path}: {text}" for path, text in found]
    return lines


def _twice(feature: Feature, before: Sequence[Feature]) -> Iterator[Problem]:
    """Yield what another feature has already."""
    groups = {group.name: other.name for other in before for group in other.groups}
    for group in feature.groups:
        if group.name in groups:
            yield f"groups.{group.name}", f"is a group of {groups[group.name]} too; write another name"
    for where in HOMES:
        for path in getattr(feature, where):
            owner = next((other.name for other in before if path in getattr(other, where)), None)
            if owner:
                yield f"{where}.{path}", f"is a key of {owner} too; write another name"
    numbers = {number: (name, other.name) for other in before for name, number in other.users.items()}
    for name, number in feature.users.items():
        if number in numbers and numbers[number][0] != name:
            user, owner = numbers[number]
            yield f"users.{name}", f"{number} is the number of {user} of {owner}; write another one"
    for other in before:
        if feature.provider and other.provider and other.provider.name == feature.provider.name:
            yield "provider.name", f"{other.name} has that name too; write another one"
        if feature.provider and other.provider and other.provider.default and feature.provider.default:
            yield "provider.default", f"{other.name} is the default already; remove it"


def _core_names(feature: Feature) -> Iterator[Problem]:
    """Yield names that the core and the inventory have themselves."""
    for group in feature.groups:
        if group.name in (ALL_HOSTS, PUBLIC_HOST, "all", "ungrouped", "unprovisioned", "localhost"):
            yield f"groups.{group.name}", "is a name of the inventory's own; write another name"
    for where, home in HOMES.items():
        for path in getattr(feature, where):
            first, _dot, rest = path.partition(".")
            # What visitors see is there to be added to.
            if (home.keys.get(first) is PUBLIC and rest not in PUBLIC.keys) if rest else path not in home.keys:
                continue
            if not rest or first in home.keys:
                yield f"{where}.{path}", "is a key of every site; write another name"


def _listens(feature: Feature) -> Iterator[tuple[str, Listen]]:
    own = [(f"groups.{group.name}", group.listens) for group in feature.groups]
    lent = [(f"extends.{name}", extension.listens) for name, extension in feature.extends.items()]
    for place, listens in own + lent:
        for index, listen in enumerate(listens):
            yield f"{place}.listens[{index}]", listen


def _names(feature: Feature, names: list[str], groups: dict[str, Group]) -> Iterator[Problem]:
    """Yield the names that do not exist."""
    mentioned = [(f"on[{index}]", name) for index, name in enumerate(feature.on) if name != ALL]
    mentioned += [(f"extends.{name}", name) for name in feature.extends]
    for group in feature.groups:
        mentioned += [(f"groups.{group.name}.needs", need) for need in group.needs]
        if group.parent != "site":
            mentioned.append((f"groups.{group.name}.parent", group.parent))
    for name, extension in feature.extends.items():
        mentioned += [(f"extends.{name}.needs", need) for need in extension.needs]
    for place, listen in _listens(feature):
        mentioned += [(f"{place}.from", source) for source in listen.sources if source != ALL_HOSTS]
        if not (listen.sources or listen.networks):
            yield place, "nobody reaches it; write from: [group], or networks: anywhere"
    for place, name in mentioned:
        if name not in groups:
            yield place, f"there is no group {name}; {one_of(name, groups)}"
    for name in feature.after:
        if name not in names:
            yield "after", f"there is no feature {name}; {one_of(name, names)}"
    if feature.driver and (feature.driver_name == feature.name or not feature.driver_name):
        yield "driver", "the folder is not named <group>_<driver>; name it so, and write on: [<group>]"


def _provider(feature: Feature, site: Field) -> Iterator[Problem]:
    provider = feature.provider
    if provider is None:
        return
    cidr = find(site, f"{provider.name}.network.cidr")
    if cidr is None or cidr.kind != "network":
        yield "keys", f"has no {provider.name}.network.cidr of kind network; add it"
    elif provider.makes and cidr.default is None:
        yield "keys", f"{provider.name}.network.cidr has no default; add one"
    for path, value in provider.defaults.items():
        field = find(site, path)
        if field is None or field.kind in ("mapping", "list"):
            yield "provider.defaults", f"there is no key {path}; {_meant(path, _leaves(site))}"
        else:
            yield from _misfits(field, value, f"provider.defaults.{path}")


def _leaves(field: Field, path: str = "") -> list[str]:
    """Return the paths of all single values and lists."""
    result = []
    for key, inner in field.keys.items():
        result += _leaves(inner, f"{path}{key}.") if inner.kind == "mapping" else [f"{path}{key}"]
    return result


def _meant(path: str, leaves: list[str]) -> str:
    """Return the remedy for a path that does not exist."""
    nearest = nearest_of(path, leaves)
    return f"did you mean {nearest}?" if nearest else "write one of docs/site-file.md"


def _paths(feature: Feature, features: Sequence[Feature], site: Field) -> Iterator[Problem]:
    """Yield the paths of the site that are mentioned and do not exist."""
    leaves = _leaves(site)
    providers = [other.provider.name for other in features if other.provider]
    for index, port in enumerate(feature.ports):
        if isinstance(port.port, str) and port.port not in leaves:
            yield f"ports[{index}].port", f"there is no key {port.port}; {_meant(port.port, leaves)}"
    for place, listen in _listens(feature):
        paths = [(f"{place}.when", path) for path in listen.when]
        if isinstance(listen.port, str):
            paths.append((f"{place}.port", listen.port))
        for where, path in paths:
            if path not in leaves:
                yield where, f"there is no key {path}; {_meant(path, leaves)}"
        spellings = [network_path(listen.networks, provider) for provider in providers]
        if listen.networks not in ("", ANYWHERE) and not any(path in leaves for path in spellings):
            anyones = {f"provider.{path.partition('.')[2]}" for path in leaves if path.partition(".")[0] in providers}
            remedy = _meant(listen.networks, [*leaves, *sorted(anyones), ANYWHERE])
            yield f"{place}.networks", f"there is no key {listen.networks}; {remedy}"


def _fields(feature: Feature, features: Sequence[Feature]) -> Iterator[Problem]:
    """Yield what is wrong with the keys that a feature adds."""
    providers = [other.provider.name for other in features if other.provider]
    for where in HOMES:
        for path, field in getattr(feature, where).items():
            first, _dot, rest = path.partition(".")
            if rest and not any(first in (*SITE.keys, *getattr(other, where)) for other in features):
                yield f"{where}.{path}", f"there is no mapping {first}; add it, or write another path"
            yield from _field(field, f"{where}.{path}", providers)


def _field(field: Field, path: str, providers: list[str]) -> Iterator[Problem]:
    """Yield what is wrong with one field."""
    wanted = {
        "integer": ("minimum", field.minimum is not None and field.maximum is not None, "minimum and maximum"),
        "label": ("maximum", field.maximum is not None, "maximum: 24"),
        "list": ("item", field.item is not None, "item: {kind: text, ...}"),
        "choice": ("choices", bool(field.choices or field.choices_of), "choices: [...]"),
    }
    if field.kind in wanted and not wanted[field.kind][1]:
        yield path, f"{field.kind} has no {wanted[field.kind][0]}; add {wanted[field.kind][2]}"
        return
    for name in (*field.providers, *field.required):
        if name not in (EVERY, *providers):
            yield path, f"there is no provider {name}; {one_of(name, providers)}"
    values = [] if field.default is None else [("default", field.default)]
    if isinstance(field.default, dict):
        for name in field.default:
            if name not in (OTHERS, *providers):
                yield f"{path}.default", f"there is no provider {name}; {one_of(name, [*providers, OTHERS])}"
        values = [(f"default.{name}", value) for name, value in field.default.items()]
    if field.example is not None and field.kind not in ("mapping", "choice"):
        values.append(("example", field.example))
    if not field.choices_of:
        for name, value in values:
            yield from _misfits(field, value, f"{path}.{name}")
    if field.item is not None:
        yield from _field(field.item, f"{path}.item", providers)
    for key, inner in field.keys.items():
        for other in inner.only_with:
            if other not in field.keys:
                yield f"{path}.keys.{key}.only_with", f"there is no key {other}; {one_of(other, field.keys)}"
        target = field.keys.get(inner.short_for)
        if inner.short_for and (target is None or target.kind != "list"):
            yield f"{path}.keys.{key}.short_for", f"there is no list {inner.short_for}; {one_of(key, field.keys)}"
        yield from _field(inner, f"{path}.keys.{key}", providers)


def _misfits(field: Field, value: object, path: str) -> Iterator[Problem]:
    reader = Reader()
    reader.read(field, value, path, "")
    yield from reader.problems
