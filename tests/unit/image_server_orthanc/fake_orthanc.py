# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""An Orthanc made of a dictionary, and the importer that is tested against it."""

from __future__ import annotations

import hashlib
import http.server
import json
import sys
import threading
from pathlib import Path

import yaml

from plugins.module_utils.load.importer import Words, open_driver

IMPORTER = Path(__file__).parents[3] / "roles/image_server_orthanc/files/importer"
PAGES = yaml.safe_load((IMPORTER.parents[1] / "meta/policy.yml").read_text(encoding="utf-8"))["pages"]
SETTINGS = {"pages": PAGES, "url": "http://127.0.0.1:1", "user": "operator", "password": "secret"}
VERSION = open_driver("orthanc", str(IMPORTER), SETTINGS).version
package = sys.modules["imaging_repository_importers_orthanc"]
Client, Importer = package.Client, package.Orthanc
describe, slides = (sys.modules[f"{package.__name__}.{name}"] for name in ("describe", "slides"))

WORDS = Words("Zellen", "", "CC0-1.0", "Köln")
KEPT = {"Title": "Zellen", "Licence": "CC0-1.0", "Source": "Köln"}
DICOM = b"\0" * 128 + b"DICM"


def write(path, text):
    """Write a file that looks like DICOM."""
    path.write_bytes(DICOM + text.encode())


class Orthanc:
    """Files are text: `study series instance content`; the first three are the ids."""

    def __init__(self):
        self.files: dict[str, tuple[str, str, bytes]] = {}
        self.metadata: dict[str, dict[str, str]] = {}
        self.changes: list[tuple[str, str]] = []
        self.release = "1"
        self.requests: list[str] = []
        self.answers: list[int] = []  # statuses of the next uploads instead of what would be
        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), self.handler())
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        self.requests.append(f"{method} {path}")
        parts = path.partition("?")[0].strip("/").split("/")
        if method == "POST":
            if self.answers:
                return self.answers.pop(0), {"Message": "told so"}
            words = body.removeprefix(DICOM).decode("utf-8", "replace").split()
            if len(words) != 4:
                return 400, {"Details": "Cannot parse an invalid DICOM file"}
            study, series, instance, _ = words
            status = "AlreadyStored" if instance in self.files else "Success"
            if status == "Success":
                there = [(s, r) for s, r, _ in self.files.values()]
                if study not in {s for s, _ in there}:
                    self.changes.append(("NewStudy", study))
                if series not in {r for _, r in there}:
                    self.changes.append(("NewSeries", series))
                self.changes.append(("NewInstance", instance))
            self.files.setdefault(instance, (study, series, body))
            return 200, {"ID": instance, "ParentStudy": study, "ParentSeries": series, "Status": status}
        if path == "/changes?last":
            return 200, {"Last": len(self.changes)}
        if parts == ["changes"]:
            since = int(path.partition("since=")[2].partition("&")[0])
            page = [
                {"Seq": number, "ChangeType": kind, "ID": identifier}
                for number, (kind, identifier) in enumerate(self.changes, 1)
                if number > since
            ][:4]
            last = page[-1]["Seq"] if page else since
            return 200, {"Changes": page, "Last": last, "Done": last == len(self.changes)}
        if path == "/system":
            return 200, {"Version": self.release}
        if parts == ["statistics"]:
            files = self.files.values()
            studies, series = {study for study, _, _ in files}, {one for _, one, _ in files}
            return 200, {"CountStudies": len(studies), "CountSeries": len(series), "CountInstances": len(files)}
        if parts == ["studies"]:
            return 200, sorted({study for study, _, _ in self.files.values()})
        if parts[-1] == "md5":
            return 200, hashlib.md5(self.files[parts[1]][2]).hexdigest()
        if parts[-1] == "statistics":
            count = len(self.of_study(parts[1]))
            return (200, {"CountInstances": count}) if count else (404, "")
        if parts[0] == "series" and method == "DELETE":
            self.files = {i: file for i, file in self.files.items() if file[1] != parts[1]}
            return 200, {}
        if parts[0] == "instances":
            return (200, {"ID": self.files[parts[1]][0]}) if parts[1] in self.files else (404, "")
        if parts[0] == "studies" and method == "GET" and len(parts) == 2:
            return (200, {"MainDicomTags": {}}) if self.of_study(parts[1]) else (404, "")
        if parts[0] == "studies" and parts[-1] == "series":
            return 200, [
                {"ID": one, "Instances": [i for i in self.files if self.files[i][1] == one], "MainDicomTags": {}}
                for one in {series for series, _ in self.of_study(parts[1])}
            ]
        if parts[0] == "series" and parts[-1] == "instances":
            return 200, []
        if parts[0] == "series":
            ids = [i for i, (_, series, _) in self.files.items() if series == parts[1]]
            return (200, {"Instances": ids}) if ids else (404, "")
        if parts[-1] == "metadata":
            return 200, self.metadata.get(parts[1], {})
        if method == "PUT":
            self.changes.append(("UpdatedMetadata", parts[1]))
            self.metadata.setdefault(parts[1], {})[parts[3]] = body.decode()
            return 200, ""
        if method == "DELETE":
            del self.metadata[parts[1]][parts[3]]
            return 200, ""
        raise AssertionError(path)

    def of_study(self, study: str) -> list[tuple[str, str]]:
        """Return the (series, instance) of a study."""
        return [(series, i) for i, (its, series, _) in self.files.items() if its == study]

    def handler(self):
        orthanc = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do(self):
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                status, content = orthanc.answer(self.command, self.path, body)
                if status == 0:
                    self.close_connection = True
                    return
                data = content.encode() if isinstance(content, str) else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = do_DELETE = do

            def log_message(self, *arguments):
                pass

        return Handler
