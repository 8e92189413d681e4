# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Which step an image in the cloud needs, for every state in which a run may find it."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from plugins.module_utils.openstack import image as module
from plugins.module_utils.openstack.image import CONTENT, GIB, RECIPE

NAME = "imaging-repository-debian-13-0ec8a7fca42a"


def image(**fields: str) -> dict:
    """The image as the cloud lists it after a good upload."""
    return {
        "id": "1",
        "name": NAME,
        "status": "active",
        RECIPE: "recipe",
        CONTENT: "ab",
        "os_hash_algo": "sha512",
        "os_hash_value": "ab",
        **fields,
    }


def decide(*images: dict) -> dict:
    return module.decide(NAME, "recipe", list(images))


def test_a_cloud_without_the_image_gets_it():
    assert decide()["action"] == "create"
    assert decide(image(name="Debian 13"))["action"] == "create"


def test_the_image_is_kept():
    assert decide(image(), image(name="other", id="2")) == {
        "kind": "image",
        "name": NAME,
        "action": "keep",
        "detail": "",
        "id": "1",
    }


def test_what_was_made_is_kept():
    made = module.body(NAME, "recipe", "ab", 3, 512, {"os_distro": "debian"})
    assert decide({**made, "id": "1", "status": "active"})["action"] == "keep"
    assert (
        decide({**made, "id": "1", "status": "active", "os_hash_algo": "sha512", "os_hash_value": "ab"})["action"]
        == "keep"
    )


@pytest.mark.parametrize("status", ["queued", "saving", "active", "deactivated"])
@pytest.mark.parametrize("recipe", [{}, {RECIPE: "another"}])
def test_an_image_that_is_not_ours_is_refused_in_every_state(status: str, recipe: dict):
    stranger = {"id": "7", "name": NAME, "status": status, **recipe}
    for listed in ([stranger], [stranger, image()], [image(), stranger]):
        step = decide(*listed)
        assert step["action"] == "refuse" and "(7)" in step["detail"]


def test_two_of_ours_are_refused_by_their_ids():
    step = decide(image(), image(id="2"))
    assert step["action"] == "refuse" and "1, 2" in step["detail"]


def test_an_upload_that_was_cut_is_begun_again():
    assert decide(image(status="queued", os_hash_algo=None, os_hash_value=None)) == {
        "kind": "image",
        "name": NAME,
        "action": "recreate",
        "detail": "its upload was cut",
        "id": "1",
    }


def test_an_upload_of_another_run_is_waited_for():
    assert decide(image(status="saving"))["action"] == "unknown"


@pytest.mark.parametrize("fields", [{"status": "deactivated"}, {"status": "killed"}, {"os_hash_value": "cd"}])
def test_what_no_server_may_start_from_is_refused(fields: dict):
    step = decide(image(**fields))
    assert step["action"] == "refuse" and "openstack image" in step["detail"]


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "id": st.sampled_from("123"),
                "name": st.sampled_from([NAME, "other"]),
                "status": st.sampled_from(["queued", "saving", "active", "killed", "deactivated"]),
                RECIPE: st.sampled_from(["recipe", "another", None]),
            }
        ),
        max_size=4,
    )
)
def test_nothing_that_is_not_an_empty_image_of_ours_is_ever_replaced(listed: list[dict]):
    step = decide(*listed)
    if step["action"] == "recreate":
        found = [entry for entry in listed if entry["name"] == NAME]
        assert [entry["id"] for entry in found] == [step["id"]]
        assert found[0]["status"] == "queued" and found[0][RECIPE] == "recipe"


@pytest.mark.parametrize("size, expected", [(1, 1), (3 * GIB, 3), (3 * GIB + 1, 4)])
def test_the_size_of_the_disk_is_rounded_up(size: int, expected: int):
    header = b"QFI\xfb" + struct.pack(">IQIIQ", 3, 0, 0, 16, size)
    assert module.disk_gib(header) == expected


@pytest.mark.parametrize("header", [b"", b"QFI\xfb", b"\0" * 32])
def test_another_file_is_no_image(header: bytes):
    with pytest.raises(ValueError, match="qcow2"):
        module.disk_gib(header)
