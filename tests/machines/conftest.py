"""Real machines in software emulation: slow, so they are started only by bin/test machines."""
from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
SITE_FILE = REPOSITORY / "tests/machines/site.yml"


def run(*command: str, check: bool = True) -> str:
    """The output of a command."""
    done = subprocess.run(command, capture_output=True, text=True, cwd=REPOSITORY, check=False, stdin=subprocess.DEVNULL)
    assert not check or done.returncode == 0, f"{' '.join(command)}: {done.stdout[-8000:]}{done.stderr[-2000:]}"
    return done.stdout


@pytest.fixture(scope="session")
def image_file() -> Path:
    """The newest image that playbooks/image.yml built, or the one that the environment names."""
    built = sorted((REPOSITORY / ".cache/images").glob("*.qcow2"), key=os.path.getmtime)
    if "IMAGING_REPOSITORY_IMAGE" in os.environ:
        return Path(os.environ["IMAGING_REPOSITORY_IMAGE"])
    assert built, "no image was built yet: run playbooks/image.yml for a site with provider openstack"
    return built[-1]
