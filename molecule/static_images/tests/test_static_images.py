# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The driver of tests/feature/static_images on real hosts: alone in a site, then beside Orthanc in the same one.

It is added to a copy of the repository by its folder. Three hosts serve it; for the second half the site file names
Orthanc as well, and the database joins them. Each half passes molecule/driver_contract. The hosts are made once.
"""

from __future__ import annotations

import json
import re
import shutil
import ssl
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from PIL import Image

from tests.feature.conftest import Tree, copied

REPOSITORY = Path(__file__).parents[3]
URL = "https://localhost:30443"
SITE: dict[str, Any] = {
    "name": "molecule-static",
    "docker": {"network": {"cidr": "172.30.83.0/24"}},
    "public": {"https_port": 30443, "http_port": 30080},
    "manifests": ["samples/pictures.yml"],
    "image_server": {"drivers": ["static_images"]},
    "hosts": [
        {"name": "database", "absent": True},
        {"name": "replica", "count": 1},
    ],
}
PICTURES = 3


def play(tree: Tree, playbook: str, *options: str) -> str:
    done = tree.run("ansible-playbook", "-e@vars/lab.yml", f"playbooks/{playbook}.yml", *options)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def write_site(tree: Tree, **more: Any) -> None:
    tree.write("vars/lab.yml", yaml.safe_dump({"site": {**SITE, **more}}))
    # The contract's tests ask for the inventory alone.
    tree.write("lab/site.yml", yaml.safe_dump({"plugin": "imaging.repository.site", "site_file": "../vars/lab.yml"}))


def contract(tree: Tree) -> set[str]:
    """Run molecule/driver_contract of the copy; return the drivers that passed it."""
    options = ("-v", "-p", "no:cacheprovider", f"--ansible-inventory={tree.path}/lab")
    done = tree.run("python", "-m", "pytest", *options, "molecule/driver_contract/tests")
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    return set(re.findall(r"\[(\w+)-ansible:\S+ PASSED", done.stdout))


def ask(path: str) -> tuple[int, dict[str, str], bytes]:
    """Return status, headers and body of the public site."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    try:
        with urllib.request.urlopen(URL + path, timeout=30, context=context) as answer:
            return answer.status, {name.lower(): value for name, value in answer.headers.items()}, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, {}, error.read()


def catalogue() -> dict[str, list[dict[str, Any]]]:
    """Return the studies of the catalogue by driver."""
    found: dict[str, list[dict[str, Any]]] = {}
    for study in json.loads(ask("/catalogue.json")[2])["studies"]:
        found.setdefault(study["driver"], []).append(study)
    return found


@pytest.fixture(scope="module")
def tree() -> Iterator[Tree]:
    path = REPOSITORY / ".cache/static_images"
    shutil.rmtree(path, ignore_errors=True)
    copy = copied(path)
    shutil.copytree(REPOSITORY / "tests/feature/static_images", path, dirs_exist_ok=True)
    shutil.copytree(REPOSITORY / "samples/images", path / "samples/images", dirs_exist_ok=True)
    pictures = path / "samples/pictures"
    pictures.mkdir()
    for number in range(PICTURES):
        Image.new("RGB", (320, 240), (80 * number, 120, 200)).save(pictures / f"{number}.jpg")
    study = {"title": "Three pictures", "description": "Of one colour", "licence": "CC0-1.0", "source": "this test"}
    copy.write("samples/pictures.yml", yaml.safe_dump({"studies": [{**study, "path": "pictures"}]}))
    write_site(copy)
    yield copy
    play(copy, "destroy", "-e", f"confirm={SITE['name']}", "-e", "destroy_volumes=true")
    shutil.rmtree(path, ignore_errors=True)


def test_alone_it_is_a_whole_site(tree: Tree) -> None:
    play(tree, "site")
    assert contract(tree) == {"static_images"}
    [study] = catalogue()["static_images"]
    assert (study["title"], study["instances"]) == ("Three pictures", PICTURES)
    status, headers, body = ask(study["thumbnail"])
    assert (status, headers["content-type"], headers["x-cache-status"]) == (200, "image/jpeg", "HIT")
    assert body.startswith(b"\xff\xd8\xff")
    assert ask("/drivers/static_images/driver.js")[0] == 200 and ask("/drivers/orthanc/driver.js")[0] == 404
    assert ask("/test")[1]["content-type"] == "image/jpeg"


def test_beside_orthanc_it_is_one_site(tree: Tree) -> None:
    hosts = [{"name": "replica", "count": 1}]
    manifests = [*SITE["manifests"], "samples/manifest.yml"]
    write_site(tree, image_server={"drivers": ["static_images", "orthanc"]}, hosts=hosts, manifests=manifests)
    play(tree, "site")
    assert contract(tree) == {"static_images", "orthanc"}
    studies = catalogue()
    assert set(studies) == {"static_images", "orthanc"} and len(studies["static_images"]) == 1
    for of_driver in studies.values():
        picture = next(study["thumbnail"] for study in of_driver if study["thumbnail"])
        assert ask(picture)[1]["x-cache-status"] == "HIT"
    for path in ("/test", "/test/static_images", "/test/orthanc"):
        status, headers, _ = ask(path)
        assert (status, headers["content-type"], headers.get("x-cache-status")) == (200, "image/jpeg", None), path
    assert json.loads(tree.path.joinpath(f"state/{SITE['name']}/verify.json").read_text())["failed"] == 0
