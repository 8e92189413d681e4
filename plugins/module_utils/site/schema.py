# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The schema of site files that a set of features makes, and what it says about a site."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cached_property
from typing import Any

from . import checks, network
from .assemble import groups_of, ordered, site_field
from .feature import Feature, Group, Provider
from .fields import Field, key_paths, nearest_of, show
from .merge import fill, merge_sites
from .reader import Reader, is_plain

# What the verbs themselves take on the command line.
VERB_VARIABLES = (
    "back",
    "boot_timeout_seconds",
    "cloud",
    "confirm",
    "destroy_volumes",
    "drain",
    "from",
    "maintenance",
    "manifest",
    "name",
    "purge",
    "recreate_failed",
    "refresh",
    "stats",
    "undrain",
)
FREE_PREFIXES = ("vault_", "ansible_")


class Schema:
    """What may stand in a site file, what it means, and what is wrong with one.

    Nothing here raises, whatever YAML can hold.
    """

    def __init__(self, features: Iterable[Feature] = ()) -> None:
        self.features: tuple[Feature, ...] = ordered(features)
        self.groups: dict[str, Group] = groups_of(self.features)
        self.site: Field = site_field(self.features, self.groups)
        self.providers: dict[str, Provider] = {
            feature.provider.name: feature.provider for feature in self.features if feature.provider
        }

    @cached_property
    def homes(self) -> dict[str, list[str]]:
        """The paths of the mappings that know a key."""
        result: dict[str, list[str]] = {}
        for name, path in key_paths(self.site, "site"):
            result.setdefault(name, []).append(path)
        return result

    @cached_property
    def drivers_path(self) -> tuple[str, str] | None:
        """The mapping and the list of the drivers of a site, or None where no feature asks for them."""
        for outer, field in self.site.keys.items():
            for name, inner in field.keys.items():
                if inner.kind == "list" and inner.entry.choices_of == "drivers":
                    return outer, name
        return None

    @cached_property
    def host_drivers_key(self) -> str | None:
        """The key of a host that lists its drivers."""
        keys = self.site.keys["hosts"].entry.keys
        lists = (name for name, field in keys.items() if field.kind == "list" and field.entry.choices_of == "drivers")
        return next(lists, None)

    def is_in(self, group: str, other: str) -> bool:
        """Return whether hosts of a group are also in the other one."""
        seen = set()
        while group in self.groups and group not in seen and group != other:
            seen.add(group)
            group = self.groups[group].parent
        return group == other

    def effective(self, base: Any, overrides: Any = None) -> dict[str, Any]:
        """Return the whole site: overrides over base, defaults filled, hosts counted out and addressed.

        Values that the schema refuses are left out: ask problems() first.
        """
        merged = merge_sites(self.site, self._sound(base), self._sound(overrides))
        return network.expand(self, fill(self.site, merged))

    def merged(self, base: Any, overrides: Any) -> dict[str, Any]:
        """Return overrides over base as one unfinished site, for a base that has a base itself."""
        return merge_sites(self.site, self._sound(base), self._sound(overrides))

    def file_problems(self, site: Any) -> list[str]:
        """Return what is wrong with the values of one file, whatever it is merged with."""
        reader = Reader(self.homes)
        reader.read(self.site, site, "site", "site")
        return reader.lines()

    def problems(self, base: Any, overrides: Any) -> list[str]:
        """Return all that is wrong with overrides and with the site that they make over base.

        Each line is `path: what is wrong; what to do`. The paths are those of overrides; what only the base has is
        named by its name instead of its position.
        """
        reader = Reader(self.homes)
        sound = reader.read(self.site, overrides, "site", "site")
        if sound is None:
            return reader.lines()
        if "name" not in sound and "site.name" not in reader.misspelt:
            reader.refuse("site.name", "name", "is missing; write the name of this site, for example idr127")
        lent = self._sound(base)
        site = fill(self.site, merge_sites(self.site, lent, sound))
        checks.check(self, site, sound, lent, reader)
        return reader.lines()

    def variable_problems(self, names: Iterable[Any], known: Iterable[str]) -> list[str]:
        """Return one line for each top-level variable that nothing reads: it would be ignored in silence.

        `known` are the variables of the roles.
        """
        expected = {"site", *VERB_VARIABLES, *known}
        result = []
        for name in names:
            if isinstance(name, str) and (name in expected or name.startswith(FREE_PREFIXES)):
                continue
            shown = name if is_plain(name) else show(name)
            nearest = nearest_of(name, sorted(expected)) if isinstance(name, str) else None
            if isinstance(name, str) and name in self.site.keys:
                remedy = f"write it below site, as site.{name}"
            else:
                remedy = f"did you mean {nearest}?" if nearest else "remove it; roles/*/README.md list what there is"
            result.append(f"{shown}: unknown variable; {remedy}")
        return result

    def _sound(self, site: Any) -> dict[str, Any]:
        return Reader(self.homes).read(self.site, {} if site is None else site, "site", "site") or {}


def name_problems(name: Any) -> list[str]:
    """Return what is wrong with the name of a site, whatever features there are."""
    return Schema().file_problems({"name": name})
