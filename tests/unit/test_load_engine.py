# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The engine of load with image servers that are dictionaries: which one gets a file, what is remembered, what is said."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from plugins.module_utils.load import catalogue, importer
from plugins.module_utils.load.engine import Loader
from plugins.module_utils.load.importer import Driver, Importer, NotInstalled, Refused, Stored, Words, open_driver
from plugins.module_utils.load.journal import Journal, Loaded
from plugins.module_utils.load.lock import lock
from plugins.module_utils.load.manifest import File
from plugins.module_utils.load.parallel import in_parallel
from plugins.module_utils.load.report import SHOWN_FAILURES, LoadError, Report
from plugins.module_utils.load.staging import Study

WORDS = Words("Cells", "", "CC0-1.0", "Here")


class Folder(Importer):
    """Takes files of one ending; a file is a study of one image. It keeps no words and cannot tell what changed."""

    def __init__(self, ending):
        self.ending = ending
        self.files = {}
        self.described = []

    def accepts(self, path):
        return "" if path.endswith(self.ending) else f"is no {self.ending}"

    def store(self, path, workspace, words):
        with open(path) as stream:
            content = stream.read()
        if content == "bad":
            raise Refused("is bad; mend it")
        name = path.rpartition("/")[2]
        new = name not in self.files
        self.files[name] = content
        return Stored([(name, "image-" + name)], int(new))

    def missing(self, images):
        return {image for image in images if image[0] not in self.files}

    def studies(self):
        return list(self.files)

    def describe(self, study, words):
        self.described.append(study)
        return {"id": study, "title": words.title, "thumbnail": f"/{study}"} if study in self.files else None


@pytest.fixture
def servers():
    return [Driver("jpegs", Folder(".jpg")), Driver("pngs", Folder(".png"))]


@pytest.fixture
def load(servers, tmp_path):
    """Return a function that loads studies from the folder `in`, of a driver's name or of none."""
    state = tmp_path / "load"
    state.mkdir()

    def run(driver="", words=WORDS, **options):
        study = Study("key", "m: in", words, path=str(tmp_path / "in"), driver=driver)
        return Loader(servers, str(state), **options).run([study])

    (tmp_path / "in").mkdir()
    run.directory, run.state = tmp_path / "in", state
    return run


def test_the_first_driver_that_accepts_a_file_gets_it(servers, load):
    for name in ("a.jpg", "b.png", "c.gif"):
        (load.directory / name).write_text(name)
    report = load()
    assert [list(driver.importer.files) for driver in servers] == [["a.jpg"], ["b.png"]]
    assert report.failures == ["m: in: c.gif: is no .jpg; is no .png"]
    assert (report.instances, report.studies) == (2, 2)
    assert [(entry["id"], entry["driver"], entry["title"]) for entry in report.catalogue] == [
        ("a.jpg", "jpegs", "Cells"),
        ("b.png", "pngs", "Cells"),
    ]


def test_the_driver_that_the_manifest_names_gets_all_files(servers, load):
    (load.directory / "a.jpg").write_text("x")
    assert load("pngs").failures == ["m: in: a.jpg: is no .png"]
    assert not servers[0].importer.files


def test_words_are_remembered_for_a_driver_that_keeps_none(load):
    (load.directory / "a.jpg").write_text("x")
    load()
    assert [entry["title"] for entry in load().catalogue] == ["Cells"]
    new = dataclasses.replace(WORDS, title="New")
    assert load(words=new, check=True).metadata_changed == 1
    report = load(words=new)
    assert (report.metadata_changed, report.catalogue[0]["title"]) == (1, "New")
    assert load(words=new).metadata_changed == 0


def test_a_driver_that_left_the_host_loses_its_images_to_the_next(servers, load):
    (load.directory / "a.jpg").write_text("x")
    load()
    servers[0] = Driver("others", servers[0].importer)
    report = load()
    assert (report.to_import, [entry["driver"] for entry in report.catalogue]) == (1, ["others"])


def test_a_journal_of_one_driver_is_still_valid(servers, load):
    (load.directory / "a.jpg").write_text("x")
    load()
    journal = load.state / "key.journal"
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    lines[0]["instances"] = lines[0].pop("images")
    del lines[0]["driver"]
    journal.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert (load().to_import, load().instances) == (0, 1)


def test_the_catalogue_forgets_what_another_importer_said_and_keeps_the_words(servers, tmp_path):
    server = servers[0].importer
    server.files["a.jpg"] = "x"
    first = catalogue.Catalogue(servers[0], str(tmp_path))
    first.remember("a.jpg", WORDS)
    first.refresh(set())
    first.save()
    again = catalogue.Catalogue(servers[0], str(tmp_path))
    assert again.descriptions() == first.descriptions() != []
    newer = catalogue.Catalogue(dataclasses.replace(servers[0], version="2"), str(tmp_path))
    assert (newer.descriptions(), newer.words) == ([], {"a.jpg": WORDS})


