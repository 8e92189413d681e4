# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A second image server in a copy of the repository: one role folder, and the site has its drivers side by side.

molecule/static_images deploys both on real hosts.
"""

from __future__ import annotations

import contextlib
import getpass
import json
import re
import shutil
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.module_utils import site as site_file
from plugins.module_utils.cache_warm.sources import open_source
from plugins.module_utils.load.importer import Refused, Words, open_driver
from plugins.module_utils.policy.merge import merged
from plugins.module_utils.policy.schema import policies_problems
from plugins.plugin_utils import features

from .conftest import REPOSITORY, Tree, copied

DRIVER = Path(__file__).parent / "static_images"
ROLE = "roles/image_server_static_images"
# Neither a database nor Orthanc.
ALONE = {
    "name": "pictures",
    "image_server": {"drivers": ["static_images"]},
    "hosts": [{"name": "database", "absent": True}, {"name": "replica", "count": 1}],
}
BESIDE = {"name": "pictures", "image_server": {"drivers": ["orthanc", "static_images"]}}
DEMO = yaml.safe_load((REPOSITORY / "vars" / "demo.yml").read_text(encoding="utf-8"))["site"]


@pytest.fixture(scope="module")
def tree(tmp_path_factory: pytest.TempPathFactory) -> Tree:
    """Add the driver's folder to a copy, and nothing else."""
    copy = copied(tmp_path_factory.mktemp("drivers"))
    shutil.copytree(DRIVER, copy.path, dirs_exist_ok=True)
    copy.write("vars/alone.yml", yaml.safe_dump({"site": ALONE}))
    copy.write("vars/beside.yml", yaml.safe_dump({"site": BESIDE}))
    return copy


@pytest.fixture(scope="module")
def schema(tree: Tree) -> site_file.Schema:
    found = features.read(tree.path)
    assert found.problems == []
    return found.schema


def hostvars(tree: Tree, site: str) -> dict[str, Any]:
    result = tree.run("ansible-inventory", "--list", f"-e@vars/{site}.yml")
    assert result.returncode == 0, result.stderr
    found: dict[str, Any] = json.loads(result.stdout)["_meta"]["hostvars"]
    assert found["localhost"]["site_problems"] == []
    return found


def policies(tree: Tree) -> dict[str, Any]:
    return {
        driver: yaml.safe_load((tree.path / f"roles/image_server_{driver}/meta/policy.yml").read_text(encoding="utf-8"))
        for driver in ("orthanc", "static_images")
    }


def test_the_driver_is_its_folder() -> None:
    assert {path.relative_to(DRIVER).parts[:2] for path in DRIVER.rglob("*") if path.is_file()} == {
        tuple(ROLE.split("/"))
    }


def test_a_site_of_it_alone_needs_no_database(tree: Tree) -> None:
    hosts = hostvars(tree, "alone")
    assert "pictures-database" not in hosts
    replica = hosts["pictures-replica1"]
    assert replica["site_drivers"] == replica["host_drivers"] == ["static_images"]
    assert "image_server_static_images" in replica["host_features"]
    assert not any("orthanc" in feature for feature in replica["host_features"])
    assert "vault_database_owner_password" not in replica["site_secrets"]


def test_both_stand_in_one_site(tree: Tree, schema: site_file.Schema) -> None:
    replica = hostvars(tree, "beside")["pictures-replica2"]
    assert replica["host_drivers"] == ["orthanc", "static_images"]
    assert schema.problems(DEMO, BESIDE) == []
    rules = site_file.firewall(schema, schema.effective(DEMO, BESIDE))["image_server_replica"]
    assert {"protocol": "tcp", "port": 8070, "sources": ["cache"]} in rules
    assert len({rule["port"] for rule in rules}) >= 2


def test_validate_reads_both_policies(tree: Tree) -> None:
    result = tree.run("ansible-playbook", "-e@vars/beside.yml", "playbooks/validate.yml")
    assert result.returncode == 0 and "is sound" in result.stdout, result.stdout + result.stderr


def test_validate_refuses_drivers_that_could_be_asked_for_one_path(tree: Tree) -> None:
    file = tree.path / ROLE / "meta/policy.yml"
    sound = file.read_text(encoding="utf-8")
    try:
        file.write_text(sound.replace("/pictures/", "/studies/"), encoding="utf-8")
        result = tree.run("ansible-playbook", "-e@vars/beside.yml", "playbooks/validate.yml")
        assert result.returncode == 2
        assert "could match one path; let the paths of one of them begin" in " ".join(result.stdout.split())
    finally:
        file.write_text(sound, encoding="utf-8")


