# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The sample images are in Orthanc as their manifest says; damaged files, kills and restarts harm no other image."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pydicom
import pytest
import yaml

from plugins.module_utils.load.manifest import key_of

testinfra_hosts = ["ansible://image_server_primary"]

REPOSITORY = Path(__file__).parents[3]
IMAGES = REPOSITORY / "samples/images"
DIRECTORY = "/srv/images/load"
# Asks for (method, path) pairs over one connection and prints [status, text] of each.
CLIENT = r"""
import base64, http.client, json, sys
password, requests = json.loads(sys.argv[1])
connection = http.client.HTTPConnection("127.0.0.1", 8042, timeout=60)
login = {"Authorization": "Basic " + base64.b64encode(f"operator:{password}".encode()).decode(), "Accept": "image/jpeg"}
answers = []
for method, path in requests:
    connection.request(method, path, headers=login)
    answer = connection.getresponse()
    answers.append([answer.status, answer.read().decode("latin-1")])
print(json.dumps(answers))
"""


@pytest.fixture
def orthanc(host):
    """Return a function that asks Orthanc for (method, path) pairs and returns its [status, text] answers."""
    state = host.ansible.get_variables()["site_state_directory"]
    secrets = yaml.safe_load(Path(state, "secrets.yml").read_text(encoding="utf-8"))

    def ask(*requests: tuple[str, str]) -> list[list]:
        arguments = json.dumps([secrets["vault_image_server_operator_password"], requests])
        return json.loads(host.check_output("python3 -c %s %s", CLIENT, arguments))

    return ask


def studies(orthanc) -> dict[str, dict]:
    """Return all studies by title, with their metadata and the number of instances."""
    ids = json.loads(orthanc(("GET", "/studies"))[0][1])
    answers = orthanc(*(("GET", f"/studies/{i}/{what}") for i in ids for what in ("metadata?expand", "statistics")))
    found = {}
    for position, identifier in enumerate(ids):
        metadata, statistics = (json.loads(text) for _, text in answers[2 * position : 2 * position + 2])
        found[metadata.get("Title")] = {**metadata, "id": identifier, "count": statistics["CountInstances"]}
    return found


@pytest.fixture
def images(host, orthanc, tmp_path):
    """Return a function that makes a manifest of `count` new images; all that comes of them is deleted in the end."""
    patient = f"molecule-{time.time_ns()}"

    def make(count: int) -> Path:
        (tmp_path / "images").mkdir()
        fields = sorted((IMAGES / "plate").iterdir())[:count]
        study, series = pydicom.uid.generate_uid(), pydicom.uid.generate_uid()
        for number, field in enumerate(fields):
            content = pydicom.dcmread(field)
            content.PatientID, content.StudyInstanceUID, content.SeriesInstanceUID = patient, study, series
            content.SOPInstanceUID = content.file_meta.MediaStorageSOPInstanceUID = pydicom.uid.generate_uid()
            content.save_as(tmp_path / "images" / f"{number:03}.dcm")
        manifest = tmp_path / "manifest.yml"
        manifest.write_text(
            yaml.safe_dump(
                {"studies": [{"path": "images", "title": patient, "licence": "CC0-1.0", "source": "molecule"}]}
            ),
            encoding="utf-8",
        )
        return manifest

    make.title = patient
    yield make
    if (study := studies(orthanc).get(patient)) is not None:
        orthanc(("DELETE", f"/studies/{study['id']}"))
    host.run(f"rm -rf {DIRECTORY}/{key_of(str(tmp_path / 'manifest.yml'), 'images')}*")


@pytest.fixture
def small_tmp(host, tmp_path):
    """Return a directory for temporary files of the controller; it and the host's /tmp have room for 16 MiB."""
    small = tmp_path / "small"
    small.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", small], check=True)
    host.check_output("mount -t tmpfs -o size=16m,mode=1777 tmpfs /tmp")
    yield small
    host.check_output("umount -l /tmp")
    subprocess.run(["umount", "-l", small], check=True)


