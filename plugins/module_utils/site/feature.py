# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a feature adds to a site: the content of roles/<feature>/meta/feature.yml, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from dataclasses import field as dataclass_field
from typing import Any

from .feature_schema import FEATURE
from .fields import Field, field_from
from .reader import Reader, require

FILE = "roles/{}/meta/feature.yml"
# The value of `on` for every host.
ALL = "all"


@dataclass(frozen=True)
class Listen:
    """A port on which hosts answer hosts of other groups, or networks."""

    # A number, or the path of the key of the site that holds it.
    port: int | str
    sources: tuple[str, ...] = ()
    protocol: str = "tcp"
    # Only where the keys at these paths have these values.
    when: Mapping[str, Any] = dataclass_field(default_factory=dict)
    # Hosts of the group (""), "all" hosts of the site, or the "public" one.
    on: str = ""
    # Also from ANYWHERE, or from the networks at this path of the site.
    networks: str = ""
    # The feature that says so.
    feature: str = ""


@dataclass(frozen=True)
class Group:
    """What hosts of a group are for, how many there are, what the group needs to work, and who reaches it."""

    name: str
    description: str
    parent: str = "site"
    hosts: str = "any"
    needs: tuple[str, ...] = ()
    spread: bool = False
    # Operators enter the site by SSH at a host of this group.
    entry: bool = False
    # Visitors are answered by a host of this group.
    public: bool = False
    listens: tuple[Listen, ...] = ()
    feature: str = ""

    @property
    def takes_hosts(self) -> bool:
        """Whether hosts of the site file can be in the group itself."""
        return self.hosts != "none"

    @property
    def exactly_one(self) -> bool:
        """Whether the group must have one host."""
        return self.hosts == "exactly one"

    @property
    def at_most_one(self) -> bool:
        """Whether the group cannot have two hosts."""
        return self.hosts in ("exactly one", "at most one")


@dataclass(frozen=True)
class Extension:
    """What a feature adds to a group of another feature."""

    needs: tuple[str, ...] = ()
    listens: tuple[Listen, ...] = ()


@dataclass(frozen=True)
class Port:
    """A port that a service of the feature uses on its own host."""

    # A number, or the path of the key of the site that holds it.
    port: int | str
    description: str
    protocol: str = "tcp"
    loopback: bool = False
    # The names of the processes that listen there: others are in the way.
    programs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Provider:
    """Where hosts come from."""

    name: str
    # Whether the hosts are made; else they exist.
    makes: bool = True
    # The provider of a site that names none.
    default: bool = False
    # The public ports are ports of this machine, so that they do not clash with those of services.
    publishes: bool = False
    # So many addresses at the beginning of the network belong to the network itself.
    reserved_addresses: int = 0
    # Defaults of keys of the core, by their paths.
    defaults: Mapping[str, Any] = dataclass_field(default_factory=dict)


Check = Callable[[Any, Any], None]
# Looks into the files that an effective site names, with absolute paths; returns what is wrong with them.
FileCheck = Callable[[Any], list[str]]


@dataclass(frozen=True)
class Feature:
    """One feature: `name` is that of its folder in roles/."""

    name: str
    description: str
    provider: Provider | None = None
    driver: bool = False
    on: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    extends: Mapping[str, Extension] = dataclass_field(default_factory=dict)
    keys: Mapping[str, Field] = dataclass_field(default_factory=dict)
    host_keys: Mapping[str, Field] = dataclass_field(default_factory=dict)
    volume_keys: Mapping[str, Field] = dataclass_field(default_factory=dict)
    secrets: tuple[str, ...] = ()
    users: Mapping[str, int] = dataclass_field(default_factory=dict)
    ports: tuple[Port, ...] = ()
    # Paths of the system that it replaces.
    replaces: tuple[str, ...] = ()
    # Debian packages that its hosts must be able to install.
    packages: tuple[str, ...] = ()
    # The names of its files in tasks/, without .yml.
    verbs: tuple[str, ...] = ()
    # Functions of the feature's meta/checks.py: each with the keys whose values it needs.
    checks: tuple[tuple[Check, frozenset[str]], ...] = ()
    file_checks: tuple[FileCheck, ...] = ()

    @property
    def driver_name(self) -> str:
        """The name of a driver in site files: image_server_x, which runs on image_server, is x."""
        return self.name.removeprefix(f"{self.on[0]}_") if self.driver and self.on else ""

    @property
    def file(self) -> str:
        """Where the feature is described, for messages."""
        return FILE.format(self.name)


def parse(name: str, data: Any, verbs: tuple[str, ...] = ()) -> tuple[Feature | None, list[str]]:
    """Return the feature that the content of its file describes, or None and what is wrong with it."""
    reader = Reader()
    if isinstance(data, Mapping) and data.get("on") == ALL:
        data = {**data, "on": [ALL]}
    sound = reader.read(FEATURE, data, "", "")
    if sound is not None:
        require(FEATURE, sound, "", reader)
    file = FILE.format(name)
    lines = [f"{file}: {path.lstrip('.')}: {text}" if path else f"{file}: {text}" for path, text in reader.problems]
    if lines:
        return None, lines
    return _feature(name, sound, verbs), []


def _feature(name: str, data: Mapping[str, Any], verbs: tuple[str, ...]) -> Feature:
    groups = tuple(
        Group(
            group,
            **{**content, "needs": tuple(content.get("needs", ())), "listens": _listens(name, content)},
            feature=name,
        )
        for group, content in data.get("groups", {}).items()
    )
    provider = data.get("provider")
    if provider is not None:
        makes = provider["hosts"] == "made"
        provider = Provider(makes=makes, **{key: value for key, value in provider.items() if key != "hosts"})
    on = data.get("on", [] if provider else [group.name for group in groups])
    return Feature(
        name,
        data["description"],
        provider=provider,
        driver=data.get("driver", False),
        on=tuple(on if isinstance(on, list) else [ALL] if on else []),
        after=tuple(data.get("after", ())),
        groups=groups,
        extends={
            group: Extension(tuple(content.get("needs", ())), _listens(name, content))
            for group, content in data.get("extends", {}).items()
        },
        keys={key: field_from(field) for key, field in data.get("keys", {}).items()},
        host_keys={key: field_from(field) for key, field in data.get("host_keys", {}).items()},
        volume_keys={key: field_from(field) for key, field in data.get("volume_keys", {}).items()},
        secrets=tuple(data.get("secrets", ())),
        users=data.get("users", {}),
        ports=tuple(
            Port(
                port["port"],
                port["description"],
                port.get("protocol", "tcp"),
                port.get("from") == "loopback",
                tuple(port.get("programs", ())),
            )
            for port in data.get("ports", [])
        ),
        replaces=tuple(data.get("replaces", ())),
        packages=tuple(data.get("packages", ())),
        verbs=verbs,
    )


def _listens(feature: str, content: Mapping[str, Any]) -> tuple[Listen, ...]:
    return tuple(
        Listen(
            sources=tuple(listen.get("from", ())),
            feature=feature,
            **{key: value for key, value in listen.items() if key != "from"},
        )
        for listen in content.get("listens", [])
    )
