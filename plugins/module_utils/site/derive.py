# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What follows from the features for a site and for its hosts."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, TypedDict

from .feature import ALL, Feature
from .fields import value_at

if TYPE_CHECKING:
    from .schema import Schema

# The verbs that features have files for, beside main.
VERBS = ("preflight", "verify", "backup", "restore", "upgrade")


class UsedPort(TypedDict):
    """A port that a service uses on hosts with the feature."""

    port: int
    protocol: str
    description: str
    feature: str
    loopback: bool
    programs: list[str]


def site_drivers(schema: Schema, site: Mapping[str, Any]) -> list[str]:
    """Return the names of the drivers of a filled site."""
    found = value_at(site, ".".join(schema.drivers_path)) if schema.drivers_path else None
    return list(found or [])


def host_drivers(schema: Schema, site: Mapping[str, Any], host: Mapping[str, Any]) -> list[str]:
    """Return the names of the drivers of one host: those of its site, or those that it names itself."""
    runs = {feature.driver_name: _is_on(schema, feature, host.get("groups", [])) for feature in schema.features}
    own = host.get(schema.host_drivers_key or "", [])
    return [name for name in site_drivers(schema, site) if runs.get(name) and (not own or name in own)]


def features_on(schema: Schema, site: Mapping[str, Any]) -> list[Feature]:
    """Return the features of a filled site, in order."""
    groups = [group for host in site["hosts"] if not host.get("absent") for group in host.get("groups", [])]
    drivers = site_drivers(schema, site)
    result = []
    for feature in schema.features:
        if feature.provider:
            active = feature.provider.name == site.get("provider")
        elif feature.driver:
            active = feature.driver_name in drivers
        else:
            active = _is_on(schema, feature, groups)
        if active:
            result.append(feature)
    return result


def host_features(schema: Schema, site: Mapping[str, Any], host: Mapping[str, Any]) -> list[Feature]:
    """Return the features that one host of an effective site has, in the order in which it gets them."""
    drivers = host_drivers(schema, site, host)
    return [
        feature
        for feature in features_on(schema, site)
        if (feature.driver_name in drivers if feature.driver else _is_on(schema, feature, host.get("groups", [])))
    ]


def _is_on(schema: Schema, feature: Feature, groups: list[str]) -> bool:
    return feature.on == (ALL,) or any(schema.is_in(group, wanted) for group in groups for wanted in feature.on)


def verbs(features: list[Feature]) -> dict[str, list[str]]:
    """Return for each verb the names of the features that have a file for it."""
    return {verb: [feature.name for feature in features if verb in feature.verbs] for verb in VERBS}


def site_secrets(schema: Schema, site: Mapping[str, Any]) -> list[str]:
    """Return the names of the secrets of a site, each once."""
    return list(dict.fromkeys(secret for feature in features_on(schema, site) for secret in feature.secrets))


def site_users(schema: Schema, site: Mapping[str, Any]) -> dict[str, int]:
    """Return the fixed numbers of users of a site."""
    return {name: number for feature in features_on(schema, site) for name, number in feature.users.items()}


def site_ports(schema: Schema, site: Mapping[str, Any]) -> list[UsedPort]:
    """Return the ports that the services of a site use on their own hosts."""
    return [
        {
            "port": number,
            "protocol": port.protocol,
            "description": port.description,
            "feature": feature.name,
            "loopback": port.loopback,
            "programs": list(port.programs),
        }
        for feature in features_on(schema, site)
        for port in feature.ports
        if (number := port_number(site, port.port)) is not None
    ]


def port_number(site: Mapping[str, Any], port: int | str) -> int | None:
    """Return the number of a port, or None where the site has none at its path."""
    number = port if isinstance(port, int) else value_at(site, port)
    return number if isinstance(number, int) else None