@pytest.fixture(autouse=True, scope="module")
def inventory(request) -> None:
    """Let play() work on the site that is tested."""
    play.inventory = request.config.getoption("ansible_inventory")


def play(manifest: Path, *options: str, **variables: str) -> subprocess.Popen:
    """Start the play of this scenario with another manifest and more environment variables."""
    environment = {**os.environ, "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"), "ANSIBLE_NOCOLOR": "1", **variables}
    command = [
        "ansible-playbook",
        f"--inventory={play.inventory}",
        "-e",
        f"manifest={manifest}",
        *options,
        str(REPOSITORY / "molecule/load/converge.yml"),
    ]
    return subprocess.Popen(
        command,
        env=environment,
        cwd=REPOSITORY,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def kill_with_workers(pid: int) -> None:
    """Kill a run and what it began, as when the controller is switched off: its workers have sessions of their own."""
    children = subprocess.run(["pgrep", "--parent", str(pid)], capture_output=True, text=True).stdout.split()
    os.kill(pid, signal.SIGKILL)
    for child in children:
        kill_with_workers(int(child))


def test_every_study_of_the_manifest_is_there(orthanc) -> None:
    manifest = yaml.safe_load((REPOSITORY / "samples/manifest.yml").read_text(encoding="utf-8"))
    there = studies(orthanc)
    assert sum(study["count"] for study in there.values()) >= 300
    for study in manifest["studies"]:
        found = there[study["title"]]
        assert {key: found[key] for key in ("Licence", "Source")} == {
            "Licence": study["licence"],
            "Source": study["source"],
        }
        if study["path"] != "images/slide":
            assert found["count"] == len(list((REPOSITORY / "samples" / study["path"]).iterdir()))


def test_the_slide_has_a_pyramid_of_tiles(orthanc) -> None:
    slide = studies(orthanc)["Retina, deep zoom"]
    [series] = json.loads(orthanc(("GET", f"/studies/{slide['id']}"))[0][1])["Series"]
    pyramid = json.loads(orthanc(("GET", f"/wsi/pyramids/{series}"))[0][1])
    assert (pyramid["TotalWidth"], pyramid["TotalHeight"]) == (4096, 4096)
    levels = len(pyramid["Resolutions"])
    for status, tile in orthanc(*(("GET", f"/wsi/tiles/{series}/{level}/0/0") for level in range(levels))):
        assert status == 200 and tile.startswith("\xff\xd8\xff")


def test_a_slide_of_unknown_size_has_no_scale(orthanc) -> None:
    slide = studies(orthanc)["Retina, deep zoom"]
    [series] = json.loads(orthanc(("GET", f"/studies/{slide['id']}"))[0][1])["Series"]
    [first, *_] = json.loads(orthanc(("GET", f"/series/{series}"))[0][1])["Instances"]
    tags = orthanc(("GET", f"/instances/{first}/simplified-tags"))[0][1]
    assert "PixelMeasuresSequence" in tags and "PixelSpacing" not in tags


def test_nothing_but_journals_is_left_on_the_volume(host) -> None:
    assert host.run(f"find {DIRECTORY} -mindepth 1 -type d").stdout == ""
    assert host.file(DIRECTORY).mode == 0o700


def while_loading(host, manifest: Path, command: str) -> None:
    """Wait until ten of the manifest's images are imported, then run the shell command on the primary at once."""
    journal = f"{DIRECTORY}/{key_of(str(manifest), 'images')}.journal"
    ten_are_there = f'[ "$(cat {journal} 2>/dev/null | wc -l)" -ge 10 ]'
    host.check_output(f"timeout 180 sh -c 'until {ten_are_there}; do sleep 0.02; done; {command}'")


def test_damaged_and_foreign_files_are_named_and_all_others_imported(orthanc, images) -> None:
    manifest = images(6)
    directory = manifest.parent / "images"
    damaged = directory / "002.dcm"
    damaged.write_bytes(damaged.read_bytes()[:4000])
    (directory / "notes.txt").write_text("no image")
    (directory / "cut.tiff").write_bytes(b"II*\0" + bytes(5000))
    run = play(manifest)
    output = run.communicate(timeout=300)[0]
    assert run.returncode == 2
    assert "load: 3 of 8 files were not imported, all others are:" in output
    assert "images: 002.dcm: Orthanc refuses it (400" in output
    assert "images: notes.txt: is neither DICOM nor TIFF" in output
    assert "images: cut.tiff: vips cannot convert it" in output
    assert studies(orthanc)[images.title]["count"] == 5


def test_a_load_that_is_killed_goes_on_where_it_was(host, orthanc, images) -> None:
    manifest = images(200)
    run = play(manifest, "-e", "image_server_load_workers=1")
    while_loading(host, manifest, f"kill -9 $(cat {DIRECTORY}/lock)")
    run.communicate(timeout=300)
    assert run.returncode == 2
    # The words of the manifest come last.
    assert 10 <= studies(orthanc)[None]["count"] < 200

    run = play(manifest)
    output = run.communicate(timeout=300)[0]
    assert run.returncode == 0, output
    assert "to the host" not in output, "images that had arrived were sent again"
    assert studies(orthanc)[images.title]["count"] == 200


def test_a_file_larger_than_tmp_is_sent_in_pieces_and_goes_on_after_a_kill(host, orthanc, images, small_tmp) -> None:
    manifest = images(1)
    [file] = (manifest.parent / "images").iterdir()
    content = pydicom.dcmread(file)
    content.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    content.PhotometricInterpretation = "RGB" if content.SamplesPerPixel == 3 else "MONOCHROME2"
    content["PixelData"].is_undefined_length = False
    frame = content.Rows * content.Columns * content.SamplesPerPixel
    content.NumberOfFrames = 100_000_000 // frame
    content.PixelData = os.urandom(1 << 20) * ((frame * content.NumberOfFrames >> 20) + 1)
    content.PixelData = content.PixelData[: frame * content.NumberOfFrames]
    content.save_as(file)
    parts = f"{DIRECTORY}/{key_of(str(manifest), 'images')}/parts"

    def arrived() -> int:
        return int(host.run(f"stat -c %s {parts}/* 2>/dev/null").stdout or 0)

    places = {"TMPDIR": str(small_tmp), "ANSIBLE_LOCAL_TEMP": str(small_tmp)}
    run = play(manifest, **places)
    eight_digits = f"stat -c %s {parts}/* 2>/dev/null | grep -qE [0-9]{{8}}"
    host.check_output(f"timeout 180 sh -c 'until {eight_digits}; do sleep 0.1; done'")
    kill_with_workers(run.pid)
    run.communicate(timeout=60)
    time.sleep(2)
    before = arrived()
    assert 33_000_000 <= before < file.stat().st_size, "it was too late for a kill"

    run = play(manifest, **places)
    seen = []
    while run.poll() is None:
        seen.append(arrived())
    output = run.communicate(timeout=300)[0]
    assert run.returncode == 0, output
    assert min(size for size in seen[: seen.index(max(seen)) + 1]) >= before, "what had arrived was sent again"
    assert studies(orthanc)[images.title]["count"] == 1


def test_a_restart_of_orthanc_is_waited_for(host, orthanc, images) -> None:
    manifest = images(60)
    run = play(manifest)
    while_loading(host, manifest, "systemctl restart orthanc")
    output = run.communicate(timeout=300)[0]
    assert run.returncode == 0, output
    assert studies(orthanc)[images.title]["count"] == 60


def test_a_wrong_path_is_named_before_anything_is_touched(images) -> None:
    manifest = images(1)
    shutil.rmtree(manifest.parent / "images")
    run = play(manifest)
    output = run.communicate(timeout=300)[0]
    assert run.returncode == 2
    assert f"studies[0].path: {manifest.parent}/images does not exist; correct the path" in output