def test_both_policies_make_one(tree: Tree) -> None:
    found = policies(tree)
    assert policies_problems(found) == []
    both = merged(found)
    # Names that a driver before it has used.
    assert [route["name"] for route in both["routes"] if route["driver"] == "static_images"] == [
        "picture",
        "about",
        "static_images_list",
    ]
    assert {source["name"] for source in both["warm_sources"]} >= {"thumbnails", "static_images_thumbnails"}
    zones = [zone["name"] for zone in both["zones"]]
    assert len(zones) == len(set(zones))


def test_its_script_answers_what_the_pages_ask_and_spells_out_no_address() -> None:
    script = (DRIVER / ROLE / "files/gallery/driver.js").read_text(encoding="utf-8")
    orthanc = (REPOSITORY / "roles/image_server_orthanc/files/gallery/driver.js").read_text(encoding="utf-8")
    exported = r"^export (?:async )?(?:function (\w+)|\{ (\w+) \})"
    assert set(re.findall(exported, script, re.M)) == set(re.findall(exported, orthanc, re.M))
    policy = yaml.safe_load((DRIVER / ROLE / "meta/policy.yml").read_text(encoding="utf-8"))
    assert set(re.findall(r'address\("(\w+)"', script)) == set(policy["pages"])
    assert "/pictures" not in script


@pytest.fixture
def loaded(tmp_path: Path) -> Path:
    """Return the folder into which the driver's importer has brought two pictures of one study."""
    folder = tmp_path / "folder"
    folder.mkdir()
    tmp_path.chmod(0o755)
    importer = open_driver("static_images", str(DRIVER / ROLE / "files/importer"), {"directory": str(folder)}).importer
    words = Words("Three pictures", "Of one colour", "CC0-1.0", "this test")
    stored = []
    for name in ("one", "two", "two"):
        picture = tmp_path / f"{name}.jpg"
        picture.write_bytes(b"\xff\xd8\xff" + name.encode() * 50 + b"\xff\xd9")
        assert importer.accepts(str(picture)) == ""
        stored.append(importer.store(str(picture), str(tmp_path / "work"), words))
    assert [one.new for one in stored] == [1, 1, 0]
    images = {image for one in stored for image in one.images}
    assert len(images) == 2 and importer.missing(images) == set()
    (study,) = importer.studies()
    described = importer.describe(study, words)
    assert described is not None and (described["title"], described["instances"]) == ("Three pictures", 2)
    assert importer.describe("0" * 16, words) is None
    cut = tmp_path / "cut.jpg"
    cut.write_bytes(b"\xff\xd8\xff")
    with pytest.raises(Refused, match="ends too early"):
        importer.store(str(cut), str(tmp_path), words)
    return folder


@pytest.mark.skipif(not Path("/usr/sbin/nginx").exists(), reason="needs nginx")
def test_its_server_answers_what_the_policy_names(loaded: Path, tmp_path: Path) -> None:
    policy = yaml.safe_load((DRIVER / ROLE / "meta/policy.yml").read_text(encoding="utf-8"))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    text = (DRIVER / ROLE / "templates/static-images.conf.j2").read_text(encoding="utf-8")
    for name, value in {
        "# {{ ansible_managed }}": "",
        "{{ image_server_policies.static_images.port }}": f"127.0.0.1:{port}",
        "{{ image_server_static_images_directory }}": str(loaded),
        "/run/static-images.pid": str(tmp_path / "nginx.pid"),
        "user www-data share;": f"user {getpass.getuser()};",
    }.items():
        assert name in text, name
        text = text.replace(name, value)
    (tmp_path / "nginx.conf").write_text(text, encoding="utf-8")
    command = ["/usr/sbin/nginx", "-e", "stderr", "-c", str(tmp_path / "nginx.conf"), "-g", "daemon off;"]
    with subprocess.Popen(command) as server:
        try:

            def fetch(path: str) -> bytes:
                for _ in range(100):
                    address = f"http://127.0.0.1:{port}{path}"
                    with (
                        contextlib.suppress(urllib.error.URLError),
                        urllib.request.urlopen(address, timeout=10) as answer,
                    ):
                        return bytes(answer.read())
                    time.sleep(0.05)
                raise AssertionError(f"{path} is not answered")

            asked = {
                source["name"]: [item.path for item in open_source(source, fetch)] for source in policy["warm_sources"]
            }
            assert {name: len(paths) for name, paths in asked.items()} == {"thumbnails": 2, "studies": 1, "metadata": 2}
            for paths in asked.values():
                for path in paths:
                    assert len(fetch(path)) > 40
                    assert any(re.search(route["match"], path) for route in policy["routes"] if route["public"])
            assert fetch(asked["thumbnails"][0]).startswith(b"\xff\xd8\xff")
        finally:
            server.terminate()
