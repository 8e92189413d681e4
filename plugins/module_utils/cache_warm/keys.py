"""Under which key nginx keeps the answer to a path: what roles/cache/templates/nginx.conf.j2 does, in Python."""
from __future__ import annotations

from typing import NamedTuple


class Key(NamedTuple):
    """Where the cache keeps a page: the policy's route and zone, the text of proxy_cache_key and its MD5 in hex.

    Two paths with the same text are one page. Bytes of the text that are no UTF-8 are surrogates (surrogateescape).
    """

    route: str
    zone: str
    text: str
    digest: str


class Routes:
    """The routes of a cache policy, in its order."""

    def __init__(self, routes: list[dict]):
        raise NotImplementedError

    def key(self, path: str) -> Key | None:
        """Return the key of a path with query as it is sent to nginx; None if nginx answers 400 or 404 by itself.

        Send the path as it is (libcurl: PATH_AS_IS).
        """
        raise NotImplementedError
