# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Readers of single values: each returns the value or says what is wrong with it."""

from __future__ import annotations

import ipaddress
import math
import re
from collections.abc import Callable, Mapping
from typing import Any

from .fields import PATTERNS, Field, Wrong, example, nearest_of, show


def _text(field: Field, value: Any) -> str:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        raise Wrong(f"{show(value)} is a number; write it in quotes: '{show(value)}'")
    if not isinstance(value, str):
        raise Wrong(f"{show(value)} is not text; write {example(field)}")
    text = str(value)
    if not text.strip() or not text.isprintable():
        raise Wrong(f"{show(text)} is not text on one line; write {example(field)}")
    if re.search(r"\{[{%#]", text):
        raise Wrong(f"{show(text)} is a template; write the value itself")
    return text


def _integer(field: Field, value: Any) -> int:
    """Accept whole numbers only: '800GB' and 800.5 are somebody's guess about units."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise Wrong(f"{show(value)} is not {_integer_wanted(field)}; write {_whole(field, value)}")
    if field.minimum is not None and value < field.minimum:
        raise Wrong(f"{show(value)} is too small; write {field.minimum} or more")
    if field.maximum is not None and value > field.maximum:
        raise Wrong(f"{show(value)} is too large; write {field.maximum} or less")
    return int(value)


def _integer_wanted(field: Field) -> str:
    return f"a whole number of {field.unit}" if field.unit != "the port" else "a port number"


_SIZES_MIB = {"m": 1, "g": 1024, "t": 1024**2, "p": 1024**3}


def _whole(field: Field, value: Any) -> str:
    """Return the number that was probably meant, or an example."""
    number = None
    if isinstance(value, float) and abs(value) < 10**9:
        number = int(value)
    elif isinstance(value, str):
        found = re.fullmatch(r"\s*(\d{1,9})(?:\.0*)?\s*(?:([mgtp])i?(?:b|bytes?)?)?\s*", str(value), re.IGNORECASE)
        if found:
            number = int(found[1])
            if found[2] and field.unit in ("GiB", "MiB"):
                number = number * _SIZES_MIB[found[2].lower()] // (1024 if field.unit == "GiB" else 1)
            elif found[2]:
                number = None
    if number is None or number < (field.minimum or 0) or number > (field.maximum or number):
        return example(field)
    return str(number)


def _boolean(_field: Field, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    word = show(value).strip("'").lower()
    meant = "true" if word in ("yes", "on", "true", "1") else "false" if word in ("no", "off", "false", "0") else None
    raise Wrong(f"{show(value)} is not true or false; write {meant or 'one of them'}")


def _choice(field: Field, value: Any) -> str:
    if isinstance(value, str) and value in field.choices:
        return str(value)
    if len(field.choices) == 1:
        raise Wrong(f"{show(value)} is not known; write {field.choices[0]}")
    nearest = nearest_of(value, field.choices) if isinstance(value, str) else None
    raise Wrong(f"{show(value)} is not one of {', '.join(field.choices)}; write {nearest or 'one of them'}")


def _label(field: Field, value: Any) -> str:
    """Accept what a host name may hold, because it becomes part of one (RFC 1123)."""
    if isinstance(value, str) and re.fullmatch(PATTERNS["label"], value):
        if field.maximum is not None and len(value) > field.maximum:
            raise Wrong(f"{show(value)} has {len(value)} characters; write at most {field.maximum}")
        return str(value)
    better = re.sub(r"[^a-z0-9]+", "-", value.lower()).lstrip("-0123456789") if isinstance(value, str) else ""
    better = better[: field.maximum].rstrip("-")
    raise Wrong(
        f"{show(value)} is no name of small letters, digits and hyphens that begins with a letter; "
        f"write {better or example(field)}"
    )


def _domain(field: Field, value: Any) -> str:
    if isinstance(value, str) and re.fullmatch(PATTERNS["domain"], value):
        return str(value)
    better = re.sub(r"^[a-z]+://|[/:].*$|\.$", "", value.lower().strip()) if isinstance(value, str) else ""
    remedy = better if re.fullmatch(PATTERNS["domain"], better) else example(field)
    raise Wrong(f"{show(value)} is not a domain name; write {remedy}")


def _network(field: Field, value: Any) -> str:
    try:
        network = ipaddress.IPv4Network(value if isinstance(value, str) else "", strict=False)
    except ValueError:
        raise Wrong(f"{show(value)} is not an IPv4 network; write {example(field)}") from None
    if "/" not in value:
        # An address with a host part is one client; else it is probably the common size.
        whole = network.supernet(new_prefix=24)
        single = network.network_address != whole.network_address
        raise Wrong(f"{show(value)} says no length; write {network if single else whole}")
    if str(network) != value:
        raise Wrong(f"{show(value)} is not how its network is written; write {network}")
    return str(network)


def _address(field: Field, value: Any) -> str:
    try:
        return str(ipaddress.IPv4Address(value if isinstance(value, str) else ""))
    except ValueError:
        raise Wrong(f"{show(value)} is not an IPv4 address; write {example(field)}") from None


def _path(field: Field, value: Any) -> str:
    return _text(field, value)


_SYSTEM_FOLDERS = ("/bin", "/boot", "/dev", "/etc", "/lib", "/lib64", "/proc", "/run", "/sbin", "/sys", "/usr")
_SHARED_FOLDERS = ("/", "/home", "/mnt", "/opt", "/root", "/srv", "/tmp", "/var", "/var/cache", "/var/lib", "/var/log")


def _mount(field: Field, value: Any) -> str:
    """Accept a folder of its own: a volume mounted over a folder of the system would hide the system."""
    text = _text(field, value)
    if not text.startswith("/"):
        raise Wrong(f"{show(text)} is not an absolute path; write {example(field)}")
    plain = "/" + "/".join(part for part in text.split("/") if part not in ("", "."))
    if plain in _SHARED_FOLDERS or any((plain + "/").startswith(folder + "/") for folder in _SYSTEM_FOLDERS):
        raise Wrong(f"{show(text)} would hide a folder of the system; write a folder of its own, {example(field)}")
    if not re.fullmatch(PATTERNS["mount"], plain):
        raise Wrong(f"{show(text)} is not a plain path of letters, digits and . _ -; write {example(field)}")
    if plain != text:
        raise Wrong(f"{show(text)} is not the shortest form of a path; write {plain}")
    return text


def _device(field: Field, value: Any) -> str:
    text = _text(field, value)
    if re.fullmatch(PATTERNS["device"], text):
        return text
    if text.startswith("/dev/"):
        raise Wrong(f"{show(text)} can be another disk after a reboot; write its link in /dev/disk/by-id")
    raise Wrong(f"{show(text)} is not a device; write {example(field)}")


def _identifier(field: Field, value: Any) -> str:
    """Accept a name of the pattern that the kind of the field has."""
    if isinstance(value, str) and len(value) <= 63 and re.fullmatch(PATTERNS[field.kind], value):
        return str(value)
    raise Wrong(f"{show(value)} is not a name of small letters, digits and _; write {example(field)}")


def _port(field: Field, value: Any) -> int | str:
    """Accept a port or the path of the key that holds it."""
    if isinstance(value, str) and re.fullmatch(PATTERNS["key_path"], value):
        return str(value)
    return _integer(field, value)


def _text_list(field: Field, value: Any) -> bool | list[str]:
    if isinstance(value, bool):
        return value
    if not isinstance(value, list):
        raise Wrong(f"{show(value)} is not a list; write {example(field)}")
    return [_text(field, entry) for entry in value]


def _any(field: Field, value: Any, depth: int = 0) -> Any:
    """Accept what JSON can hold."""
    if isinstance(value, str):
        return _text(field, value) if value else ""
    if isinstance(value, bool) or (isinstance(value, int) and abs(value) < 2**63):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if depth < 8 and isinstance(value, list):
        return [_any(field, inner, depth + 1) for inner in value]
    if depth < 8 and isinstance(value, Mapping):
        return {_text(field, key): _any(field, inner, depth + 1) for key, inner in value.items()}
    raise Wrong(f"{show(value)} is not a plain value; write {example(field)}")


READERS: dict[str, Callable[[Field, Any], Any]] = {
    "account": _identifier,
    "address": _address,
    "any": _any,
    "boolean": _boolean,
    "choice": _choice,
    "device": _device,
    "domain": _domain,
    "identifier": _identifier,
    "integer": _integer,
    "key_path": _identifier,
    "label": _label,
    "mount": _mount,
    "network": _network,
    "path": _path,
    "port": _port,
    "secret": _identifier,
    "text": _text,
    "text_list": _text_list,
}
