# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The folders of the containers' volumes and packages: nobody but their owner enters them."""

from __future__ import annotations

import os
import stat

import pytest

from plugins.module_utils.docker.devices import private_directory


@pytest.fixture(params=[0o000, 0o022, 0o077])
def umask(request):
    """The masks of a careless, an ordinary and a careful user."""
    before = os.umask(request.param)
    yield
    os.umask(before)


def mode(path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def test_a_new_folder_and_those_above_it_are_private(tmp_path, umask):
    private_directory(tmp_path / "imaging-repository" / "demo" / "volumes")
    made = [tmp_path / "imaging-repository", *(tmp_path / "imaging-repository").rglob("*")]
    assert len(made) == 3 and {mode(path) for path in made} == {0o700}


def test_an_old_folder_that_is_open_to_all_is_closed_and_the_users_own_stays(tmp_path):
    tmp_path.chmod(0o755)
    store = tmp_path / "packages"
    store.mkdir()
    store.chmod(0o777)
    private_directory(store)
    assert (mode(tmp_path), mode(store)) == (0o755, 0o700)
