# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Writes the volumes of a site: made, copied, enlarged and attached."""

from __future__ import annotations

from typing import Any

from .cloud import CloudError
from .found import attached_to, source
from .plan_hosts import STEADY_VOLUME
from .run import Run, is_steady
from .shapes import Resource, Volume
from .wanted import SITE, volume_metadata
from .work import Key


def _size(volume: Resource | None) -> int:
    return int(volume["size"]) if volume else 0


class Volumes:
    """The steps of the volumes of a site."""

    def __init__(self, run: Run) -> None:
        self.run = run
        # The steps that copy the data of another volume.
        self.clones: set[Key] = {
            ("clone", volume["name"])
            for volume in run.want["volumes"]
            if volume["from"] and run.action["volume", volume["name"]] == "create"
        }

    def add(self, volume: Volume) -> None:
        """Add the step of a volume, after that of the snapshot which it is made from."""
        name, snapshot = volume["name"], f"{volume['name']}-source"
        needs: list[Key] = []
        if ("snapshot", snapshot) in self.run.action:
            needs = [("snapshot", snapshot)]
            self.run.add(
                "snapshot",
                snapshot,
                lambda: self._create_snapshot(volume, snapshot),
                until=self.run.until("snapshot", is_steady),
            )
        until, existing = self.run.until("volume", is_steady), self.run.existing("volume", name)
        large = self.run.until("volume", lambda now: is_steady(now) and _size(now) >= volume["gib"])
        if ("clone", name) in self.clones:
            clone = ("clone", name)
            self.run.work.add(clone, lambda: self._create_volume(volume), needs, self.run.until_copied())
            self.run.work.add(
                ("volume", name), lambda: self._change_volume(volume, self.run.work.results[clone]), [clone], large
            )
            return
        if existing and existing["status"] not in STEADY_VOLUME:
            needs = [("settled volume", name)]
            self.run.work.add(needs[0], lambda: self.run.there("volume", name), until=self.run.until_copied())
        if existing and existing["size"] < volume["gib"]:
            until = large
        self.run.add(
            "volume",
            name,
            lambda: self._create_volume(volume),
            lambda _kind, existing: self._change_volume(volume, existing),
            needs,
            until,
        )

    def _source(self, volume: Volume) -> tuple[str, Resource]:
        """Return kind and resource of what a volume is made from."""
        kind, origin = source(volume, self.run.found)
        if origin is None:
            raise CloudError(f"{volume['from']} was removed meanwhile; name another source")
        return kind, origin

    def _create_snapshot(self, volume: Volume, name: str) -> Resource:
        _kind, origin = self._source(volume)
        return self.run.cloud.create(
            "snapshot",
            {
                "name": name,
                "volume_id": origin["id"],
                "force": True,
                "metadata": volume_metadata(self.run.want, volume),
            },
        )

    def _zones(self) -> list[str]:
        """Return the zones of block storage: where only compute has the site's, the cloud chooses one of its own.

        A copy is where its source is, whatever the zone of the site.
        """
        offer = self.run.offer
        return [zone["name"] for zone in offer["volume zone"]] if "volume zone" in offer else []

    def _create_volume(self, volume: Volume) -> Resource:
        body: dict[str, Any] = {
            "name": volume["name"],
            "size": volume["gib"],
            "metadata": volume_metadata(self.run.want, volume),
        }
        if volume["type"]:
            body["volume_type"] = volume["type"]
        if self.run.want["zone"] in self._zones() and not volume["from"]:
            body["availability_zone"] = self.run.want["zone"]
        if volume["from"]:
            # As large as its source at first: not every back end enlarges what it copies (cinder's NFS does not).
            kind, origin = self._source(volume)
            body["size"] = origin["size"]
            snapshot = self.run.work.results.get(("snapshot", f"{volume['name']}-source"))
            if snapshot:
                body.update(size=snapshot["size"], snapshot_id=snapshot["id"])
            else:
                body["source_volid" if kind == "volume" else "snapshot_id"] = origin["id"]
        return self.run.cloud.create("volume", body)

    def _change_volume(self, volume: Volume, existing: Resource) -> Resource:
        path = f"/volumes/{existing['id']}"
        if existing["metadata"].get(SITE) != self.run.want["name"]:
            self.run.cloud.post(
                "block_storage",
                f"{path}/metadata",
                {"metadata": volume_metadata(self.run.want, volume)},
                lambda: None,
            )

        def extended() -> Resource | None:
            now = next((entry for entry in self.run.cloud.list("volume") if entry["id"] == existing["id"]), None)
            return now if now and (now["status"] == "extending" or now["size"] >= volume["gib"]) else None

        if existing["size"] < volume["gib"]:
            self.run.cloud.post("block_storage", f"{path}/action", {"os-extend": {"new_size": volume["gib"]}}, extended)
        return existing

    def add_attachment(self, volume: Volume) -> None:
        """Add the step that attaches a volume to its host."""
        name, host = volume["name"], f"{self.run.want['name']}-{volume['host']}"
        if self.run.action["attachment", name] == "keep":
            return

        def attach() -> Resource:
            server = self.run.id("server", host)
            now: Resource = self.run.work.results["volume", name]
            if server not in attached_to(now):
                self.run.cloud.post(
                    "compute",
                    f"/servers/{server}/os-volume_attachments",
                    {"volumeAttachment": {"volumeId": now["id"]}},
                    lambda: self._attaching(now["id"]),
                )
            return now

        def is_attached(now: Resource | None) -> bool:
            if now and now["status"] == "available":
                # Nova reserves a volume before it answers, and gives it back where it fails.
                raise CloudError(
                    f"nova could not attach it to {host}; openstack server event list {host} says when, "
                    "the cloud's operators know why; run this again to try it again"
                )
            return now is not None and is_steady(now) and self.run.id("server", host) in attached_to(now)

        self.run.work.add(
            ("attachment", name), attach, [("volume", name), ("server", host)], self.run.until("volume", is_attached)
        )

    def _attaching(self, identifier: str) -> Resource | None:
        return next(
            (
                entry
                for entry in self.run.cloud.list("volume")
                if entry["id"] == identifier and entry["status"] != "available"
            ),
            None,
        )
