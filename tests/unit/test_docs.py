# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What is written twice must say the same: generated documents, defaults and argument specifications."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.module_utils.site.schema import VERB_VARIABLES

REPOSITORY = Path(__file__).resolve().parents[2]
ROLES = sorted(path.name for path in (REPOSITORY / "roles").iterdir() if (path / "tasks").is_dir())


def load(path: Path) -> Any:
    """Return the content of a YAML file, an empty mapping where there is none."""
    return yaml.safe_load(path.read_text(encoding="utf-8")) or {} if path.exists() else {}


def test_the_generated_documents_are_fresh() -> None:
    command = [sys.executable, str(REPOSITORY / "bin" / "docs"), "--check"]
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


@pytest.mark.parametrize("role", ROLES)
def test_the_specification_mirrors_the_defaults(role: str) -> None:
    specification = load(REPOSITORY / "roles" / role / "meta" / "argument_specs.yml")
    options: dict[str, Any] = {}
    for entry_point in specification["argument_specs"].values():
        for name, option in (entry_point.get("options") or {}).items():
            if "default" in option:
                options[name] = option["default"]
    assert options == load(REPOSITORY / "roles" / role / "defaults" / "main.yml")


@pytest.mark.parametrize("role", ROLES)
def test_every_variable_of_a_role_begins_with_its_name(role: str) -> None:
    defaults = load(REPOSITORY / "roles" / role / "defaults" / "main.yml")
    assert [name for name in defaults if not name.startswith(f"{role}_")] == []


@pytest.mark.parametrize("role", ROLES)
def test_every_default_says_why_one_would_change_it(role: str) -> None:
    file = REPOSITORY / "roles" / role / "defaults" / "main.yml"
    lines = file.read_text(encoding="utf-8").splitlines() if file.exists() else []
    for above, line in zip(["", *lines], lines, strict=False):
        if line[:1].isalpha():
            assert above.startswith("#"), f"{line}: has no comment above it"


def test_every_variable_of_a_verb_is_in_the_manual() -> None:
    manual = (REPOSITORY / "docs" / "operate.md").read_text(encoding="utf-8")
    assert [name for name in VERB_VARIABLES if f"`{name}`" not in manual] == []
