# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of Orthanc's importer begin with."""

from __future__ import annotations

import os

import pytest
from fake_orthanc import PAGES, VERSION, WORDS, Client, Importer, Orthanc, write

from plugins.module_utils.load.engine import Loader
from plugins.module_utils.load.importer import Driver
from plugins.module_utils.load.staging import Study


@pytest.fixture
def orthanc():
    server = Orthanc()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def images(tmp_path):
    directory = tmp_path / "images"
    directory.mkdir()
    for number in range(10):
        write(directory / f"{number}.dcm", f"study series{number % 2} i{number} pixels")
    return directory


@pytest.fixture
def load(orthanc, tmp_path):
    """Return a function that loads a directory and returns the report."""
    state = tmp_path / "load"
    state.mkdir()

    def run(*directories, check=False, words=WORDS, studies=None, **options):
        client = Client(orthanc.url, "operator", "secret", sleep=lambda seconds: None, **options)
        named = [Study(os.path.basename(str(d)), str(d), words, path=str(d)) for d in directories]
        driver = Driver("orthanc", Importer(client, PAGES), VERSION)
        return Loader([driver], str(state), check=check).run(studies or named)

    return run