def test_a_cut_line_is_not_joined_to_the_next(tmp_path):
    path = tmp_path / "journal"
    path.write_text('{"path": "a", "si')
    file, loaded = File("b", 1, 2), Loaded("x", (("s", "e", "i"),))
    Journal(str(path)).add(file, loaded)
    assert Journal(str(path)).files == {file: loaded}


def test_too_little_room_is_said_before_anything_is_imported(servers, load):
    study = Study("key", "name", WORDS, digest="x", count=1, size=1 << 60)
    with pytest.raises(LoadError, match=r"MiB are needed for the images and .* MiB are free; enlarge the volume"):
        Loader(servers, str(load.state)).run([study])


def test_what_has_arrived_needs_room_once(servers, load, monkeypatch):
    needed = []
    monkeypatch.setattr("plugins.module_utils.load.engine.space.require", lambda _, size: needed.append(size))
    (load.state / "key" / "parts").mkdir(parents=True)
    (load.state / "key" / "parts" / "x").write_bytes(bytes(700))
    Loader(servers, str(load.state)).run([Study("key", "name", WORDS, digest="x", count=1, size=1000)])
    assert needed == [1300]


def test_only_one_load_at_a_time(tmp_path):
    with (
        lock(str(tmp_path)),
        pytest.raises(LoadError, match="another load is at work on this host"),
        lock(str(tmp_path)),
    ):
        pass
    with lock(str(tmp_path)):
        pass


def test_many_failures_are_shown_in_part():
    report = Report(files=60, failures=[f"f{number:02}" for number in range(60)])
    lines = report.failure_text().splitlines()
    assert lines[0] == "load: 60 of 60 files were not imported, all others are:"
    assert lines[-1] == f"and {60 - SHOWN_FAILURES} more, see failures"
    assert Report().failure_text() == ""


def test_an_importer_is_a_package_that_finds_the_contract(tmp_path):
    package = tmp_path / "mine"
    package.mkdir()
    (package / "inner.py").write_text("from imaging_repository_load import Importer\nclass Mine(Importer):\n    pass\n")
    (package / "__init__.py").write_text(
        "from .inner import Mine\n"
        "def importer(settings):\n    mine = Mine()\n    mine.settings = settings\n    return mine\n"
    )
    driver = open_driver("mine", str(package), {"a": 1})
    assert driver.importer.settings == {"a": 1}
    assert sorted(path.name for path in package.iterdir()) == ["__init__.py", "inner.py"]
    assert driver.importer.changes(None, {}) == importer.Changes()
    assert open_driver("mine", str(package), {"a": 1}, {"password": "x"}).version == driver.version
    assert open_driver("mine", str(package), {"a": 2}).version != driver.version
    (package / "inner.py").write_text("class Mine:\n    pass\n")
    assert open_driver("mine", str(package), {"a": 1}).version != driver.version


def test_an_importer_that_is_not_there_is_named(tmp_path):
    with pytest.raises(NotInstalled, match=r"is no importer; run playbooks/load.yml, which installs that of mine"):
        open_driver("mine", str(tmp_path), {})


def test_parallel_work_takes_no_more_than_it_needs():
    taken = []

    def items():
        for number in range(100):
            taken.append(number)
            yield number

    results = in_parallel(lambda number: number * 2, items(), 2)
    assert next(results)[1] % 2 == 0
    assert len(taken) <= 8
    assert sorted(result for _, result in results)[-1] == 198


def test_the_importer_of_the_documentation_works(tmp_path, load):
    text = (Path(__file__).parents[2] / "docs/drivers.md").read_text(encoding="utf-8")
    package = tmp_path / "folder"
    package.mkdir()
    (package / "__init__.py").write_text(text.partition("```python\n")[2].partition("```")[0])
    served = tmp_path / "served"
    served.mkdir()
    driver = open_driver("folder", str(package), {"directory": str(served)})
    (load.directory / "a.jpg").write_bytes(b"\xff\xd8\xffpixels")
    (load.directory / "b.png").write_bytes(b"PNG")
    study = Study("key", "m: in", WORDS, path=str(load.directory))
    for imported in (1, 0):
        report = Loader([driver], str(load.state)).run([study])
        assert (report.imported, report.failures) == (imported, ["m: in: b.png: is no JPEG"])
        assert [(entry["id"], entry["title"], entry["driver"]) for entry in report.catalogue] == [
            ("a.jpg", "Cells", "folder")
        ]
    (served / "a.jpg").unlink()
    assert Loader([driver], str(load.state)).run([study]).imported == 1
