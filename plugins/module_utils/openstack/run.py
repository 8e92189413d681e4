# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What all steps of one run share: the cloud, the plan, and the work that is to be done."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from ..plan import Step
from .cloud import Cloud, CloudError
from .found import match, pick
from .image_choice import choose_image
from .plan_hosts import STEADY_VOLUME
from .shapes import Found, Resource, Want
from .work import Key, Until, Work


@dataclass(frozen=True)
class Settings:
    """What the user asked of a run."""

    wait_seconds: float = 600
    clone_timeout_seconds: float = 86400
    parallel: int = 10
    progress_file: str | None = None
    # Text for cloud-init by the short name of a host.
    user_data: Mapping[str, str] = field(default_factory=dict)


class Run:
    """One run that carries out the plan of a site that shall be there."""

    def __init__(
        self,
        cloud: Cloud,
        want: Want,
        found: Found,
        offer: Found,
        steps: Sequence[Step],
        settings: Settings,
        work: Work,
    ) -> None:
        self.cloud, self.want, self.found, self.offer, self.settings, self.work = (
            cloud,
            want,
            found,
            offer,
            settings,
            work,
        )
        self.action = {(entry["kind"], entry["name"]): entry["action"] for entry in steps}

    def existing(self, kind: str, name: str) -> Resource | None:
        """Return what is there already."""
        return match(kind, name, self.want, self.found)[0]

    def there(self, kind: str, name: str) -> Resource:
        """Return what the plan has seen."""
        resource = self.existing(kind, name)
        if resource is None:
            raise CloudError(f"{kind} {name}: was removed meanwhile; run this again")
        return resource

    def id(self, kind: str, name: str) -> str:
        """Return the id of what an earlier step made or found."""
        return str(self.work.results[kind, name]["id"])

    def until(self, kind: str, ready: Callable[[Resource | None], bool]) -> Until:
        """Return the end of a step that waits for as long as the user allows."""
        return Until(kind, ready, self.settings.wait_seconds)

    def until_copied(self) -> Until:
        """Return the end of a step that waits for a copy of much data."""
        return Until("volume", is_steady, self.settings.clone_timeout_seconds)

    def add(
        self,
        kind: str,
        name: str,
        create: Callable[[], Resource],
        change: Callable[[str, Resource], Resource] = lambda _kind, existing: existing,
        needs: Iterable[Key] = (),
        until: Until | None = None,
    ) -> None:
        """Add the step of a resource as the plan says."""
        action = self.action[kind, name]
        if action == "keep":
            self.work.have((kind, name), self.existing(kind, name))
        elif action == "change":
            self.work.add((kind, name), lambda: change(kind, self.there(kind, name)), needs, until)
        else:
            self.work.add((kind, name), create, needs, until)

    def create(self, kind: str, name: str = "", **body: Any) -> Resource:
        """Make what takes no more than a name and its mark."""
        if kind not in ("key pair", "server group"):
            body["description"] = self.want["mark"]
        return self.cloud.create(kind, {"name": name or self.want["name"], **body})

    def adopt_by_description(self, kind: str, existing: Resource) -> Resource:
        """Give the mark of the site to what neutron has."""
        return self.cloud.update(kind, existing["id"], {"description": self.want["mark"]})

    def pick(self, kind: str, name: str) -> str:
        """Return the id of what the site file names and the cloud offers."""
        resource = pick(kind, name, (self.offer if kind in self.offer else self.found)[kind])
        if resource is None:
            raise CloudError(f"{kind} {name}: was removed meanwhile; run this again")
        return str(resource["id"])

    def image(self) -> str:
        """Return the id of the image of new servers."""
        image = choose_image(self.want["image"], self.offer)
        if image is None:
            raise CloudError(f"image {self.want['image']}: was removed meanwhile; run this again")
        return str(image["id"])

    def gateway(self) -> Resource:
        """Return the outside that routers lead to."""
        return {"network_id": self.pick("external network", self.want["external"])}


def is_steady(resource: Resource | None) -> bool:
    """Return whether a volume or snapshot is at rest. Raises CloudError where it failed."""
    if resource and resource["status"].startswith("error"):
        raise CloudError(
            f"is in state {resource['status']} ({resource['id']}); the cloud's operators know why: look "
            "at it, remove or repair it, then run this again"
        )
    return resource is not None and resource["status"] in STEADY_VOLUME


def is_gone(resource: Resource | None) -> bool:
    """Return whether it is listed no more."""
    return resource is None
