# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""An image on a real image service: uploaded once, never another one's, and again after an upload that was cut."""

from __future__ import annotations

import os
import random
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cloud.verbs import run_module, start_module

MODULE = "openstack_image"
GIB = 1024**3


class Image:
    """An image of a test, the module on it, and what the cloud has of it."""

    def __init__(self, directory: Path, connection):
        self.directory, self.connection = directory, connection
        self.name = f"t{random.randrange(16**8):08x}"
        self.parameters = {
            "cloud": "embassy",
            "name": self.name,
            "recipe": "recipe",
            "file": str(directory / f"{self.name}.qcow2"),
            "properties": {"os_distro": "debian"},
        }
        self.write(1024**2)

    def write(self, size_bytes: int) -> None:
        """A file that a cloud takes for the disk of 3 GiB that its header describes."""
        file = Path(self.parameters["file"])
        file.write_bytes(b"QFI\xfb" + struct.pack(">IQIIQ", 3, 0, 0, 16, 3 * GIB))
        os.truncate(file, size_bytes)

    def run(self, check: bool = False, **parameters) -> dict:
        return run_module(MODULE, self.directory, check, **{**self.parameters, **parameters})

    def listing(self) -> list:
        return list(self.connection.image.images(name=self.name))


@pytest.fixture
def image(tmp_path: Path, connection) -> Iterator[Image]:
    image = Image(tmp_path, connection)
    yield image
    for found in image.listing():
        connection.image.delete_image(found)


def test_it_is_planned_uploaded_and_then_kept(image):
    planned = image.run(check=True)
    assert planned["changed"] and planned["plan"][0]["action"] == "create" and image.listing() == []
    made = image.run()
    assert made["changed"]
    [found] = image.listing()
    assert (found.id, found.status, found.size, found.min_disk) == (made["id"], "active", 1024**2, 3)
    assert found.visibility == "private" and found.os_distro == "debian"
    Path(image.parameters["file"]).unlink()
    for check in (False, True):
        again = image.run(check=check)
        assert not again["changed"] and again["id"] == made["id"] and again["plan"][0]["action"] == "keep"


def test_another_image_of_the_name_is_refused(image):
    stranger = image.connection.image.create_image(
        image.name, data=b"theirs", disk_format="raw", container_format="bare"
    )
    result = image.run()
    assert result["failed"] and stranger.id in result["msg"] and "was not made by this recipe" in result["msg"]
    [found] = image.listing()
    assert found.id == stranger.id and found.size == 6


def test_another_recipe_is_another_image(image):
    image.run()
    assert "was not made by this recipe" in image.run(recipe="another")["msg"]


@pytest.mark.slow
@pytest.mark.parametrize("statuses", [("queued", "saving"), ("saving",)])
def test_an_upload_that_was_killed_is_begun_again(image, statuses):
    image.write(2 * GIB)
    process = start_module(MODULE, image.directory, **image.parameters)
    while not any(found.status in statuses for found in image.listing()):
        assert process.poll() is None, process.communicate()
    process.kill()
    process.wait()
    image.write(1024**2)
    made = image.run()
    assert "msg" not in made, made
    [found] = image.listing()
    assert (found.id, found.status, found.size) == (made["id"], "active", 1024**2)


def test_a_file_that_is_no_image_is_refused(image):
    Path(image.parameters["file"]).write_bytes(b"no image")
    assert "is not a qcow2 file" in image.run()["msg"] and image.listing() == []
