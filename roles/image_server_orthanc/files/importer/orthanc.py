# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""DICOM files and whole-slide images into Orthanc; every image is compared by checksum after it was stored."""

from __future__ import annotations

import collections
import dataclasses
import hashlib
import json
import threading
from collections.abc import Collection, Mapping
from typing import Any

from imaging_repository_load import (
    Changes,
    Description,
    Image,
    Importer,
    Refused,
    ServerError,
    Stored,
    Words,
    in_parallel,
)

from . import slides
from .client import Client, words_of
from .describe import describe

MIB = 1 << 20
# So many internal errors are the server's fault, not that of the files.
SERVER_ERRORS_LIMIT = 20
CHANGES_PAGE = 1000
# Where more images came by other ways than this load, all studies are examined.
FOREIGN_LIMIT = 1000
# DICOM without a preamble begins with one of these groups, in either byte order.
BARE_GROUPS = (b"\2\0", b"\0\2", b"\x08\0", b"\0\x08")


@dataclasses.dataclass(frozen=True)
class Part:
    """A DICOM file that was sent: its ids, whether it is new, and whether Orthanc holds other bytes than were sent."""

    image: Image
    new: bool
    differs: bool


class Orthanc(Importer):
    """An Image is (study, series, instance)."""

    def __init__(self, client: Client, pages: Mapping[str, str], workers: int = 4) -> None:
        self._client = client
        self._pages = pages
        self._workers = workers
        # vips uses all processors itself, and its memory should not be needed twice.
        self._converting = threading.Lock()
        self._server_errors = 0

    def accepts(self, path: str) -> str:
        with open(path, "rb") as stream:
            head = stream.read(132)
        if head[128:] == b"DICM" or head[:4] in slides.TIFF_MAGIC or head[:2] in BARE_GROUPS:
            return ""
        return "is neither DICOM nor TIFF, which Orthanc takes; is it whole? Replace it or take it out"

    def store(self, path: str, workspace: str, words: Words) -> Stored:
        if not slides.is_tiff(path):
            part = self._send(path)
            if part.differs:
                raise Refused(
                    f"Orthanc holds another image under the same identifiers ({part.image[-1]}); delete that "
                    "one or give this one identifiers of its own"
                )
            return Stored([part.image], int(part.new))
        with self._converting:
            files = slides.convert(path, workspace, words.title)
        parts = [self._send(file) for file in files]
        if any(part.differs for part in parts) and not self._is_whole(parts):
            # Some images are of another release of the converter and some are not: together they are no pyramid.
            for series in {part.image[1] for part in parts}:
                self._client.request("DELETE", f"/series/{series}")
            parts = [self._send(file) for file in files]
        return Stored([part.image for part in parts], sum(part.new for part in parts))

    def _is_whole(self, parts: list[Part]) -> bool:
        """Return whether Orthanc had the whole slide before.

        The identifiers are made from the checksum of the slide. Where all were there with other bytes, another release
        of the converter made the same picture, and it stays.
        """
        there: set[str] = set()
        for series in {part.image[1] for part in parts}:
            there |= set((self._client.get(f"/series/{series}") or {"Instances": []})["Instances"])
        return not any(part.new for part in parts) and there == {part.image[-1] for part in parts}

    def _send(self, path: str) -> Part:
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
                    raise ServerError(
                        f"{self._client.url}: {self._server_errors} times an internal error, last: {status} "
                        f"{words_of(answer)}; is its volume full? See /var/log/orthanc, then run it again"
                    )
            raise Refused(
                f"Orthanc refuses it ({status} {words_of(answer)}); is it a whole DICOM or TIFF file? "
                "Replace it or take it out"
            )
        said = json.loads(answer)
        image = (said["ParentStudy"], said["ParentSeries"], said["ID"])
        status, stored = self._client.request("GET", f"/instances/{said['ID']}/attachments/dicom/md5")
        differs = status != 200 or stored.decode() != checksum.hexdigest()
        if differs and said["Status"] != "AlreadyStored":
            raise Refused("arrived with another checksum; look for broken memory or disks, then run it again")
        return Part(image, said["Status"] == "Success", differs)

    def missing(self, images: Collection[Image]) -> set[Image]:
        """Ask one question per study, more only where the count differs."""
        by_study: dict[str, dict[str, set[Image]]] = {}
        for image in images:
            by_study.setdefault(image[0], {}).setdefault(image[1], set()).add(image)

        def of_study(study: str) -> set[Image]:
            statistics = self._client.get(f"/studies/{study}/statistics")
            every: set[Image] = set().union(*by_study[study].values())
            if statistics is None:
                return every
            if statistics["CountInstances"] == len(every):
                return set()
            lost: set[Image] = set()
            for series, expected in by_study[study].items():
                content = self._client.get(f"/series/{series}")
                there = set(content["Instances"]) if content else set()
                lost |= {image for image in expected if image[2] not in there}
            return lost

        return set().union(*(lost for _, lost in in_parallel(of_study, by_study, self._workers)))

    def studies(self) -> list[str]:
        return list(self._client.get("/studies") or [])

    def describe(self, study: str, words: Words) -> Description | None:
        return describe(self._client, study, self._pages)

    def annotate(self, study: str, words: Words, check: bool) -> bool:
        """Keep the words as metadata of the study."""
        wanted = {name.capitalize(): text for name, text in dataclasses.asdict(words).items()}
        present = self._client.get(f"/studies/{study}/metadata?expand") or {}
        differing = {name: text for name, text in wanted.items() if present.get(name, "") != text}
        for name, text in ({} if check else differing).items():
            method, body = ("PUT", text.encode()) if text else ("DELETE", None)
            status, answer = self._client.request(method, f"/studies/{study}/metadata/{name}", body)
            if status != 200:
                raise ServerError(
                    f"{self._client.url}: does not take metadata {name} ({status} {words_of(answer)}); "
                    "its configuration lacks UserMetadata: run playbooks/configure.yml"
                )
        return bool(differing)

    def changes(self, mark: Any, own: Mapping[str, str]) -> Changes:
        """Read Orthanc's list of changes. Deletions are not in it: they show in the counts.

        The mark is {release: of Orthanc, last: number of the last change, counts: [studies, series, instances]}.
        Another release may draw what this one cannot: then all studies are described anew.
        """
        last = int((self._client.get("/changes?last") or {}).get("Last", 0))
        statistics = self._client.get("/statistics") or {}
        counts = [int(statistics.get(f"Count{level}", 0)) for level in ("Studies", "Series", "Instances")]
        release = (self._client.get("/system") or {}).get("Version", "")
        new_mark = {"release": release, "last": last, "counts": counts}
        if not isinstance(mark, dict) or mark.get("release") != release or mark.get("last", last + 1) > last:
            return Changes(new_mark)
        found: dict[str, set[str]] = collections.defaultdict(set)
        since = mark["last"]
        while since < last:
            page = self._client.get(f"/changes?since={since}&limit={CHANGES_PAGE}") or {}
            for change in page.get("Changes", []):
                if change["Seq"] <= last:
                    found[change["ChangeType"]].add(change["ID"])
            if page.get("Done", True) or page["Last"] <= since:
                break
            since = page["Last"]
        studies = found["NewStudy"] | found["UpdatedMetadata"]
        new = [len(found[f"New{level}"]) for level in ("Study", "Series", "Instance")]
        if [before + more for before, more in zip(mark["counts"], new, strict=True)] != counts:
            return Changes(new_mark)
        studies |= {own[instance] for instance in found["NewInstance"] if instance in own}
        foreign = [instance for instance in found["NewInstance"] if instance not in own]
        if len(foreign) > FOREIGN_LIMIT:
            return Changes(new_mark)
        for _, parent in in_parallel(lambda i: self._client.get(f"/instances/{i}/study"), foreign, self._workers):
            if parent is not None:
                studies.add(parent["ID"])
        return Changes(new_mark, frozenset(studies))
