# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""One run of the module openstack_site: list, plan, and write unless in check mode."""

from __future__ import annotations

import contextlib
import datetime
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypedDict

from ..firewall import Firewall
from ..plan import Step, table, writes
from .cloud import Cloud, CloudError
from .found import match, result
from .plan import plan
from .problems import asked, problems
from .provision import Provision
from .removal import removal
from .removing import Removing
from .run import Settings
from .shapes import LISTED, Found, Server, Want
from .wanted import wanted

# As long as a request that the cloud has taken may need to show in its listings.
SETTLE_SECONDS = 5


@dataclass(frozen=True)
class Request:
    """What the module is asked for; its documentation says what each means."""

    site: Mapping[str, Any]
    firewall: Firewall
    absent: bool
    public_key: str
    recreate_failed: Sequence[str]
    destroy_volumes: Sequence[str]
    spread: Sequence[str]
    bastion: str
    lock_file: str | None
    check_mode: bool
    settings: Settings = field(default_factory=Settings)


class Answer(TypedDict, total=False):
    """What the module returns."""

    changed: bool
    plan: list[Step]
    table: str
    missing_hosts: list[str]
    servers: dict[str, Server]
    strangers: list[str]
    api_calls: Mapping[str, int]
    warnings: list[str]
    seconds: float
    diff: dict[str, str]


def kinds_of(want: Want, absent: bool) -> list[str]:
    """Return the kinds to list: no more than the plan of this site looks at."""
    unused: set[str] = set()
    if absent:
        unused |= {"flavor", "external network"}
    else:
        if not want["server_groups"]:
            unused.add("server group")
        if not any(volume["from"] for volume in want["volumes"]):
            unused.add("snapshot")
        if want["existing"]:
            unused |= {"network", "subnet", "router", "external network"}
            return [*(kind for kind in LISTED if kind not in unused), "any network", "any subnet"]
    return [kind for kind in LISTED if kind not in unused]


@contextlib.contextmanager
def only_writer(lock_file: str | None) -> Iterator[Callable[[], None]]:
    """Keep other runs away; what it yields is called before the first write.

    The file holds something while a run writes: whoever finds it so comes after a killed run.
    """
    if lock_file is None:
        yield lambda: None
        return
    with open(lock_file, "a+", encoding="ascii") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CloudError(f"{lock_file}: another run works on this site; wait until it has finished") from None
        if os.fstat(handle.fileno()).st_size:
            time.sleep(SETTLE_SECONDS)

        def write() -> None:
            handle.write("writing\n")
            handle.flush()

        try:
            yield write
        finally:
            handle.truncate(0)


def run(request: Request, answer: Answer) -> None:
    """List, plan, and write unless in check mode; fill the answer as far as it comes. Raises CloudError and OSError."""
    with only_writer(None if request.check_mode else request.lock_file) as write:
        _plan_and_apply(request, answer, write)


def together(want: Want, found: Found) -> Iterator[str]:
    """Yield a sentence for each machine of the cloud that holds several hosts which should be apart."""
    for group in want["server_groups"]:
        machines: dict[str, list[str]] = {}
        for host in want["hosts"]:
            server, _refusal = match("server", host["name"], want, found)
            if host["server_group"] == group and server and server.get("hostId"):
                machines.setdefault(server["hostId"], []).append(host["name"])
        for names in machines.values():
            if len(names) > 1:
                yield (
                    f"{', '.join(names)} run on one machine of the cloud, and fall with it. Where the cloud has others, "
                    f"remove one server (openstack server delete {names[-1]}; its volumes stay) and run this again"
                )


def _plan_and_apply(request: Request, answer: Answer, write: Callable[[], None]) -> None:
    want = wanted(
        request.site, request.firewall, request.public_key, request.recreate_failed, request.spread, request.bastion
    )
    cloud = Cloud(want["cloud"])
    answer["api_calls"] = cloud.calls
    listed = cloud.find(kinds_of(want, request.absent))
    found = Found(listed.project, {kind: [] for kind in LISTED}).with_resources(**listed.resources)
    offer = Found(found.project)
    if request.absent:
        steps = removal(want, found, request.destroy_volumes, datetime.datetime.now(datetime.UTC))
        refused = [entry["detail"] for entry in steps if entry["action"] == "refuse"]
    else:
        steps = plan(want, found)
        offer = cloud.find(asked(steps, want))
        refused = problems(steps, want, found, offer)
    shown = table(steps)
    servers = result(want, found)
    answer.update(
        {
            "plan": steps,
            "table": shown,
            "changed": writes(steps),
            "servers": servers,
            "strangers": [
                entry["name"] for entry in steps if (entry["kind"], entry["action"]) == ("server", "unknown")
            ],
            "missing_hosts": [host["name"] for host in want["hosts"] if host["host"] not in servers],
        }
    )
    if not request.absent:
        answer["warnings"] = list(together(want, found))
    if refused:
        raise CloudError("nothing was changed:\n" + "\n".join(refused))
    if not answer["changed"]:
        return
    answer["diff"] = {"before": "", "after": shown, "before_header": "now", "after_header": "plan"}
    if request.check_mode:
        return
    write()
    if request.absent:
        Removing(cloud, want, found, steps, request.settings).run()
        answer["servers"] = {}
    else:
        now = Provision(cloud, want, found, offer, steps, request.settings).run()
        answer.update({"servers": result(want, now), "missing_hosts": []})
