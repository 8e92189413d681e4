# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Reads manifests on the controller, brings the images to the host that are not there, and shows the progress."""

from __future__ import annotations

import os
import shlex
import tempfile
import time
from pathlib import Path

import yaml
from ansible import constants
from ansible.errors import AnsibleActionFail
from ansible.utils.display import Display

from ..module_utils.cache_warm.status import duration
from ..module_utils.load import manifest
from ..module_utils.load.send import Sender, SendError
from ..plugin_utils.progress import ProgressAction

display = Display()

REPOSITORY = Path(__file__).resolve().parents[2]
GIB = 1 << 30


class ActionModule(ProgressAction):
    verb = "load"

    def run(self, tmp=None, task_vars=None):
        paths = self._task.args.get("manifests") or []
        if isinstance(paths, str):
            paths = [paths]
        drivers = [driver.get("name", "") for driver in self._task.args.get("drivers") or []]
        entries, listings = read_manifests(paths, drivers)
        self._task.args = {**self._task.args, "manifests": [], "studies": entries}
        result = super().run(tmp, task_vars)
        if result.get("unstaged"):
            directory = self._task.args.get("directory") or "/srv/images/load"
            host = (task_vars or {}).get("inventory_hostname", "")
            by_key = {entry["key"]: entry for entry in entries}
            for key in result["unstaged"]:
                self._stage(by_key[key], *listings[key], os.path.join(directory, key), host)
            result = super().run(tmp, task_vars)
            if result.get("unstaged"):
                raise AnsibleActionFail("load: images were lost on their way to the host; run the same again")
        return result

    def _stage(self, entry: dict, root: str, files: list[manifest.File], workspace: str, host: str) -> None:
        """Bring the files that the host's journal does not know to `workspace`."""
        lines = Lines(lambda line: self._say(f"load: {entry['name']}: {line}", host))
        sender = Sender(lambda command, data: self._pipe(command, data, entry["name"]), workspace, say=lines.show)
        try:
            sender.send(root, files, entry["digest"])
        except (SendError, OSError) as error:
            raise AnsibleActionFail(f"load: {error}") from error

    def _pipe(self, command: str, data: bytes, what: str) -> str:
        """Run a command on the host with `data` on its standard input; return what it prints."""
        if self._connection.has_pipelining:
            answer = self._low_level_execute_command(command, in_data=data)
        else:
            # Such a connection can copy files only: a piece at a time.
            remote = f"{self._connection._shell.tmpdir or self._make_tmp_path()}/piece"
            with tempfile.NamedTemporaryFile(dir=constants.DEFAULT_LOCAL_TMP) as local:
                local.write(data)
                local.flush()
                self._transfer_file(local.name, remote)
            self._fixup_perms2([os.path.dirname(remote), remote])
            answer = self._low_level_execute_command(
                f"{command} < {shlex.quote(remote)} && rm -f {shlex.quote(remote)}"
            )
        if answer["rc"]:
            words = (answer["stderr"].strip() or answer["stdout"].strip() or f"exit status {answer['rc']}").splitlines()
            raise AnsibleActionFail(f"load: {what}: {words[-1]}; make room or correct the directory, then run it again")
        return answer["stdout"]


class Lines:
    """Says how far a transfer is, every two seconds and later less often."""

    def __init__(self, say, clock=time.monotonic):
        self._say = say
        self._clock = clock
        self._interval_seconds = ProgressAction.interval_seconds
        self._next = clock() + self._interval_seconds

    def show(self, sent: int, total: int, rate: float) -> None:
        """Take the bytes that were sent, all of them, and the bytes per second."""
        if self._clock() < self._next:
            return
        self._interval_seconds = min(
            self._interval_seconds * ProgressAction.interval_growth, ProgressAction.longest_interval_seconds
        )
        self._next = self._clock() + self._interval_seconds
        left = duration((total - sent) / rate) if rate else "?"
        self._say(f"{sent / GIB:.2f} of {total / GIB:.2f} GiB to the host, {rate / (1 << 20):.0f} MiB/s, {left} left")


def read_manifests(
    paths: list[str], drivers: list[str]
) -> tuple[list[dict], dict[str, tuple[str, list[manifest.File]]]]:
    """Return what the module wants to know of each study, and for each key of one on the controller (root, files).

    Everything that is wrong with any manifest is one error.
    """
    found: list[str] = []
    entries: list[dict] = []
    listings: dict[str, tuple[str, list[manifest.File]]] = {}
    for name in paths:
        path = find_manifest(name)
        document, wrong = read_manifest(path, name, drivers)
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


def read_manifest(path: str, name: str, drivers: list[str]) -> tuple[dict, list[str]]:
    """Return the manifest at `path`, called `name`, and what is wrong with it."""
    try:
        with open(path, encoding="utf-8") as stream:
            document = yaml.safe_load(stream)
    except OSError as error:
        return {}, [f"{name}: {path}: {error.strerror}; correct the path (site.manifests, or -e manifest=)"]
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        return {}, [f"{name}: is no YAML ({' '.join(str(error).split())}); correct it there"]
    wrong = manifest.problems(document, name, drivers)
    if not wrong and document.get("images", "controller") == "controller":
        wrong = manifest.path_problems(document, name, os.path.dirname(path))
    return document, wrong


def find_manifest(name: str) -> str:
    """Return the path of a manifest that is named relative to the current directory or to the repository."""
    here = os.path.abspath(os.path.expanduser(name))
    return here if os.path.exists(here) else str(REPOSITORY / os.path.expanduser(name))
