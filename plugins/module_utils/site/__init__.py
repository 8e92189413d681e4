# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The site file: what may stand in it, what it means, and what is wrong with one.

A Schema is made of features, which plugin_utils/features.py reads from roles/*/meta/feature.yml. Nothing here imports
Ansible, reads a file or knows a feature, group or provider by name, and nothing raises, whatever YAML can hold.
"""

from __future__ import annotations

from ..firewall import ALL_HOSTS, Firewall
from .consistency import feature_problems
from .derive import (
    VERBS,
    UsedPort,
    features_on,
    host_drivers,
    host_features,
    site_drivers,
    site_ports,
    site_secrets,
    site_users,
    verbs,
)
from .feature import Feature, Group, Listen, Provider, parse
from .feature_schema import FEATURE
from .fields import FIELD, PATTERNS, Field, find, key_paths, one_of, value_at
from .network import PUBLIC_HOST, existing_network, firewall, host_firewalls, site_firewall, site_network, url
from .paths import absolute, paths, resolved_paths
from .schema import Schema, name_problems

__all__ = [
    "ALL_HOSTS",
    "FEATURE",
    "FIELD",
    "PATTERNS",
    "PUBLIC_HOST",
    "VERBS",
    "Feature",
    "Field",
    "Firewall",
    "Group",
    "Listen",
    "Provider",
    "Schema",
    "UsedPort",
    "absolute",
    "existing_network",
    "feature_problems",
    "features_on",
    "find",
    "firewall",
    "host_drivers",
    "host_features",
    "host_firewalls",
    "key_paths",
    "name_problems",
    "one_of",
    "parse",
    "paths",
    "resolved_paths",
    "site_drivers",
    "site_firewall",
    "site_network",
    "site_ports",
    "site_secrets",
    "site_users",
    "url",
    "value_at",
    "verbs",
]
