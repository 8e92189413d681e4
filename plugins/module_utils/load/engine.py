# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The engine of module load: gives the studies of manifests to the image servers on the same host.

What is loaded and verified is noted in one journal per study, so that a run that was killed goes on where it was cut.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time

from ..progress import Progress
from . import space
from .catalogue import Catalogue, merged
from .importer import Changes, Driver, Image, Refused, Stored
from .journal import Loaded
from .manifest import File
from .parallel import in_parallel
from .report import LoadError, Report
from .staging import Plan, Study

Found = set[tuple[str, Image]]


class Loader:
    """Loads studies; see run(). `drivers` are asked in this order for a study that names none."""

    def __init__(
        self,
        drivers: list[Driver],
        directory: str,
        *,
        workers: int = 4,
        check: bool = False,
        progress: Progress | None = None,
    ) -> None:
        self._drivers = {driver.name: driver for driver in drivers}
        self._directory = directory
        self._workers = workers
        self._check = check
        self._progress = progress or Progress(None)

    def run(self, studies: list[Study]) -> Report:
        """Load what is missing, set the words, verify, describe; return counts and problems, or what is unstaged only.

        Raises LoadError and ServerError where going on makes no sense; what was loaded until then is kept.
        """
        started = time.monotonic()
        first = next(iter(self._drivers), "")
        plans = [Plan(study, self._directory, first) for study in studies]
        catalogues = {name: Catalogue(driver, self._directory, self._workers) for name, driver in self._drivers.items()}
        # Nothing is copied to a host whose server is away or refuses the login: this asks it.
        changes = {name: catalogue.changes(_images(plans)) for name, catalogue in catalogues.items()}
        self._drop_missing(plans, changes)
        report = Report(
            unstaged=[plan.study.key for plan in plans if plan.unstaged],
            files=sum(plan.study.count if plan.files is None else len(plan.files) for plan in plans),
            to_import=sum(plan.to_do_count() for plan in plans),
        )
        space.require(self._directory, sum(plan.to_do_size() for plan in plans))
        if not self._check:
            if report.unstaged:
                return report
            self._load(plans, report)
        report.metadata_changed = self._annotate(plans, changes, catalogues, report.failures)
        if not self._check:
            self._finish(plans, report.failures)
        for catalogue in catalogues.values():
            catalogue.refresh(_images(plans))
            if not self._check:
                catalogue.save()
        report.catalogue = merged(list(catalogues.values()))
        images = _images(plans)
        report.instances = len(images)
        report.studies = len({(driver, image[0]) for driver, image in images})
        report.seconds = round(time.monotonic() - started, 2)
        return report

    def _drop_missing(self, plans: list[Plan], changes: dict[str, Changes]) -> None:
        """Forget what the journals say of images that the servers no longer have: only what changed is asked for."""
        doubtful = {
            (driver, image)
            for driver, image in _images(plans)
            if driver not in changes or _concerns(changes[driver], image[0])
        }
        missing = self._missing(doubtful)
        if not missing:
            return
        for plan in plans:
            gone = [file for file, loaded in plan.journal.files.items() if not missing.isdisjoint(_of(loaded))]
            for file in gone:
                del plan.journal.files[file]
            if gone:
                plan.journal.complete = ""
                if not self._check:
                    plan.journal.rewrite()

    def _missing(self, expected: Found) -> Found:
        """Return which images their servers do not have; a driver that this host no longer has lacks all."""
        found = {(driver, image) for driver, image in expected if driver not in self._drivers}
        for name, driver in self._drivers.items():
            asked = {image for its, image in expected if its == name}
            if asked:
                found |= {(name, image) for image in driver.importer.missing(asked)}
        return found

    def _load(self, plans: list[Plan], report: Report) -> None:
        work = [(plan, file) for plan in plans for file in plan.to_do()]
        self._progress.update(0, total=len(work))
        outcomes = in_parallel(lambda item: self._load_file(*item), work, self._workers)
        for done, ((plan, file), outcome) in enumerate(outcomes, 1):
            if isinstance(outcome, str):
                plan.failed += 1
                report.failures.append(f"{plan.study.name}: {file.path}: {outcome}")
            else:
                driver, stored = outcome
                report.imported += stored.new
                plan.journal.add(file, Loaded(driver, tuple(stored.images)))
            self._progress.update(done, len(report.failures), text=plan.study.name)

    def _load_file(self, plan: Plan, file: File) -> tuple[str, Stored] | str:
        """Return the driver and what it stored, or why the file is refused."""
        path = os.path.join(plan.root, file.path)
        name = hashlib.sha256(file.path.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        workspace = os.path.join(plan.workspace, "work", name)
        try:
            driver = self._driver_of(plan.study, path)
            stored = driver.importer.store(path, workspace, plan.study.words)
        except Refused as error:
            return str(error)
        except OSError as error:
            if error.errno in (errno.ENOSPC, errno.EDQUOT):
                raise LoadError(f"{error.filename}: the disk is full; enlarge the volume, then run it again") from error
            return f"cannot be read ({error.strerror or error}); look at the file on {os.uname().nodename}"
        shutil.rmtree(workspace, ignore_errors=True)
        return driver.name, stored

    def _driver_of(self, study: Study, path: str) -> Driver:
        """Return the driver that the study names, or the first that accepts the file. Raises Refused."""
        candidates = [self._drivers[study.driver]] if study.driver else list(self._drivers.values())
        reasons = []
        for driver in candidates:
            reason = driver.importer.accepts(path)
            if not reason:
                return driver
            reasons.append(reason)
        raise Refused("; ".join(dict.fromkeys(reasons)) or "no image server is here that could take it")

    def _annotate(
        self, plans: list[Plan], changes: dict[str, Changes], catalogues: dict[str, Catalogue], failures: list[str]
    ) -> int:
        """Give every study the words of its manifest; return how many studies differed."""
        owner: dict[tuple[str, str], Plan] = {}
        for plan in plans:
            # A file that was taken out of the manifest keeps its images, and their words.
            named = set(plan.files or plan.journal.files)
            found = {
                (loaded.driver, image[0])
                for file, loaded in plan.journal.files.items()
                if file in named
                for image in loaded.images
            }
            for study in found:
                other = owner.setdefault(study, plan)
                if other is not plan and other.study.words != plan.study.words:
                    plan.failed += 1
                    failures.append(
                        f"{plan.study.name}: holds images of the study that {other.study.name} describes "
                        "otherwise; write the same title, description, licence and source for both"
                    )
        doubtful = {
            (driver, study): plan
            for (driver, study), plan in owner.items()
            if _concerns(changes[driver], study) or catalogues[driver].words.get(study) != plan.study.words
        }

        def of_study(item: tuple[tuple[str, str], Plan]) -> bool:
            (driver, study), plan = item
            changed = self._drivers[driver].importer.annotate(study, plan.study.words, self._check)
            # What load alone remembers is a change too.
            before = catalogues[driver].words.get(study)
            if not self._check:
                catalogues[driver].remember(study, plan.study.words)
            return changed or before not in (None, plan.study.words)

        return sum(changed for _, changed in in_parallel(of_study, doubtful.items(), self._workers))

    def _finish(self, plans: list[Plan], failures: list[str]) -> None:
        """Count once more, and close the journals of what is all there."""
        fresh = [plan for plan in plans if not plan.complete]
        missing = self._missing(_images(fresh))
        for plan in fresh:
            lost = [file for file, loaded in plan.journal.files.items() if not missing.isdisjoint(_of(loaded))]
            for file in lost:
                failures.append(f"{plan.study.name}: {file.path}: was imported and is gone again; who deletes images?")
            if not lost and not plan.failed:
                plan.journal.files = {file: plan.journal.files[file] for file in plan.files or []}
                plan.journal.rewrite(plan.digest)
                shutil.rmtree(plan.workspace, ignore_errors=True)


def _images(plans: list[Plan]) -> Found:
    return {image for plan in plans for image in plan.journal.images()}


def _of(loaded: Loaded) -> Found:
    return {(loaded.driver, image) for image in loaded.images}


def _concerns(changes: Changes, study: str) -> bool:
    return changes.studies is None or study in changes.studies
