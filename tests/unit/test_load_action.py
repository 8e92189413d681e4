# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the controller does for a load: reads manifests and names what is wrong with them."""

from __future__ import annotations

import pytest
from ansible.errors import AnsibleActionFail

from plugins.action import load as action
from plugins.module_utils.load.manifest import files_of

STUDY = "{path: %s, title: T, licence: L, source: S}"


def write(path, *studies, head=""):
    path.write_text(head + "studies:\n" + "".join(f"  - {STUDY % study}\n" for study in studies))
    return str(path)


def test_studies_of_all_manifests(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x").write_text("12345")
    near = write(tmp_path / "near.yml", "a")
    far = write(tmp_path / "far.yml", "/srv/archive", head="images: host\n")
    entries, listings = action.read_manifests([near, far], [])
    assert [(e["name"], e["path"], e["count"], e["size"], e["title"]) for e in entries] == [
        (f"{near}: a", "", 1, 5, "T"),
        (f"{far}: /srv/archive", "/srv/archive", 0, 0, "T"),
    ]
    assert listings == {entries[0]["key"]: (str(tmp_path / "a"), files_of(str(tmp_path / "a")))}


def test_a_single_file_travels_too(tmp_path):
    (tmp_path / "x.tif").write_text("12345")
    entries, listings = action.read_manifests([write(tmp_path / "m.yml", "x.tif")], [])
    root, files = listings[entries[0]["key"]]
    assert (root, [file.path for file in files]) == (str(tmp_path), ["x.tif"])


def test_the_problems_of_all_manifests_are_one_message(tmp_path):
    (tmp_path / "broken.yml").write_text("studies: [")
    wrong = write(tmp_path / "wrong.yml", "none", head="image: host\n")
    with pytest.raises(AnsibleActionFail) as error:
        action.read_manifests(
            [str(tmp_path / "no.yml"), str(tmp_path / "broken.yml"), wrong, write(tmp_path / "gone.yml", "none")],
            [],
        )
    lines = str(error.value).splitlines()
    assert lines[0] == "load: nothing was imported:"
    assert lines[1].endswith("no.yml: No such file or directory; correct the path (site.manifests, or -e manifest=)")
    assert "broken.yml: is no YAML (while parsing a flow node" in lines[2]
    assert lines[3].endswith("wrong.yml: 'image' is unknown; did you mean images?")
    assert lines[4].endswith(f"{tmp_path}/none does not exist; correct the path or copy the images there")
    assert len(lines) == 5


def test_a_manifest_is_found_from_here_and_then_in_the_repository(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert action.find_manifest("samples/manifest.yml") == str(action.REPOSITORY / "samples/manifest.yml")
    (tmp_path / "m.yml").write_text("")
    assert action.find_manifest("m.yml") == str(tmp_path / "m.yml")
