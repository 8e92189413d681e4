# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The grammar of keys: what a Field says of one key of the site file, and how messages quote values.

A feature writes the same fields as YAML in its meta/feature.yml; FIELD is the field that describes them.
"""

from __future__ import annotations

import datetime
import difflib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from dataclasses import field as dataclass_field
from typing import Any

# Stands for providers whose names only the features know: all, those that make hosts, those whose hosts exist.
EVERY, MADE, GIVEN = "*", "*made", "*given"
# The key of a default per provider that holds for all others.
OTHERS = "else"

# What whole texts look like, in the common part of Python's and ECMA's expressions: JSON Schema takes them too.
PATTERNS = {
    "label": r"[a-z]([a-z0-9-]*[a-z0-9])?",
    "domain": r"(?=.{1,253}$)(?![0-9.]+$)[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?)*",
    "mount": r"(/[A-Za-z0-9_][A-Za-z0-9._-]*)+",
    "device": r"/dev/(disk/by-[a-z]+|mapper)/[^/\s]+",
    "identifier": r"[a-z][a-z0-9_]*",
    "key_path": r"[a-z][a-z0-9_]*(\.[a-z][a-z0-9_]*)*",
    "account": r"[a-z_][a-z0-9_-]*",
    "secret": r"vault_[a-z0-9_]+",
}


@dataclass(frozen=True)
class Field:
    """One key of the site file.

    `kind` names a reader in READERS, or is "mapping" (of `keys`), "list" (of `item`) or "map" (of any names, each of
    the pattern `names`, to `item`). A list of mappings with a name is merged by name.
    """

    kind: str
    description: str
    example: Any = None
    # A value, or one per provider with OTHERS for those that are not named.
    default: Any = None
    # The providers with which the key must be there.
    required: tuple[str, ...] = ()
    # The providers that know the key.
    providers: tuple[str, ...] = (EVERY,)
    # True where a base of another provider must not lend its value: a cloud does not want the sizes of the demo.
    own: bool = False
    unit: str = ""
    minimum: int | None = None
    maximum: int | None = None
    choices: tuple[str, ...] = ()
    # The choices are the names of all "providers", "groups" that take hosts, or "drivers".
    choices_of: str = ""
    item: Field | None = None
    keys: Mapping[str, Field] = dataclass_field(default_factory=dict)
    names: str = "identifier"
    # Only where the keys beside it have these values, and required there unless it has a default.
    only_with: Mapping[str, Any] = dataclass_field(default_factory=dict)
    # The list beside it that this key gives one entry of.
    short_for: str = ""
    # The path must exist on the controller.
    exists: bool = False

    @property
    def named(self) -> bool:
        """Whether this is a list whose entries are known by their name."""
        return self.item is not None and self.kind == "list" and "name" in self.item.keys

    @property
    def entry(self) -> Field:
        """The field of each entry."""
        assert self.item is not None
        return self.item

    def default_for(self, provider: str) -> Any:
        """Return the value that holds when the file says nothing, or None."""
        if isinstance(self.default, dict):
            return self.default.get(provider, self.default.get(OTHERS))
        return self.default


def resolved(field: Field, providers: Mapping[str, tuple[str, ...]], choices: Mapping[str, tuple[str, ...]]) -> Field:
    """Return the field with names in place of EVERY, MADE, GIVEN and of `choices_of`."""

    def names(listed: tuple[str, ...]) -> tuple[str, ...]:
        known = {name for entry in listed for name in providers.get(entry, (entry,))}
        return tuple(name for name in providers[EVERY] if name in known)

    return replace(
        field,
        required=names(field.required),
        providers=names(field.providers),
        choices=choices[field.choices_of] if field.choices_of else field.choices,
        item=None if field.item is None else resolved(field.item, providers, choices),
        keys={key: resolved(inner, providers, choices) for key, inner in field.keys.items()},
    )


def key_paths(field: Field, path: str) -> Iterator[tuple[str, str]]:
    """Yield each key below a field with the path of the mapping that holds it."""
    for name, inner in field.keys.items():
        yield name, path
        yield from key_paths(inner, f"{path}.{name}")
    if field.item is not None:
        yield from key_paths(field.item, f"{path}[]")


def find(field: Field, path: str) -> Field | None:
    """Return the field at a path of keys such as public.name, or None."""
    found: Field | None = field
    for key in path.split("."):
        found = found.keys.get(key) if found else None
    return found


def value_at(value: Any, path: str) -> Any:
    """Return the value at a path of keys, None where there is none."""
    for key in path.split("."):
        value = value.get(key) if isinstance(value, Mapping) else None
    return value


# --- Words of messages ---


class Wrong(Exception):
    """A value that the schema refuses; the text says what is wrong and what to do."""


def show(value: Any) -> str:
    """Return a value as a message quotes it: short, on one line."""
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, str):
        text = str(value)
        return repr(text if len(text) <= 60 else text[:57] + "...")
    if isinstance(value, (int, float)):
        return str(value) if abs(value) < 10**20 or value != value else "a huge number"
    kinds: tuple[tuple[Any, str], ...] = (
        (Mapping, "a mapping"),
        ((list, tuple), "a list"),
        (datetime.date, "a date"),
        (bytes, "binary data"),
    )
    return next((words for kind, words in kinds if isinstance(value, kind)), "a value of another kind")


def nearest_of(word: str, choices: Iterable[str]) -> str | None:
    """Return the choice that the word probably means, or None."""
    found = difflib.get_close_matches(word.lower().replace("-", "_")[:100], list(choices), n=1, cutoff=0.6)
    return found[0] if found else None


def one_of(word: str, choices: Iterable[str]) -> str:
    """Return the remedy for a name that does not exist."""
    choices = list(choices)
    nearest = choices[0] if len(choices) == 1 else nearest_of(word, choices)
    return f"did you mean {nearest}?" if nearest else f"write one of {', '.join(choices)}"


def example(field: Field) -> str:
    """Return an example of what may stand there."""
    for value in (field.example, field.default, *field.choices):
        if isinstance(value, list) and value:
            return f"for example [{', '.join(map(str, value))}]"
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return f"for example {value}"
    if field.kind == "list" and field.item is not None and field.item.choices:
        return f"for example [{field.item.choices[0]}]"
    return f"for example {field.minimum}" if field.minimum else "a value"


# --- Fields that are written as YAML ---

KINDS = (
    *("address", "boolean", "choice", "device", "domain", "integer", "label", "list", "mapping", "mount", "network"),
    *("path", "text"),
)

_FIELD_KEYS: dict[str, Field] = {}
FIELD = Field("mapping", "One key of the site file.", keys=_FIELD_KEYS)
_TEXTS = Field("list", "", item=Field("text", "", example="a_name"))
_FIELD_KEYS.update(
    {
        "kind": Field(
            "choice",
            "What the value is. `mapping` has `keys`, `list` has `item`; the others are single values.",
            choices=KINDS,
            required=(EVERY,),
        ),
        "description": Field("text", "One or two sentences for docs/site-file.md.", example="Name.", required=(EVERY,)),
        "example": Field("any", "A value for messages and documents.", example="a name"),
        "default": Field(
            "any",
            "The value that holds when the file says nothing, or a mapping from provider to value with `else` for "
            "the other providers.",
            example=8080,
        ),
        "required": Field(
            "text_list", "`true`, or the providers with which the key must be there.", example="true, or [a_provider]"
        ),
        "providers": replace(_TEXTS, description="The providers that know the key; left out, all."),
        "own": Field("boolean", "True where a base of another provider does not lend its value."),
        "unit": Field("text", "Of a whole number, for messages.", example="GiB"),
        "minimum": Field("integer", "Of a whole number.", example=1, minimum=-(2**31), maximum=2**63),
        "maximum": Field(
            "integer", "Of a whole number, or of the length of a label.", example=24, minimum=-(2**31), maximum=2**63
        ),
        "choices": replace(_TEXTS, description="Of a choice: the words that may stand there.", example=["nfs"]),
        "choices_of": Field(
            "choice", "Of a choice: all names of this kind.", choices=("drivers", "groups", "providers")
        ),
        "item": replace(FIELD, description="Of a list: the field of each entry."),
        "keys": Field("map", "Of a mapping: its keys.", example="name", item=FIELD),
        "only_with": Field(
            "map",
            "Values of keys beside it: with them the key must be there, unless it has a default; with others it may not.",
            example="mode",
            item=Field("any", "The value.", example="provided"),
        ),
        "short_for": Field(
            "identifier", "Of a single value: the list beside it that it is one entry of.", example="drivers"
        ),
        "exists": Field("boolean", "Of a path: the file must exist on the controller."),
    }
)


def field_from(data: Mapping[str, Any]) -> Field:
    """Return the field that sound data of FIELD describes."""
    plain = {key: value for key, value in data.items() if key not in ("item", "keys")}
    for key in ("providers", "choices"):
        if key in plain:
            plain[key] = tuple(plain[key])
    required = plain.get("required", [])
    plain["required"] = (EVERY,) if required is True else () if required is False else tuple(required)
    if "item" in data:
        plain["item"] = field_from(data["item"])
    keys = {name: field_from(inner) for name, inner in data.get("keys", {}).items()}
    return Field(**plain, keys=keys)
