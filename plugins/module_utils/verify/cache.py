# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a cache host lists and has cached of one image server."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from typing import Any

from ..cache_warm.paging import is_paged, list_page
from ..nginx_cache.keys import Routes
from ..nginx_cache.sizes import DIRECTORY
from ..nginx_cache.zone_files import Zone, cached
from . import policy as policies
from .lines import CheckFailed
from .run import fetch

# Lists are read here, because those that visitors get may be some seconds old.
REFRESH_URL = "http://127.0.0.1:8082"
CATALOGUE = "/var/www/gallery/catalogue.json"
SAMPLE_PAGES = 10
SAMPLE_PAGE_SIZE = 100
# How many images of the sample that are not cached are asked for at an image server, to learn whether they can be.
ASKED_IMAGES = 20


class Cache:
    """The checks of a cache host for one driver."""

    def __init__(
        self,
        host: str,
        driver: str,
        policy: Mapping[str, Any],
        addresses: Sequence[str],
        password: str | None,
        minimum_fraction: float,
    ):
        self.host = host
        self.driver = driver
        self.policy = policy
        self.routes = Routes(policy["routes"])
        self.image_servers = [f"http://{address}:{policy['port']}" for address in addresses]
        self.password = password
        self.minimum_fraction = minimum_fraction
        self.instances: list[str] = []
        self.studies: list[str] = []

    def page(self, source: Mapping[str, Any], offset: int, count: int) -> list[str]:
        """Return the ids of one page of a list."""
        path = list_page(source, offset, count)
        status, body = fetch(REFRESH_URL + path, timeout_seconds=10)
        remedy = f"journalctl -u nginx on {self.host}; do the image servers answer?"
        if status != 200:
            found = f"answered {status}" if status else body.decode(errors="replace")
            raise CheckFailed(f"the list {path} is {found}", remedy)
        return policies.identifiers(policies.read_json(body, path, remedy), path, source.get("field", "ID"))

    def read_all(self, source: Mapping[str, Any]) -> list[str]:
        """Return all ids of a list."""
        found: list[str] = []
        while page := self.page(source, len(found), source.get("page_size", SAMPLE_PAGE_SIZE)):
            found += page
            if not is_paged(source):
                break
        return found

    def read_ids(self) -> None:
        """Read all studies, and images from random places of their list."""
        studies, images = (policies.source(self.policy, what) for what in ("studies", "instances"))
        if studies:
            self.studies = self.read_all(studies)
        if images and is_paged(images):
            for offset in policies.sample_offsets(self.catalogued(), SAMPLE_PAGES, SAMPLE_PAGE_SIZE):
                self.instances += self.page(images, offset, SAMPLE_PAGE_SIZE)
        elif images:
            self.instances = self.read_all(images)
        random.shuffle(self.instances)
        self.instances = self.instances[: SAMPLE_PAGES * SAMPLE_PAGE_SIZE]

    def catalogued(self) -> int:
        """Return how many images of this driver there are by the gallery's catalogue; 0 if it does not say."""
        try:
            with open(CATALOGUE, encoding="utf-8") as stream:
                return sum(study["instances"] for study in policies.studies_of(json.load(stream), self.driver))
        except (OSError, ValueError, KeyError, TypeError):
            return 0

    def check_ids(self) -> str:
        """Return how many studies there are."""
        self.read_ids()
        if not self.instances:
            raise CheckFailed("no image is loaded", "run load.yml")
        return f"lists {len(self.studies)} studies through the image servers"

    def check_fraction(self) -> str:
        """Look for the files of a sample of images: to ask nginx for them would fill the cache."""
        source = policies.source(self.policy, "instances")
        if not self.instances or not source:
            raise CheckFailed("not looked at, because there is no list of images", "run load.yml, then warm.yml")
        template = source["urls"][0]
        paths = [policies.fill(template, id=instance) for instance in self.instances]
        absent = [path for path in paths if not self.is_cached(path)]
        asked = absent[:ASKED_IMAGES]
        refused = sum(self.cannot_be_cached(path) for path in asked)
        unsupported = round(len(absent) * refused / len(asked)) if asked else 0
        fraction = policies.cached_fraction(len(paths) - len(absent), len(absent) - unsupported, unsupported)
        text = f"{100 * fraction:.1f} % of {len(paths)} images"
        if fraction < self.minimum_fraction:
            raise CheckFailed(f"{text}, wanted {100 * self.minimum_fraction:.0f} %", "run warm.yml")
        return text + (f", {unsupported} cannot be" if unsupported else "")

    def is_cached(self, path: str) -> bool:
        """Return whether nginx has the answer to a path on disk."""
        key = self.routes.key(path)
        return key is not None and cached(Zone(key.zone, f"{DIRECTORY}/{key.zone}", 0), key)

    def cannot_be_cached(self, path: str) -> bool:
        """Ask an image server itself, past the cache, whether it can draw an image."""
        key = self.routes.key(path)
        routes = (route for route in self.policy["routes"] if key and route["name"] == key.route)
        headers = next((dict(route.get("request_headers", {})) for route in routes), {})
        if not self.image_servers:
            return False
        status, _ = fetch(random.choice(self.image_servers) + path, self.policy.get("user"), self.password, headers)
        return status in self.policy.get("cannot_draw", ())
