# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Carries out the plan of a site that shall be there."""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence

from ..plan import Step
from ..progress import Progress
from .cloud import Cloud
from .network import Network
from .run import Run, Settings
from .servers import Servers
from .shapes import Found, Resource, Want
from .volumes import Volumes
from .work import Key, Work


class Provision:
    """The steps of all of a site, in the order in which they should begin."""

    def __init__(
        self, cloud: Cloud, want: Want, found: Found, offer: Found, steps: Sequence[Step], settings: Settings
    ) -> None:
        self._work = Work(cloud, settings.parallel, self._watch)
        self._run = Run(cloud, want, found, offer, steps, settings, self._work)
        self._network, self._servers, self._volumes = Network(self._run), Servers(self._run), Volumes(self._run)
        clones = self._volumes.clones
        self._progress = Progress(settings.progress_file if clones else None, len(clones))

    def run(self) -> Found:
        """Return what is there afterwards, in the shape of the listing."""
        want = self._run.want
        # Copies take the longest, other volumes the least.
        copied = [volume for volume in want["volumes"] if ("clone", volume["name"]) in self._volumes.clones]
        for volume in copied:
            self._volumes.add(volume)
        self._run.add("key pair", want["name"], lambda: self._run.create("key pair", public_key=want["public_key"]))
        self._network.add()
        for name in want["server_groups"]:
            self._servers.add_group(name)
        self._network.add_ports()
        for host in want["hosts"]:
            self._servers.add(host)
        for volume in want["volumes"]:
            self._volumes.add_attachment(volume)
        for host in want["hosts"]:
            if host["outside"]:
                self._network.add_address(host)
        for volume in want["volumes"]:
            if volume not in copied:
                self._volumes.add(volume)
        with self._progress:
            self._work.run()
        return self._found_now()

    def _found_now(self) -> Found:
        """Return the listing, with what was made and changed since."""
        now = dict(self._run.found.resources)
        for (kind, _name), resource in self._work.results.items():
            if kind in ("server", "port", "volume", "attachment", "address") and resource:
                kind = "volume" if kind == "attachment" else kind
                now[kind] = [entry for entry in now[kind] if entry["id"] != resource["id"]] + [resource]
        return self._run.found.with_resources(**now)

    def _watch(self, waiting: Mapping[Key, tuple[Resource | None, float]]) -> None:
        clones = self._volumes.clones
        if clones:
            done = sum(key in self._work.results for key in clones)
            text = ", ".join(
                f"{key[1]} since {datetime.timedelta(seconds=int(seconds))}"
                for key, (_resource, seconds) in sorted(waiting.items())
                if key in clones
            )
            self._progress.update(done, text=text or self._progress.text)
