# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Files travel from the controller's half to the host's: cut, changed, damaged on the way, and gone on with."""

from __future__ import annotations

import json
import os
import subprocess

import pytest

from plugins.module_utils.load import send
from plugins.module_utils.load.manifest import File, digest, files_of
from plugins.module_utils.load.send import Piece, Sender, SendError, in_batches, payload


class Lost(Exception):
    """The connection is gone."""


class Host:
    """Runs the commands here; `fate` may cut or change what travels with a put, or lose the connection."""

    def __init__(self):
        self.bytes = []
        self.fate = lambda number, data: data

    def run(self, command, data):
        if "' put " in command:
            data = self.fate(len(self.bytes), data)
            self.bytes.append(len(data))
        answer = subprocess.run(["sh", "-c", command], input=data, capture_output=True)
        if answer.returncode:
            raise Lost(answer.stderr.decode().strip())
        return answer.stdout.decode()


@pytest.fixture
def host(monkeypatch):
    monkeypatch.setattr(send, "PIECE_BYTES", 1000)
    monkeypatch.setattr(send, "FILE_BYTES", 10)
    return Host()


@pytest.fixture
def images(tmp_path):
    root = tmp_path / "images"
    (root / "below").mkdir(parents=True)
    (root / "large.tif").write_bytes(os.urandom(5500))
    (root / "empty").write_bytes(b"")
    for number in range(20):
        (root / "below" / f"{number:02} 'ü.dcm").write_bytes(os.urandom(90))
    return root


def sent(host, images, workspace, **options):
    files = files_of(str(images))
    Sender(host.run, str(workspace), **options).send(str(images), files, digest(files))


def same(images, workspace):
    assert files_of(str(workspace / "files")) == files_of(str(images))
    for file in files_of(str(images)):
        assert (workspace / "files" / file.path).read_bytes() == (images / file.path).read_bytes()
    listing = json.loads((workspace / "listing.json").read_text())
    assert listing["digest"] == digest(files_of(str(images)))
    assert sorted(os.listdir(workspace)) == ["files", "listing.json"]


def test_many_small_and_one_large_file_arrive_in_few_pieces(host, images, tmp_path):
    said = []
    sent(host, images, tmp_path / "w", say=lambda *line: said.append(line[:2]))
    same(images, tmp_path / "w")
    assert len(host.bytes) == 8
    assert said[-1] == (7300, 7300)


def test_a_cut_transfer_goes_on_where_it_was(host, images, tmp_path):
    def cut(number, data):
        if number == 5:
            raise Lost("the line is cut")
        return data

    host.fate = cut
    with pytest.raises(Lost):
        sent(host, images, tmp_path / "w")
    before = sum(host.bytes)
    assert not (tmp_path / "w" / "listing.json").exists()
    host.fate = lambda number, data: data
    sent(host, images, tmp_path / "w")
    same(images, tmp_path / "w")
    # Names and numbers travel too.
    assert sum(host.bytes) - before < 7300 - 4000 + 1500


@pytest.mark.parametrize("damage", [lambda data: data[:-1], lambda data: data[:-1] + bytes([data[-1] ^ 1])])
def test_a_piece_that_was_cut_or_changed_on_the_way_is_not_written(host, images, tmp_path, damage):
    host.fate = lambda number, data: damage(data) if number == 4 else data
    with pytest.raises(Lost, match="the bytes that arrived are not those that were sent"):
        sent(host, images, tmp_path / "w")
    host.fate = lambda number, data: data
    sent(host, images, tmp_path / "w")
    same(images, tmp_path / "w")


def test_a_piece_that_a_kill_cut_while_it_was_written_is_written_again(host, images, tmp_path):
    def cut(number, data):
        if number == 4:
            raise Lost("killed")
        return data

    host.fate = cut
    with pytest.raises(Lost):
        sent(host, images, tmp_path / "w")
    [part] = (tmp_path / "w" / "parts").iterdir()
    whole = part.read_bytes()
    part.write_bytes(whole[:-100])
    host.fate = lambda number, data: data
    sent(host, images, tmp_path / "w")
    same(images, tmp_path / "w")


def test_a_file_that_changed_between_two_runs_is_sent_anew_and_others_are_cleared_away(host, images, tmp_path):
    sent(host, images, tmp_path / "w")
    host.bytes.clear()
    (images / "large.tif").write_bytes(os.urandom(1200))
    (images / "empty").unlink()
    sent(host, images, tmp_path / "w")
    same(images, tmp_path / "w")
    assert 1200 < sum(host.bytes) < 2000


def test_what_the_journal_knows_is_not_sent(host, images, tmp_path):
    known = [file for file in files_of(str(images)) if file.path != "large.tif"]
    (tmp_path / "w.journal").write_text(
        "".join(json.dumps({"path": f.path, "size": f.size, "changed": f.changed}) + "\n" for f in known) + '{"pa'
    )
    sent(host, images, tmp_path / "w")
    assert [file.path for file in files_of(str(tmp_path / "w" / "files"))] == ["large.tif"]


def test_a_file_that_is_written_while_it_is_sent_is_named(host, images, tmp_path):
    def write(number, data):
        if number == 0:
            (images / "large.tif").write_bytes(b"other")
        return data

    host.fate = write
    with pytest.raises(SendError, match=r"large.tif: was changed while it was sent; run the same again when nobody"):
        sent(host, images, tmp_path / "w")


def test_a_full_disk_is_said_in_one_line(host, images, tmp_path):
    (tmp_path / "w").write_text("")
    with pytest.raises(Lost, match=r"^/.*/w: File exists$|^/.*: Not a directory$"):
        sent(host, images, tmp_path / "w")


def test_batches():
    files = [(File(name, size, 0), offset) for name, size, offset in (("a", 4, 0), ("b", 10_000, 4_000), ("c", 0, 0))]
    assert list(in_batches(files, 4100)) == [
        [Piece(files[0][0], 0, 4)],
        [Piece(files[1][0], 4000, 4100)],
        [Piece(files[1][0], 8100, 1900)],
        [Piece(files[2][0], 0, 0)],
    ]
    assert len(list(in_batches(files, 100_000))) == 1
    assert list(in_batches([], 100)) == []


def test_a_payload_begins_with_its_places_and_its_checksum(images):
    [large] = [file for file in files_of(str(images)) if file.path == "large.tif"]
    head, _, content = payload(str(images), [Piece(large, 100, 50)]).partition(b"\n")
    assert json.loads(head)["pieces"] == [["large.tif", 5500, large.changed, 100, 50]]
    assert content == (images / "large.tif").read_bytes()[100:150]
