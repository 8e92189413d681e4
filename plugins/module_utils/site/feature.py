# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a feature adds to a site: the content of roles/<feature>/meta/feature.yml, read and checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any

from .fields import EVERY, FIELD, Field, field_from
from .reader import Reader, require

FILE = "roles/{}/meta/feature.yml"
# The value of `on` for every host, and that of `networks` for the whole world.
ALL = "all"
ANYWHERE = "anywhere"


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

    port: int
    description: str
    protocol: str = "tcp"
    loopback: bool = False


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
    # The names of its files in tasks/, without .yml.
    verbs: tuple[str, ...] = ()
    # Functions of the feature's meta/checks.py: each with the keys whose values it needs.
    checks: tuple[tuple[Check, frozenset[str]], ...] = ()

    @property
    def driver_name(self) -> str:
        """The name of a driver in site files: image_server_x, which runs on image_server, is x."""
        return self.name.removeprefix(f"{self.on[0]}_") if self.driver and self.on else ""

    @property
    def file(self) -> str:
        """Where the feature is described, for messages."""
        return FILE.format(self.name)


# --- The schema of meta/feature.yml ---

_GROUPS = Field("list", "", example=["a_group"], item=Field("identifier", "", example="a_group"))
_LISTENS = Field(
    "list",
    "",
    item=Field(
        "mapping",
        "A port that is open to others.",
        keys={
            "port": Field("port", "", example=9100, minimum=1, maximum=65535, required=(EVERY,), unit="the port"),
            "from": _GROUPS,
            "networks": Field("key_path", "", example=ANYWHERE),
            "protocol": Field("choice", "", choices=("tcp", "udp")),
            "on": Field("choice", "", choices=("all", "public")),
            "when": Field(
                "map", "", names="key_path", example="section.key: value", item=Field("any", "", example="value")
            ),
        },
    ),
)
_KEYS = Field("map", "", example="greeting: {kind: text, ...}", item=FIELD)
_DESCRIPTION = Field("text", "", example="One sentence.", required=(EVERY,))
FEATURE = Field(
    "mapping",
    "What a feature adds to a site.",
    keys={
        "description": _DESCRIPTION,
        "provider": Field(
            "mapping",
            "",
            keys={
                "name": Field("label", "", example="my-cloud", maximum=24, required=(EVERY,)),
                "hosts": Field("choice", "", choices=("made", "given"), required=(EVERY,)),
                "default": Field("boolean", ""),
                "publishes": Field("boolean", ""),
                "reserved_addresses": Field("integer", "", minimum=0, maximum=250, unit="addresses"),
                "defaults": Field("map", "", names="key_path", item=Field("any", "", example="localhost")),
            },
        ),
        "driver": Field("boolean", ""),
        "on": Field("text_list", "", example="[a_group], or all"),
        "after": Field("list", "", item=Field("identifier", "", example="a_feature")),
        "groups": Field(
            "map",
            "",
            example="greeter: {description: ...}",
            item=Field(
                "mapping",
                "",
                keys={
                    "description": _DESCRIPTION,
                    "parent": Field("identifier", "", example="a_group"),
                    "hosts": Field("choice", "", choices=("any", "at most one", "exactly one", "none")),
                    "needs": _GROUPS,
                    "spread": Field("boolean", ""),
                    "entry": Field("boolean", ""),
                    "public": Field("boolean", ""),
                    "listens": _LISTENS,
                },
            ),
        ),
        "extends": Field(
            "map",
            "",
            example="a_group: {needs: [...]}",
            item=Field("mapping", "", keys={"needs": _GROUPS, "listens": _LISTENS}),
        ),
        "keys": replace(_KEYS, names="key_path"),
        "host_keys": _KEYS,
        "volume_keys": _KEYS,
        "secrets": Field("list", "", item=Field("secret", "", example="vault_greeter_password")),
        "users": Field(
            "map",
            "",
            names="account",
            example="greeter: 961",
            item=Field("integer", "", example=961, minimum=1, maximum=65533, unit="a user"),
        ),
        "ports": Field(
            "list",
            "",
            item=Field(
                "mapping",
                "",
                keys={
                    "port": Field(
                        "integer", "", example=9100, minimum=1, maximum=65535, unit="the port", required=(EVERY,)
                    ),
                    "description": _DESCRIPTION,
                    "protocol": Field("choice", "", choices=("tcp", "udp")),
                    "from": Field("choice", "", choices=("loopback",)),
                },
            ),
        ),
    },
)


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
            Port(port["port"], port["description"], port.get("protocol", "tcp"), port.get("from") == "loopback")
            for port in data.get("ports", [])
        ),
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
