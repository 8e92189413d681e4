# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Under which key nginx keeps the answer to a path: what roles/cache/templates/nginx.conf.j2 does, in Python.

Sources: nginx 1.22.1, src/http/ngx_http_parse.c (which characters a request line may have, and how $uri is decoded and
tidied up by ngx_http_parse_complex_uri, merge_slashes on) and src/http/modules/ngx_http_map_module.c. PCRE without UTF
sees bytes; here text is Latin-1 meanwhile, a character for each byte, and regular expressions are ASCII ones.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

# A path with query in which nothing is encoded and nothing ends or breaks the request line.
_PLAIN = re.compile(r"/[!\"$&-~]*").fullmatch
# What ends a request line or makes nginx answer 400.
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f]").search
_QUOTED = re.compile(r"[0-9A-Fa-f]{2}").match
# Locations of the template that come before the routes.
_EXACT_LOCATIONS = frozenset({"/test", "/stub_status"})
_PREFIX_LOCATIONS = ("/test/",)


Search = Callable[[str], re.Match[str] | None]


class Key(NamedTuple):
    """Where the cache keeps a page: the policy's route and zone, the text of proxy_cache_key and its MD5.

    Two paths with the same text are one page. Bytes of the text that are no UTF-8 are surrogates (surrogateescape).
    """

    route: str
    zone: str
    text: str
    md5: bytes

    @property
    def digest(self) -> str:
        """The MD5 in hex: the name of the page's file."""
        return self.md5.hex()

    @property
    def fingerprint(self) -> int:
        """The page in the journal: the first 64 bits of the MD5, signed."""
        return int.from_bytes(self.md5[:8], "big", signed=True)


class _Route(NamedTuple):
    name: str
    zone: str
    search: Search
    # Name, how it looks with a value that is served, and how it looks at all.
    arguments: tuple[tuple[str, Search, Search], ...]


def _pattern(text: str) -> Search:
    """Return the search of a regular expression of the configuration, over bytes as Latin-1."""
    return re.compile(text.encode().decode("latin-1"), re.ASCII).search


def _tidied(path: str) -> str | None:
    """Return $uri for the path of a request line; None where nginx answers 400.

    Decodes %XX, then takes out empty and . parts and the part before each ..; a decoded / or . counts like a written
    one, a decoded ?, # or % does not.
    """
    parts = [""]
    part: list[str] = []
    position, end = 1, len(path)
    while position <= end:
        # The end of the path ends a part as a / does, but adds none.
        character = path[position] if position < end else "/"
        position += 1
        if character == "%":
            quoted = _QUOTED(path, position)
            if not quoted:
                return None
            position = quoted.end()
            character = chr(int(quoted[0], 16))
            if character == "\0":
                return None
        if character != "/":
            part.append(character)
            continue
        text = "".join(part)
        part.clear()
        last = position > end
        if text == "..":
            if len(parts) == 1:
                return None
            parts.pop()
            text = ""
        if text in ("", "."):
            if last:
                parts.append("")
            continue
        parts.append(text)
    return "/".join(parts)


class Routes:
    """The routes of a cache policy, in its order."""

    def __init__(self, routes: Iterable[Mapping[str, Any]]) -> None:
        self._routes = [
            _Route(
                route["name"],
                route["zone"],
                _pattern(f"(?:{route['match']})\\Z"),
                tuple(
                    (
                        name,
                        _pattern(rf"(?:^|&){name}(?:=|(?=&|$))(?P<value>{route['argument_patterns'][name]})(?:&|$)"),
                        _pattern(rf"(?:^|&){name}(?:=|&|$)"),
                    )
                    for name in route.get("arguments", ())
                ),
            )
            for route in routes
        ]

    def key(self, path: str) -> Key | None:
        """Return the key of a path with query as it is sent to nginx; None if nginx answers 400 or 404 by itself.

        Send the path as it is (libcurl: PATH_AS_IS).
        """
        plain = _PLAIN(path) and "/." not in path and "//" not in path
        if plain:
            uri, _, arguments = path.partition("?")
        else:
            if not path.startswith("/") or _FORBIDDEN(path):
                return None
            # Clients keep what follows # to themselves; nginx takes it off.
            sent, _, _ = path.partition("#")
            uri, _, arguments = sent.encode("utf-8", "surrogateescape").decode("latin-1").partition("?")
            tidied = _tidied(uri)
            if tidied is None:
                return None
            uri = tidied
        if uri in _EXACT_LOCATIONS or uri.startswith(_PREFIX_LOCATIONS):
            return None
        for route in self._routes:
            if route.search(uri):
                break
        else:
            return None
        if arguments and route.arguments:
            kept = ""
            for name, served, present in route.arguments:
                found = served(arguments)
                if found:
                    kept += f"&{name}={found['value']}"
                elif present(arguments):
                    return None
            # As the template's map does, which knows refused values by this word.
            if "invalid" in kept:
                return None
            if kept:
                uri = f"{uri}?{kept[1:]}"
        data = uri.encode("latin-1")
        text = uri if plain else data.decode("utf-8", "surrogateescape")
        return Key(route.name, route.zone, text, hashlib.md5(data, usedforsecurity=False).digest())
