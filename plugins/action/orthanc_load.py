# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Reads manifests on the controller, brings the images to the host that are not there, and shows the progress."""

from __future__ import annotations

import json
import os
import shlex
import tarfile
import tempfile
from pathlib import Path

import yaml
from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display

from ..module_utils import manifest
from ..module_utils.orthanc_load import Journal
from ..plugin_utils.progress import ProgressAction

display = Display()

REPOSITORY = Path(__file__).resolve().parents[2]
# Large enough for few round trips, small enough to be sent again after a cut.
ARCHIVE_BYTES = 64 << 20


class ActionModule(ProgressAction):
    verb = "load"

    def run(self, tmp=None, task_vars=None):
        paths = self._task.args.get("manifests") or []
        if isinstance(paths, str):
            paths = [paths]
        entries, listings = read_manifests(paths)
        self._task.args = {**self._task.args, "manifests": [], "studies": entries}
        result = super().run(tmp, task_vars)
        if result.get("unstaged"):
            directory = self._task.args.get("directory") or "/srv/images/load"
            by_key = {entry["key"]: entry for entry in entries}
            for key in result["unstaged"]:
                self._stage(by_key[key], *listings[key], os.path.join(directory, key))
            result = super().run(tmp, task_vars)
            if result.get("unstaged"):
                raise AnsibleActionFail("load: images were lost on their way to the host; run the same again")
        return result

    def _stage(self, entry: dict, root: str, files: list[manifest.File], workspace: str) -> None:
        """Bring the files that the host's journal does not know to `workspace`/files, an archive at a time."""
        temporary = self._connection._shell.tmpdir or self._make_tmp_path()
        known = self._fetch_journal(f"{workspace}.journal")
        arrived = set(
            self._command(
                f"mkdir -p -m 0700 {shlex.quote(workspace)}/files {shlex.quote(workspace)}/arrived && "
                f"ls {shlex.quote(workspace)}/arrived",
                workspace,
            ).split()
        )
        archives = [a for a in in_archives([f for f in files if f not in known]) if manifest.digest(a) not in arrived]
        for number, archive in enumerate(archives, 1):
            display.display(
                f"load: {entry['name']}: archive {number} of {len(archives)} to the host, "
                f"{sum(file.size for file in archive) >> 20} MiB"
            )
            with tempfile.TemporaryDirectory(prefix="imaging-repository-load-") as local:
                path = os.path.join(local, "archive.tar")
                write_archive(path, root, archive)
                self._send(path, f"{temporary}/archive.tar", workspace)
        listing = {"digest": entry["digest"], "files": [[file.path, file.size, file.changed] for file in files]}
        with tempfile.TemporaryDirectory(prefix="imaging-repository-load-") as local:
            path = os.path.join(local, "listing.tar")
            content = os.path.join(local, "listing.json")
            Path(content).write_text(json.dumps(listing), encoding="utf-8", errors="surrogateescape")
            with tarfile.open(path, "w") as archive:
                archive.add(content, "listing.json")
            self._send(path, f"{temporary}/archive.tar", workspace)

    def _send(self, local: str, remote: str, workspace: str) -> None:
        self._transfer_file(local, remote)
        self._fixup_perms2([os.path.dirname(remote), remote])
        self._command(
            f"tar -C {shlex.quote(workspace)} --no-same-owner -xf {shlex.quote(remote)} && rm -f {shlex.quote(remote)}",
            workspace,
        )

    def _fetch_journal(self, path: str) -> set[manifest.File]:
        answer = self._low_level_execute_command(f"cat {shlex.quote(path)}")
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", errors="surrogateescape") as stream:
            stream.write(answer["stdout"] if answer["rc"] == 0 else "")
            stream.flush()
            return set(Journal(stream.name).files)

    def _command(self, command: str, what: str) -> str:
        answer = self._low_level_execute_command(command)
        if answer["rc"]:
            words = (answer["stderr"].strip() or answer["stdout"].strip() or f"exit status {answer['rc']}").splitlines()
            raise AnsibleActionFail(f"load: {what}: {words[-1]}; make room or correct the directory, then run it again")
        return answer["stdout"]


def read_manifests(paths: list[str]) -> tuple[list[dict], dict[str, tuple[str, list[manifest.File]]]]:
    """Return what the module wants to know of each study, and for each key of one on the controller (root, files).

    Everything that is wrong with any manifest is one error.
    """
    found: list[str] = []
    entries: list[dict] = []
    listings: dict[str, tuple[str, list[manifest.File]]] = {}
    for name in paths:
        path = find_manifest(name)
        document, wrong = read_manifest(path, name)
        if wrong:
            found += wrong
            continue
        on_host = document.get("images", "controller") == "host"
        for study in document["studies"]:
            full = os.path.join(os.path.dirname(path), study["path"])
            files = [] if on_host else manifest.files_of(full)
            key = manifest.key_of(name, study["path"])
            entries.append(
                {
                    **study,
                    "name": f"{name}: {study['path']}",
                    "key": key,
                    "path": study["path"] if on_host else "",
                    "digest": "" if on_host else manifest.digest(files),
                    "count": len(files),
                    "size": sum(file.size for file in files),
                }
            )
            if not on_host:
                listings[key] = manifest.root_of(full), files
    if found:
        raise AnsibleActionFail("load: nothing was imported:\n" + "\n".join(found))
    return entries, listings


def read_manifest(path: str, name: str) -> tuple[dict, list[str]]:
    """Return the manifest at `path`, called `name`, and what is wrong with it."""
    try:
        with open(path, encoding="utf-8") as stream:
            document = yaml.safe_load(stream)
    except OSError as error:
        return {}, [f"{name}: {path}: {error.strerror}; correct the path (site.manifests, or -e manifest=)"]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return {}, [f"{name}: is no YAML ({' '.join(str(error).split())}); correct it there"]
    wrong = manifest.problems(document, name)
    if not wrong and document.get("images", "controller") == "controller":
        wrong = manifest.path_problems(document, name, os.path.dirname(path))
    return document, wrong


def find_manifest(name: str) -> str:
    """Return the path of a manifest that is named relative to the current directory or to the repository."""
    here = os.path.abspath(os.path.expanduser(name))
    return here if os.path.exists(here) else str(REPOSITORY / os.path.expanduser(name))


def in_archives(files: list[manifest.File]) -> list[list[manifest.File]]:
    """Return the files in groups of about ARCHIVE_BYTES, at least one file each."""
    groups: list[list[manifest.File]] = []
    filled = 0
    for file in files:
        if not groups or filled + file.size > ARCHIVE_BYTES:
            groups.append([])
            filled = 0
        groups[-1].append(file)
        filled += file.size
    return groups


def write_archive(path: str, root: str, files: list[manifest.File]) -> None:
    """Write the files below `root` as a tar; its last member tells by its presence that all have arrived."""
    with tarfile.open(path, "w", format=tarfile.GNU_FORMAT, dereference=True) as archive:
        for file in files:
            archive.add(os.path.join(root, file.path), os.path.join("files", file.path), recursive=False)
        archive.addfile(tarfile.TarInfo(f"arrived/{manifest.digest(files)}"))
