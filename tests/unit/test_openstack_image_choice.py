# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which image a site file means, and why some are not taken."""

from __future__ import annotations

import pytest

from plugins.module_utils.openstack.image_choice import choose_image, image_problems, least_disk_gib
from plugins.module_utils.openstack.shapes import Found

OURS = {"id": "1", "name": "Debian 13", "status": "active"}
STRANGERS = {"id": "2", "name": "Debian 13", "status": "active"}
OFF = {"id": "3", "name": "Debian 12", "status": "deactivated"}
OLD = {"id": "4", "name": "Debian 11", "status": "active"}


def offer(*own, anybodys=(), hidden=()):
    return Found("p", {"image": list(own), "any image": [*own, *anybodys], "hidden image": list(hidden)})


def test_a_strangers_image_of_the_same_name_changes_nothing():
    found = offer(OURS, anybodys=[STRANGERS])
    assert choose_image("Debian 13", found) == OURS
    assert list(image_problems("Debian 13", found, "embassy")) == []


@pytest.mark.parametrize(
    ("name", "found", "problem"),
    [
        ("Debian 13", offer(anybodys=[STRANGERS]), "anybody may publish one under any name; write the id to say that it is meant: 2"),
        ("Debian 12", offer(OURS, anybodys=[OFF]), "'Debian 12' is deactivated (3), no server is made from it"),
        ("3", offer(OURS, anybodys=[OFF]), "'3' is deactivated (3), no server is made from it"),
        ("Debian 11", offer(OURS, hidden=[OLD]), "is hidden by its owner, mostly because there is a newer one; name that, or write the id to take it nevertheless: 4"),
        ("Debian 13", offer(OURS, {**OURS, "id": "5"}), "is the name of 2 images in cloud embassy; write the id of one of them: 1, 5"),
        ("Debian13", offer(OURS), "there is no image 'Debian13' in cloud embassy; did you mean 'Debian 13'?"),
        ("new", offer(hidden=[{"id": "6", "name": "new", "status": "queued"}]), "'new' is queued (6); wait until it is active"),
    ],
)  # fmt: skip
def test_what_is_not_taken_is_said_with_the_remedy(name, found, problem):
    assert choose_image(name, found) is None
    (line,) = image_problems(name, found, "embassy")
    assert line.startswith("site.openstack.image: ") and problem in line


def test_an_id_says_that_it_is_meant():
    assert choose_image("2", offer(OURS, anybodys=[STRANGERS])) == STRANGERS
    assert choose_image("4", offer(OURS, hidden=[OLD])) == OLD


def test_an_image_needs_the_disk_that_it_is_where_it_demands_less():
    assert least_disk_gib({"min_disk": 0, "virtual_size": 10 * 1024**3 + 1, "size": 5}) == 11
    assert least_disk_gib({"min_disk": 20, "virtual_size": None, "size": 1024**3}) == 20
    assert least_disk_gib({"min_disk": None, "size": None}) == 0
