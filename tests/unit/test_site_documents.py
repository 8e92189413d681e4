# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The site file for editors and readers: its JSON schema, the examples and the manual."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import yaml
from jsonschema import Draft202012Validator
from site_samples import DEMO, IDR126, REPOSITORY, schema

from plugins.module_utils import site as site_file


def editor_problems(content: Any) -> list[str]:
    document = json.loads((REPOSITORY / "vars" / "site.schema.json").read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(document)
    return [error.message for error in Draft202012Validator(document).iter_errors(content)]


@pytest.mark.parametrize("file", ["vars/demo.yml", "vars/openstack-example.yml", "molecule/test-site.yml"])
def test_the_editors_schema_accepts_our_sites(file: str) -> None:
    assert editor_problems(yaml.safe_load((REPOSITORY / file).read_text(encoding="utf-8"))) == []


def test_the_editors_schema_refuses_mistakes() -> None:
    site = {"name": "Lab", "provider": "dokcer", "hosts": [{"groups": ["database"], "memory": 1}]}
    assert len(editor_problems({"site": site})) == 4


def test_the_examples_of_the_manual_are_sound() -> None:
    manual = (REPOSITORY / "docs" / "site-file.md").read_text(encoding="utf-8")
    examples = [yaml.safe_load(text) for text in re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL)]
    assert len(examples) == 3
    for example in examples:
        base = schema.merged(DEMO, IDR126) if example["site"].get("base") == "idr126" else DEMO
        assert schema.problems(base, example["site"]) == []
        assert editor_problems(example) == []


EXAMPLE = yaml.safe_load((REPOSITORY / "vars" / "openstack-example.yml").read_text(encoding="utf-8"))["site"]


def test_the_example_of_a_site_on_a_cloud_is_sound_and_has_every_key() -> None:
    assert schema.problems(DEMO, EXAMPLE) == []
    text = (REPOSITORY / "vars" / "openstack-example.yml").read_text(encoding="utf-8")

    def keys(field: site_file.Field) -> set[str]:
        inner = [*field.keys.values(), *([field.item] if field.item else [])]
        known = {key for key, value in field.keys.items() if "openstack" in value.providers}
        return known.union(*(keys(value) for value in inner if "openstack" in value.providers))

    # What makes sense only with another value of a key, or over a base that has something to leave out.
    elsewhere = {"base", "absent", "wipe_signature", "certificate"}
    assert {key for key in keys(schema.site) if f"{key}:" not in text} == elsewhere


def test_the_second_cloud_of_the_manual_takes_ten_lines() -> None:
    manual = (REPOSITORY / "docs" / "openstack.md").read_text(encoding="utf-8")
    examples = [text for text in re.findall(r"```yaml\n(.*?)```", manual, re.DOTALL) if text.startswith("site:")]
    assert [len(text.splitlines()) for text in examples] == [10]
    overrides = yaml.safe_load(examples[0])["site"]
    assert schema.problems(schema.merged(DEMO, EXAMPLE), overrides) == []
    hosts = schema.effective(schema.merged(DEMO, EXAMPLE), overrides)["hosts"]
    assert {host["flavor"] for host in hosts} == {"c2.large", "c2.small"}


def test_the_manual_has_every_port_of_the_firewall() -> None:
    manual = (REPOSITORY / "docs" / "openstack.md").read_text(encoding="utf-8")
    for name, group in schema.groups.items():
        for listen in (listen for listen in group.listens if not listen.on and listen.sources):
            row = next(line for line in manual.splitlines() if line.startswith(f"| `{name}` |"))
            assert str(listen.port) in row
            assert all(f"`{source}`" in row for source in listen.sources)
