# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Reads the features of the repository, roles/*/meta/feature.yml, on the controller."""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import yaml

from ..module_utils.site import Feature, Schema, feature_problems, features_on, parse
from ..module_utils.site.feature import Check, FileCheck

REPOSITORY = Path(__file__).resolve().parents[2]


# libyaml's reader is ten times as fast; PyYAML may be built without it.
class Loader(getattr(yaml, "CSafeLoader", yaml.SafeLoader)):  # type: ignore[misc]
    """Reads YAML in which `on` is a word: only true and false are booleans."""

    yaml_implicit_resolvers: ClassVar[dict[str, list[tuple[str, Any]]]] = {
        first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
        for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
    }


Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile("true|false"), list("tf"))


@dataclass(frozen=True)
class Features:
    """The schema that the sound features make, and what is wrong with the others."""

    schema: Schema
    problems: list[str]


@lru_cache(maxsize=8)
def read(repository: Path = REPOSITORY) -> Features:
    """Return the features of a repository; each is read once by a process."""
    features: list[Feature] = []
    problems: list[str] = []
    for file in sorted(repository.glob("roles/*/meta/feature.yml")):
        feature, lines = read_feature(file)
        problems += lines
        if feature:
            features.append(feature)
    # Only whole features can be compared with each other.
    if not problems:
        problems = feature_problems(features)
    return Features(Schema(features), problems)


def read_feature(file: Path) -> tuple[Feature | None, list[str]]:
    """Return one feature, or None and what is wrong with it."""
    role = file.parents[1]
    shown = f"roles/{role.name}/meta/{{}}"
    try:
        content = yaml.load(file.read_bytes(), Loader=Loader)
    except (OSError, ValueError, RecursionError, yaml.YAMLError) as error:
        return None, [f"{shown.format(file.name)}: {one_line(error)}; correct the file"]
    verbs = tuple(sorted(verb.stem for verb in role.glob("tasks/*.yml")))
    feature, problems = parse(role.name, content, verbs)
    own_checks = file.parent / "checks.py"
    if feature is None or not own_checks.is_file():
        return feature, problems
    try:
        checks, file_checks = load_checks(own_checks)
        return replace(feature, checks=checks, file_checks=file_checks), []
    except Exception as error:
        return None, [f"{shown.format(own_checks.name)}: {one_line(error)}; correct the file"]


def load_checks(file: Path) -> tuple[tuple[tuple[Check, frozenset[str]], ...], tuple[FileCheck, ...]]:
    """Return CHECKS of a Python file, pairs of a function and the keys whose values it needs, and its FILE_CHECKS."""
    specification = importlib.util.spec_from_file_location(f"{file.parents[1].name}_checks", file)
    assert specification and specification.loader
    module = importlib.util.module_from_spec(specification)
    specification.loader.exec_module(module)
    pairs: Iterable[Any] = module.CHECKS
    return tuple((function, frozenset(keys)) for function, keys in pairs), tuple(getattr(module, "FILE_CHECKS", ()))


def file_problems(schema: Schema, site: dict[str, Any]) -> list[str]:
    """Return what is wrong with the files that an effective site names; their paths are absolute."""
    return [line for feature in features_on(schema, site) for check in feature.file_checks for line in check(site)]


def one_line(error: Exception) -> str:
    """Return what an error says, on one line, with the line of the file where YAML knows it."""
    mark = getattr(error, "problem_mark", None)
    if mark is not None:
        return f"line {mark.line + 1}: {getattr(error, 'problem', None) or 'is not YAML'}"
    return " ".join(str(error).split()) or type(error).__name__
