# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which image a site file means. By name only what the project owns, the cloud publishes, or the project has accepted.

Anybody may publish an image to the community of a cloud, or share it with a project, under any name: such an image is
taken where the site file names its id, never by its name. Fields are those of
https://docs.openstack.org/api-ref/image/v2/.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from .found import identifiers, instead, picks
from .shapes import Found, Resource

# Kinds that are listed where servers are to be made: what a name may mean, and what an id may mean besides.
IMAGES = ("image", "any image", "hidden image")
GIB = 1024**3


def choose_image(name: str, offer: Found) -> Resource | None:
    """Return the image that new servers are made from, or None where image_problems() says why there is none."""
    named = picks(name, offer["image"])
    if named:
        return named[0] if len(named) == 1 else None
    others = [image for image in _others(offer) if image["id"] == name and image["status"] == "active"]
    return others[0] if others else None


def image_problems(name: str, offer: Found, cloud: str) -> Iterator[str]:
    """Yield why a site file's image cannot be taken."""
    if choose_image(name, offer):
        return
    path, named, others = "site.openstack.image", picks(name, offer["image"]), picks(name, _others(offer))
    names = sorted({image["name"] for image in offer["image"] if image.get("name")})
    hidden = {image["id"] for image in offer["hidden image"]}
    if named:
        yield (
            f"{path}: '{name}' is the name of {len(named)} images in cloud {cloud}; write the id of one of them: "
            f"{identifiers(named)}"
        )
    elif not others:
        yield f"{path}: there is no image '{name}' in cloud {cloud}; {instead(name, names)}"
    elif all(image["status"] == "deactivated" for image in others):
        yield (
            f"{path}: '{name}' is deactivated ({identifiers(others)}), no server is made from it; name another image, "
            "or ask who deactivated it"
        )
    elif all(image["status"] != "active" for image in others):
        yield f"{path}: '{name}' is {others[0]['status']} ({identifiers(others)}); wait until it is active"
    elif all(image["id"] in hidden for image in others):
        yield (
            f"{path}: '{name}' is hidden by its owner, mostly because there is a newer one; name that, or write the id "
            f"to take it nevertheless: {identifiers(others)}"
        )
    else:
        yield (
            f"{path}: '{name}' is only an image of another project, and anybody may publish one under any name; write "
            f"the id to say that it is meant: {identifiers(others)}"
        )


def least_disk_gib(image: Resource) -> int:
    """Return the smallest disk that the image fits on, in GiB, rounded up: what it demands, or what it is."""
    size = image.get("virtual_size") or image.get("size") or 0
    return max(image.get("min_disk") or 0, math.ceil(size / GIB))


def _others(offer: Found) -> list[Resource]:
    """Return what is not offered by name, each once."""
    offered = {image["id"] for image in offer["image"]}
    found = {image["id"]: image for kind in IMAGES for image in offer[kind]}
    return [image for identifier, image in found.items() if identifier not in offered]
