# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Reads YAML data against a field: keeps what is sound, collects what is not, and never raises."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from .fields import EVERY, PATTERNS, Field, Wrong, example, nearest_of, show
from .readers import READERS

# Deeper than any schema; YAML can hold a value that holds itself.
DEPTH = 40


def is_plain(name: Any) -> bool:
    """Return whether a message can show a name as it is."""
    return isinstance(name, str) and re.fullmatch(r"[\w-]{1,60}", name) is not None


class Reader:
    """Reads one file.

    `problems` lists paths and what is wrong there, in the order of the file. `spoiled` holds the keys of refused
    values and `misspelt` the paths that were probably meant, so that nobody concludes anything from their absence.
    `places` tells where the file has the entry of a list: by the path of the list and the name of the entry.
    `homes` are the paths of the mappings that know a key, for keys that stand in the wrong one.
    """

    def __init__(self, homes: Mapping[str, list[str]] | None = None) -> None:
        self.homes = homes or {}
        self.problems: list[tuple[str, str]] = []
        self.refused: set[str] = set()
        self.spoiled: set[str] = set()
        self.misspelt: set[str] = set()
        self.places: dict[tuple[str, str], str] = {}

    def refuse(self, path: str, key: str, text: str) -> None:
        """Report the value at a path, once, and remember that its key has no sound value."""
        if path not in self.refused:
            self.report(path, text)
        self.refused.add(path)
        self.spoiled.add(key)

    def report(self, path: str, text: str) -> None:
        """Report what does not fit together."""
        self.problems.append((path, text))

    def lines(self) -> list[str]:
        """Return the problems as they are printed."""
        return [f"{path}: {text}" for path, text in self.problems]

    def place(self, path: str, name: str) -> str:
        """Return the path of an entry, by position if the file has it and by name alone if only the base has it."""
        return self.places.get((path, name), f"{path} ({name})")

    def read(self, field: Field, value: Any, path: str, key: str) -> Any:
        """Return the sound part of a value, None for nothing."""
        if value is None:
            self.refuse(path, key, "is empty; write a value or remove the line")
        elif path.count(".") > DEPTH:
            self.refuse(path, key, "is nested too deeply; remove it")
        elif field.kind == "mapping":
            return self._mapping(field, value, path, key)
        elif field.kind == "map":
            return self._map(field, value, path, key)
        elif field.kind == "list":
            return self._list(field, value, path, key)
        else:
            try:
                return READERS[field.kind](field, value)
            except Wrong as wrong:
                self.refuse(path, key, str(wrong))
        return None

    def _mapping(self, field: Field, value: Any, path: str, key: str) -> dict[str, Any] | None:
        if not isinstance(value, Mapping):
            self.refuse(path, key, f"{show(value)} is not a mapping; write its keys below it: {', '.join(field.keys)}")
            return None
        result: dict[str, Any] = {}
        for name, inner in value.items():
            if isinstance(name, str) and name in field.keys:
                self._key(field.keys[name], str(name), inner, value, path, result)
            else:
                self._unknown(field, name, path)
        return result

    def _key(
        self, field: Field, name: str, value: Any, beside: Mapping[Any, Any], path: str, result: dict[str, Any]
    ) -> None:
        place = f"{path}.{name}"
        if field.short_for and field.short_for in beside:
            self.refuse(place, name, f"{field.short_for} stands beside it; remove one of them")
            return
        sound = self.read(field, value, place, name)
        if field.short_for and sound is None:
            # What it is short for is not missing.
            self.refused.add(f"{path}.{field.short_for}")
            self.spoiled.add(field.short_for)
        elif field.short_for:
            result[field.short_for] = [sound]
        elif sound is not None:
            result[name] = sound

    def _unknown(self, field: Field, name: Any, path: str) -> None:
        shown = name if is_plain(name) else show(name)
        nearest = nearest_of(name, field.keys) if isinstance(name, str) else None
        homes = [home for home in self.homes.get(name, ()) if home != path] if isinstance(name, str) else []
        if nearest:
            self.misspelt.add(f"{path}.{nearest}")
            remedy = f"did you mean {nearest}?"
        elif len(homes) == 1:
            remedy = f"it belongs to {homes[0]}"
        else:
            remedy = f"remove it, or write one of {', '.join(field.keys)}"
        self.refuse(f"{path}.{shown}", nearest or "", f"unknown key; {remedy}")

    def _map(self, field: Field, value: Any, path: str, key: str) -> dict[str, Any] | None:
        """Read a mapping whose names are free."""
        if not isinstance(value, Mapping):
            self.refuse(path, key, f"{show(value)} is not a mapping; write names below it, {example(field)}")
            return None
        result = {}
        for name, inner in value.items():
            shown = name if is_plain(name) or (isinstance(name, str) and "." in name) else show(name)
            place = f"{path}.{shown}"
            if not isinstance(name, str) or len(name) > 63 or not re.fullmatch(PATTERNS[field.names], name):
                self.refuse(
                    place if is_plain(name) else f"{path}.{show(name)}",
                    key,
                    f"is no name; write names, {example(field)}",
                )
                continue
            sound = self.read(field.entry, inner, place, key)
            if sound is not None:
                result[str(name)] = sound
        return result

    def _list(self, field: Field, value: Any, path: str, key: str) -> list[Any] | None:
        if not isinstance(value, (list, tuple)):
            plain = isinstance(value, str) and re.fullmatch(r"[\w./-]{1,60}", value)
            remedy = "each entry as - name: ..." if field.named else f"[{value}]" if plain else "[...]"
            self.refuse(path, key, f"{show(value)} is not a list; write {remedy}")
            return None
        result: list[Any] = []
        for index, inner in enumerate(value):
            place = f"{path}[{index}]"
            if field.named:
                self._entry(field.entry, inner, path, index, key, result)
                continue
            sound = self.read(field.entry, inner, place, key)
            if sound in result:
                self.refuse(place, key, f"{show(sound)} stands twice; remove one")
            elif sound is not None:
                result.append(sound)
        return result

    def _entry(self, field: Field, value: Any, path: str, index: int, key: str, result: list[Any]) -> None:
        """Read one entry of a list that is merged by name; without a name it cannot be merged."""
        place = f"{path}[{index}]"
        name = value.get("name") if isinstance(value, Mapping) else None
        if key == "hosts" and isinstance(name, str) and re.fullmatch(r"[\w.-]{1,60}", name):
            place = f"{place} ({name})"
        sound = self.read(field, value, place, key)
        if sound is None:
            return
        if "name" not in sound:
            self.refuse(f"{place}.name", key, f"is missing; write {example(field.keys['name'])}")
            self.spoiled.add(key)
        elif (path, sound["name"]) in self.places:
            first = self.places[path, sound["name"]]
            self.refuse(f"{place}.name", key, f"{show(sound['name'])} is also the name of {first}; write another name")
        else:
            self.places[path, sound["name"]] = place
            result.append(sound)


def require(field: Field, value: Any, path: str, reader: Reader) -> None:
    """Refuse the absence of keys that every value must have, in sound data of any schema."""
    if field.kind == "mapping" and isinstance(value, Mapping):
        for key, inner in field.keys.items():
            here = f"{path}.{key}"
            if key in value:
                require(inner, value[key], here, reader)
            elif EVERY in inner.required and here not in reader.refused and here not in reader.misspelt:
                reader.refuse(here, key, f"is missing; write {example(inner)}")
    elif field.kind == "map" and isinstance(value, Mapping):
        for name, inner_value in value.items():
            require(field.entry, inner_value, f"{path}.{name}", reader)
    elif field.kind == "list" and isinstance(value, list):
        for index, inner_value in enumerate(value):
            require(field.entry, inner_value, f"{path}[{index}]", reader)
