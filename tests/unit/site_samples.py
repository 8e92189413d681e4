# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The schema of the site file, the demo, and a site on a cloud, for the tests of the site file."""

from __future__ import annotations

from pathlib import Path

import yaml

from plugins.plugin_utils import features

REPOSITORY = Path(__file__).resolve().parents[2]
schema = features.read().schema
DEMO = yaml.safe_load((REPOSITORY / "vars" / "demo.yml").read_text(encoding="utf-8"))["site"]

IDR126 = {
    "provider": "openstack",
    "openstack": {"cloud": "a", "image": "b", "network": {"external": "c"}, "ssh_from": ["198.51.100.0/24"]},
    "public": {"name": "images.example.org", "address": "192.0.2.126"},
    "hosts": [
        {"name": name, "flavor": "m1.large", "volumes": [{"name": volume, "gib": 9}] if volume else []}
        for name, volume in (("database", "db"), ("primary", "data"), ("replica", ""), ("proxy", "cache"))
    ],
}
