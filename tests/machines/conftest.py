# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Real machines in software emulation: slow, so they are started only by bin/test machines."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.machines.commands import REPOSITORY


@pytest.fixture(scope="session")
def image_file() -> Path:
    """The newest image that playbooks/image.yml built, or the one that the environment names."""
    if "IMAGING_REPOSITORY_IMAGE" in os.environ:
        return Path(os.environ["IMAGING_REPOSITORY_IMAGE"])
    built = sorted((REPOSITORY / ".cache/images").glob("*.qcow2"), key=os.path.getmtime)
    assert built, "no image was built yet: run playbooks/image.yml for a site with provider openstack"
    return built[-1]
