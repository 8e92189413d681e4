# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""An image server of lists, and entries that read it, for the tests of the warm's sources."""

from __future__ import annotations

import json

from plugins.module_utils.cache_warm.stream import NotFound


def no_fetch(address: str) -> bytes:
    raise AssertionError(f"{address} must not be fetched")


def paths(stream) -> list[str]:
    return [item.path for item in stream]


class Server:
    """A list of ids in pages, as the image server gives it, and other documents."""

    def __init__(self, ids: list[str] = (), **documents: object):
        self.ids = list(ids)
        self.documents = documents
        self.asked: list[str] = []

    def __call__(self, address: str) -> bytes:
        self.asked.append(address)
        path, _, query = address.partition("?")
        if path == "/instances":
            arguments = dict(argument.split("=") for argument in query.split("&"))
            since = int(arguments["since"])
            return json.dumps(self.ids[since : since + int(arguments["limit"])]).encode()
        if path not in self.documents["documents"]:
            raise NotFound(f"{path}: 404")
        document = self.documents["documents"][path]
        return document if isinstance(document, bytes) else json.dumps(document).encode()


LIST = {
    "name": "instances",
    "list": "/instances",
    "page": {"offset": "since", "count": "limit"},
    "page_size": 3,
    "urls": ["/instances/{id}", "/instances/{id}/tags"],
    "optional_urls": ["/pyramids/{id}"],
}


STUDIES = {
    "name": "chosen",
    "kind": "studies",
    "urls": ["/studies/{id}"],
    "children": [{"list": "/studies/{id}/series", "urls": ["/series/{id}"], "optional_urls": ["/pyramids/{id}"]}],
}
