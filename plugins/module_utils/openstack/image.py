# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a cloud's image service has of an image that was built here, and what is to be done.

Pure functions: the module openstack_image lists and writes, this file decides. Fields of an image are those of
https://docs.openstack.org/api-ref/image/v2/; properties of one's own stand beside them.
"""

from __future__ import annotations

import struct

from ..plan import Step, step
from .shapes import Resource

# The mark of an image that this toolkit made, and the recipe of which it was made.
RECIPE = "imaging_repository_recipe"
# What was meant to be uploaded: an image service keeps what it has of an upload that was cut.
CONTENT = "imaging_repository_sha512"
GIB = 1024**3


class ImageStep(Step):
    """The step of the plan for an image, with the ``id`` of what is there or ""."""

    id: str


def disk_gib(header: bytes) -> int:
    """Return the size of the disk in a qcow2 file in GiB, rounded up, from the first 32 bytes of the file.

    Raises ValueError where they are not the header of a qcow2 file
    (https://gitlab.com/qemu-project/qemu/-/blob/master/docs/interop/qcow2.txt).
    """
    if len(header) < 32 or header[:4] != b"QFI\xfb":
        raise ValueError("is not a qcow2 file")
    (size,) = struct.unpack(">Q", header[24:32])
    return -(-int(size) // GIB)


def body(name: str, recipe: str, content: str, disk: int, memory_mib: int, properties: dict[str, str]) -> Resource:
    """Return the request that makes the image; ``content`` is its SHA-512, ``disk`` its size in GiB."""
    return {
        "name": name,
        "disk_format": "qcow2",
        "container_format": "bare",
        "visibility": "private",
        "min_disk": disk,
        "min_ram": memory_mib,
        **properties,
        RECIPE: recipe,
        CONTENT: content,
    }


def decide(name: str, recipe: str, images: list[Resource]) -> ImageStep:
    """Return the step of the plan for an image, and the ``id`` of what is there or "".

    Actions: keep, create, recreate (an upload was cut: there is nothing in it), unknown (another run uploads it: wait),
    refuse.
    """
    named = [image for image in images if image["name"] == name]
    strangers = [image["id"] for image in named if image.get(RECIPE) != recipe]
    if strangers:
        return _step(
            name,
            "refuse",
            f"an image of this name was not made by this recipe ({', '.join(strangers)}); "
            "rename it, or set image_revision to build under another name",
        )
    if len(named) > 1:
        return _step(
            name,
            "refuse",
            f"there are several ({', '.join(image['id'] for image in named)}); keep one of "
            "them: openstack image delete <id>",
        )
    if not named:
        return _step(name, "create")
    image = named[0]
    if image["status"] == "queued":
        return _step(name, "recreate", "its upload was cut", image["id"])
    if image["status"] in ("saving", "importing", "uploading"):
        return _step(name, "unknown", f"is {image['status']}", image["id"])
    if image["status"] != "active":
        return _step(name, "refuse", f"is {image['status']}; see openstack image show {image['id']}", image["id"])
    if is_damaged(image):
        return _step(
            name,
            "refuse",
            "its content is not what was uploaded; remove it, then run this again: "
            f"openstack image delete {image['id']}",
            image["id"],
        )
    return _step(name, "keep", "", image["id"])


def is_damaged(image: Resource) -> bool:
    """Return whether the image service has another content than was meant; false where it does not say what it has."""
    return image.get("os_hash_algo") == "sha512" and image["os_hash_value"] != image.get(CONTENT)


def _step(name: str, action: str, detail: str = "", identifier: str = "") -> ImageStep:
    return {**step("image", name, action, detail), "id": identifier}
