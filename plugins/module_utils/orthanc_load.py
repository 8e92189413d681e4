# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The engine of module orthanc_load: imports the studies of manifests into an Orthanc on the same host.

What is imported and verified is noted in one journal per study, a line per file, so that a run that was killed goes on
where it was cut. Files from the controller are expected in `<directory>/<key>/files` with a listing beside them; the
action plugin brings them there. A journal is believed only as far as Orthanc still has the instances.
"""

from __future__ import annotations

import contextlib
import dataclasses
import fcntl
import hashlib
import json
import os
import shutil
import threading
import time
from collections.abc import Iterator

from . import manifest, slides
from .orthanc import Client, OrthancError, in_parallel, words
from .progress import Progress

METADATA = ("Title", "Description", "Licence", "Source")
MIB = 1 << 20
# So many internal errors are the server's fault, not that of the files.
SERVER_ERRORS_LIMIT = 20


class LoadError(Exception):
    """Nothing was imported, or not everything could be tried; the message says what to do."""


@dataclasses.dataclass(frozen=True)
class Study:
    """An entry of a manifest. `path` is empty where the images come from the controller; then `digest`, `count` and
    `size` (bytes) describe them there."""

    key: str
    name: str
    metadata: dict[str, str]
    path: str = ""
    digest: str = ""
    count: int = 0
    size: int = 0


@dataclasses.dataclass(frozen=True)
class Instance:
    """The ids by which Orthanc knows an instance."""

    study: str
    series: str
    instance: str


@dataclasses.dataclass
class Outcome:
    """What became of one file: its instances, how many of them are new, or a problem."""

    instances: list[Instance] = dataclasses.field(default_factory=list)
    stored: int = 0
    problem: str = ""


class Journal:
    """Which files of a study are imported and verified: JSON lines, appended; a line that a kill cut is ignored."""

    def __init__(self, path: str):
        self.path = path
        self.files: dict[manifest.File, list[Instance]] = {}
        self.complete = ""
        # What a kill cut off must not be joined to the next line.
        self._cut = False
        with contextlib.suppress(FileNotFoundError), open(path, encoding="utf-8", errors="surrogateescape") as stream:
            by_path: dict[str, manifest.File] = {}
            for line in stream:
                self._cut = not line.endswith("\n")
                try:
                    self._read(json.loads(line), by_path)
                except (ValueError, TypeError, KeyError):
                    continue

    def _read(self, line: dict, by_path: dict[str, manifest.File]) -> None:
        if "complete" in line:
            self.complete = line["complete"]
            return
        file = manifest.File(line["path"], line["size"], line["changed"])
        instances = [Instance(*ids) for ids in line["instances"]]
        self.files.pop(by_path.get(file.path, file), None)
        by_path[file.path] = file
        self.files[file] = instances

    def add(self, file: manifest.File, instances: list[Instance]) -> None:
        """Note that all instances of the file are imported and verified."""
        self.files[file] = instances
        with open(self.path, "a", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(("\n" if self._cut else "") + self._line(file) + "\n")
        self._cut = False

    def rewrite(self, complete: str = "") -> None:
        """Replace the journal by what is known now; `complete` is the digest of the listing that is all imported."""
        self.complete = complete
        with open(f"{self.path}.new", "w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.writelines(self._line(file) + "\n" for file in self.files)
            if complete:
                stream.write(json.dumps({"complete": complete}) + "\n")
        os.replace(f"{self.path}.new", self.path)

    def _line(self, file: manifest.File) -> str:
        return json.dumps({**dataclasses.asdict(file), "instances": [dataclasses.astuple(i) for i in self.files[file]]})


class Plan:
    """What is to be done for one study."""

    def __init__(self, study: Study, directory: str):
        self.study = study
        self.journal = Journal(os.path.join(directory, f"{study.key}.journal"))
        self.workspace = os.path.join(directory, study.key)
        self.digest = study.digest
        self.files: list[manifest.File] | None = None  # None: known to the controller only
        self.failed = 0
        if study.path:
            self.root = manifest.root_of(study.path)
            self.files = manifest.files_of(study.path)
            self.digest = manifest.digest(self.files)
        else:
            self.root = os.path.join(self.workspace, "files")
            with (
                contextlib.suppress(FileNotFoundError, ValueError),
                open(os.path.join(self.workspace, "listing.json"), encoding="utf-8") as stream,
            ):
                listing = json.load(stream)
                if listing["digest"] == study.digest:
                    self.files = [manifest.File(*file) for file in listing["files"]]

    @property
    def complete(self) -> bool:
        return self.journal.complete == self.digest

    @property
    def unstaged(self) -> bool:
        return not self.complete and self.files is None

    def to_do(self) -> list[manifest.File]:
        """Return the files that are not imported yet, as far as they are on this host."""
        return [] if self.complete else [file for file in self.files or [] if file not in self.journal.files]

    def to_do_count(self) -> int:
        return len(self.to_do()) if not self.unstaged else max(1, self.study.count - len(self.journal.files))

    def to_do_size(self) -> int:
        """Return the bytes that are still needed on this host: twice where they are to be copied here first."""
        if not self.unstaged:
            return sum(file.size for file in self.to_do())
        return 2 * max(0, self.study.size - sum(file.size for file in self.journal.files))


@contextlib.contextmanager
def lock(directory: str) -> Iterator[None]:
    """Let only one load run on this host; the lock goes with the process, however that ends."""
    with open(os.path.join(directory, "lock"), "a+", encoding="utf-8") as stream:
        stream.seek(0)
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            process = stream.read().strip()
            raise LoadError(
                f"{directory}/lock: another load is at work on this host (process {process}); wait until it is done"
            ) from None
        stream.truncate()
        stream.write(f"{os.getpid()}\n")
        stream.flush()
        yield


class Loader:
    """Imports studies; see run()."""

    def __init__(
        self, client: Client, directory: str, *, workers: int = 4, check: bool = False, progress: Progress | None = None
    ):
        self._client = client
        self._directory = directory
        self._workers = workers
        self._check = check
        self._progress = progress or Progress(None)
        # vips uses all processors itself, and its memory should not be needed twice.
        self._converting = threading.Lock()
        self._server_errors = 0

    def run(self, studies: list[Study]) -> dict:
        """Import what is missing, set metadata, verify; return counts and problems, or only {"unstaged": [keys]}.

        Raises LoadError and OrthancError where going on makes no sense; what was imported until then is kept.
        """
        started = time.monotonic()
        # Nothing is copied to a host whose server is away or refuses the login.
        self._client.get("/system")
        plans = [Plan(study, self._directory) for study in studies]
        self._drop_missing(plans)
        result = {
            "unstaged": [plan.study.key for plan in plans if plan.unstaged],
            "files": sum(plan.study.count if plan.files is None else len(plan.files) for plan in plans),
            "to_import": sum(plan.to_do_count() for plan in plans if not plan.complete),
            "imported": 0,
            "failures": [],
        }
        self._require_space(plans)
        if not self._check:
            if result["unstaged"]:
                return result
            self._import(plans, result)
        result["metadata_changed"] = self._set_metadata(plans, result["failures"])
        if not self._check:
            self._finish(plans, result["failures"])
        result["instances"] = len({i for plan in plans for found in plan.journal.files.values() for i in found})
        result["studies"] = len({i.study for plan in plans for found in plan.journal.files.values() for i in found})
        result["seconds"] = round(time.monotonic() - started, 2)
        return result

    def _drop_missing(self, plans: list[Plan]) -> None:
        """Forget what the journals say of instances that Orthanc no longer has."""
        missing = self._missing({i for plan in plans for found in plan.journal.files.values() for i in found})
        if not missing:
            return
        for plan in plans:
            gone = [file for file, found in plan.journal.files.items() if not missing.isdisjoint(found)]
            for file in gone:
                del plan.journal.files[file]
            if gone:
                plan.journal.complete = ""
                if not self._check:
                    plan.journal.rewrite()

    def _missing(self, expected: set[Instance]) -> set[Instance]:
        """Return which instances Orthanc does not have: one question per study, more only where the count differs."""
        by_study: dict[str, dict[str, set[Instance]]] = {}
        for found in expected:
            by_study.setdefault(found.study, {}).setdefault(found.series, set()).add(found)

        def of_study(study: str) -> set[Instance]:
            statistics = self._client.get(f"/studies/{study}/statistics")
            every = set().union(*by_study[study].values())
            if statistics is None:
                return every
            if statistics["CountInstances"] == len(every):
                return set()
            lost = set()
            for series, instances in by_study[study].items():
                content = self._client.get(f"/series/{series}")
                there = set(content["Instances"]) if content else set()
                lost |= {i for i in instances if i.instance not in there}
            return lost

        return set().union(*(lost for _, lost in in_parallel(of_study, by_study, self._workers)))

    def _require_space(self, plans: list[Plan]) -> None:
        needed = sum(plan.to_do_size() for plan in plans)
        if not needed or not os.path.isdir(self._directory):
            return
        status = os.statvfs(self._directory)
        free = status.f_bavail * status.f_frsize
        if needed > free:
            raise LoadError(
                f"{self._directory}: {needed // MIB + 1} MiB are needed for the images and {free // MIB} MiB are free; "
                "enlarge the volume (gib in the site file) and provision again, or load less; nothing was imported"
            )

    def _import(self, plans: list[Plan], result: dict) -> None:
        work = [(plan, file) for plan in plans for file in plan.to_do()]
        self._progress.update(0, total=len(work))
        outcomes = in_parallel(lambda item: self._import_file(*item), work, self._workers)
        for done, ((plan, file), outcome) in enumerate(outcomes, 1):
            result["imported"] += outcome.stored
            if outcome.problem:
                plan.failed += 1
                result["failures"].append(f"{plan.study.name}: {file.path}: {outcome.problem}")
            else:
                plan.journal.add(file, outcome.instances)
            self._progress.update(done, len(result["failures"]), text=plan.study.name)

    def _import_file(self, plan: Plan, file: manifest.File) -> Outcome:
        path = os.path.join(plan.root, file.path)
        outcome = Outcome()
        try:
            if slides.is_tiff(path):
                target = os.path.join(plan.workspace, "slides", hashlib.sha256(file.path.encode()).hexdigest()[:16])
                with self._converting:
                    parts = slides.convert(path, target, plan.study.metadata["Title"])
                for part in parts:
                    self._store(part, outcome)
                shutil.rmtree(target)
            else:
                self._store(path, outcome)
        except (slides.SlideError, _Refused) as error:
            outcome.problem = str(error)
        except OSError as error:
            if error.errno in (28, 122):  # ENOSPC, EDQUOT
                raise LoadError(f"{error.filename}: the disk is full; enlarge the volume, then run it again") from error
            outcome.problem = f"cannot be read ({error.strerror or error}); look at the file on {os.uname().nodename}"
        return outcome

    def _store(self, path: str, outcome: Outcome) -> None:
        """Send one DICOM file and compare what arrived with it."""
        checksum = hashlib.md5(usedforsecurity=False)
        with open(path, "rb") as stream:
            while block := stream.read(MIB):
                checksum.update(block)
        status, answer = self._client.request("POST", "/instances", file=path)
        if status != 200:
            if status >= 500:
                self._server_errors += 1
                if self._server_errors >= SERVER_ERRORS_LIMIT:
                    raise OrthancError(
                        f"{self._client.url}: {self._server_errors} times an internal error, last: {status} "
                        f"{words(answer)}; is its volume full? See /var/log/orthanc, then run it again"
                    )
            raise _Refused(
                f"Orthanc refuses it ({status} {words(answer)}); is it a whole DICOM or TIFF file? "
                "Replace it or take it out"
            )
        said = json.loads(answer)
        status, stored = self._client.request("GET", f"/instances/{said['ID']}/attachments/dicom/md5")
        if status != 200 or stored.decode() != checksum.hexdigest():
            if said["Status"] == "AlreadyStored":
                raise _Refused(
                    f"Orthanc holds another image under the same identifiers ({said['ID']}); delete that "
                    "one or give this one identifiers of its own"
                )
            raise _Refused("arrived with another checksum; look for broken memory or disks, then run it again")
        outcome.instances.append(Instance(said["ParentStudy"], said["ParentSeries"], said["ID"]))
        outcome.stored += said["Status"] == "Success"

    def _set_metadata(self, plans: list[Plan], failures: list[str]) -> int:
        """Give every study the words of its manifest; return how many studies differed."""
        owner: dict[str, Plan] = {}
        for plan in plans:
            # A file that was taken out of the manifest keeps its images, and their words.
            named = set(plan.files or plan.journal.files)
            for study in {i.study for file, found in plan.journal.files.items() if file in named for i in found}:
                other = owner.setdefault(study, plan)
                if other is not plan and other.study.metadata != plan.study.metadata:
                    plan.failed += 1
                    failures.append(
                        f"{plan.study.name}: holds images of the study that {other.study.name} describes "
                        "otherwise; write the same title, description, licence and source for both"
                    )

        def of_study(item: tuple[str, Plan]) -> bool:
            study, plan = item
            present = self._client.get(f"/studies/{study}/metadata?expand") or {}
            differing = {
                name: plan.study.metadata.get(name, "")
                for name in METADATA
                if present.get(name, "") != plan.study.metadata.get(name, "")
            }
            for name, value in ({} if self._check else differing).items():
                method = ("PUT", value.encode()) if value else ("DELETE", None)
                status, answer = self._client.request(method[0], f"/studies/{study}/metadata/{name}", method[1])
                if status != 200:
                    raise OrthancError(
                        f"{self._client.url}: does not take metadata {name} ({status} {words(answer)}); "
                        "its configuration lacks UserMetadata: run playbooks/configure.yml"
                    )
            return bool(differing)

        return sum(changed for _, changed in in_parallel(of_study, owner.items(), self._workers))

    def _finish(self, plans: list[Plan], failures: list[str]) -> None:
        """Count once more, and close the journals of what is all there."""
        fresh = [plan for plan in plans if not plan.complete]
        missing = self._missing({i for plan in fresh for found in plan.journal.files.values() for i in found})
        for plan in fresh:
            lost = [file for file, found in plan.journal.files.items() if not missing.isdisjoint(found)]
            for file in lost:
                failures.append(f"{plan.study.name}: {file.path}: was imported and is gone again; who deletes images?")
            if not lost and not plan.failed:
                plan.journal.files = {file: plan.journal.files[file] for file in plan.files or []}
                plan.journal.rewrite(plan.digest)
                shutil.rmtree(plan.workspace, ignore_errors=True)


class _Refused(Exception):
    """One file cannot be imported; the others can."""
