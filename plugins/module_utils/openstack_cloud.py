# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The one place that talks to an OpenStack cloud.

Cloud lists and writes through the REST adapters of openstacksdk, which find endpoints, log in and renew the token;
paths and bodies are those of https://docs.openstack.org/api-ref/. Work carries out writes that need each other with as
much overlap as that allows. Every error is a CloudError, a sentence for the user.
"""

from __future__ import annotations

import collections
import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any, BinaryIO

try:
    import openstack
    import openstack.connection
    from keystoneauth1 import exceptions as keystone_exceptions

    HAS_OPENSTACK = True
except ImportError:
    HAS_OPENSTACK = False

# Compute 2.67: a boot volume's type (2.67), soft anti-affinity (2.64), the flavor by name in a server (2.47).
# Block storage 3.42: extends volumes that are in use.
MICROVERSIONS = {"compute": "2.67", "block_storage": "3.42"}
PASSING_STATUS = frozenset({429, 500, 502, 503, 504})
# A restarted API, or a minute's limit on calls, is waited for.
PATIENCE_SECONDS = 75
REQUEST_SECONDS = 120
PAGE = 1000
# Kept open: more than run at the same time, or urllib3 would close them one by one.
CONNECTIONS = 32


class CloudError(Exception):
    """A sentence for the user: what is wrong and what to do. ``status`` is that of HTTP, or 0."""

    def __init__(self, sentence: str, status: int = 0):
        super().__init__(sentence)
        self.status = status


class Passing(CloudError):
    """What may be over in a moment. Whether the request had its effect is not known."""

    def __init__(self, sentence: str, status: int = 0, after_seconds: float = 0):
        super().__init__(sentence, status)
        self.after_seconds = after_seconds


@dataclass(frozen=True)
class Kind:
    """How one kind of resource is listed and made; ``same`` names the fields by which one that was made is known."""

    service: str
    path: str
    plural: str
    singular: str
    detail: str = ""
    of_project: bool = False
    parameters: tuple[tuple[str, Any], ...] = ()
    paged: bool = True
    same: tuple[str, ...] = ("name", "description")


KINDS = {
    "server": Kind("compute", "/servers", "servers", "server", "/detail", same=("name", "metadata")),
    "flavor": Kind("compute", "/flavors", "flavors", "flavor", "/detail"),
    "key pair": Kind("compute", "/os-keypairs", "keypairs", "keypair", same=("name",)),
    "server group": Kind("compute", "/os-server-groups", "server_groups", "server_group", paged=False, same=("name",)),
    "availability zone": Kind("compute", "/os-availability-zone", "availabilityZoneInfo", "", paged=False),
    "volume": Kind("block_storage", "/volumes", "volumes", "volume", "/detail", same=("name", "metadata")),
    "snapshot": Kind("block_storage", "/snapshots", "snapshots", "snapshot", "/detail", same=("name", "metadata")),
    "volume type": Kind("block_storage", "/types", "volume_types", "volume_type"),
    "network": Kind("network", "/networks", "networks", "network", of_project=True),
    "external network": Kind("network", "/networks", "networks", "network", parameters=(("router:external", True),)),
    "subnet": Kind("network", "/subnets", "subnets", "subnet", of_project=True),
    "router": Kind("network", "/routers", "routers", "router", of_project=True),
    "security group": Kind("network", "/security-groups", "security_groups", "security_group", of_project=True),
    "security group rule": Kind(
        "network",
        "/security-group-rules",
        "security_group_rules",
        "security_group_rule",
        of_project=True,
        same=(
            "security_group_id",
            "direction",
            "protocol",
            "port_range_min",
            "port_range_max",
            "remote_group_id",
            "remote_ip_prefix",
        ),
    ),
    "port": Kind("network", "/ports", "ports", "port", of_project=True),
    "address": Kind(
        "network", "/floatingips", "floatingips", "floatingip", of_project=True, same=("description", "port_id")
    ),
    "image": Kind("image", "/images", "images", "image", parameters=(("status", "active"),)),
}


def agrees(resource: dict, body: dict, fields: Iterable[str]) -> bool:
    """Whether a listed resource is the one that a create call with that body made."""
    for field in fields:
        if field not in body:
            continue
        actual, meant = resource.get(field), body[field]
        # Cinder adds metadata of its own.
        if isinstance(meant, dict) and not meant.items() <= (actual or {}).items():
            return False
        if not isinstance(meant, dict) and actual != meant:
            return False
    return True


class Cloud:
    """A project of a cloud of clouds.yaml, logged in. ``calls`` counts the requests by method.

    Raises CloudError from every method.
    """

    def __init__(self, name: str, patience_seconds: float = PATIENCE_SECONDS):
        self.name, self._patience_seconds = name, patience_seconds
        self.calls: collections.Counter = collections.Counter()
        self._counting = threading.Lock()
        with self._sentences("identity"):
            self._connection = openstack.connect(cloud=name)
            session = self._connection.session.session
            session.hooks["response"].append(self._count)
            for adapter in session.adapters.values():
                adapter.init_poolmanager(CONNECTIONS, CONNECTIONS)
        self.project = self._patiently(self._login)

    def _count(self, response, *_args, **_options) -> None:
        login = response.request.url.endswith("/auth/tokens")
        with self._counting:
            self.calls["logins" if login else response.request.method] += 1

    def _login(self) -> str:
        with self._sentences("identity"):
            # Not authorize(), which hides what went wrong from _sentences().
            self._connection.session.get_token()
            return self._connection.session.get_project_id()

    # --- One request --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _sentences(self, service: str):
        """Turns what the libraries raise into sentences."""
        try:
            yield
        except openstack.exceptions.ServiceDisabledException:
            raise CloudError(
                f"cloud {self.name}: it offers no service {service.replace('_', ' ')}, or clouds.yaml "
                "disables it; use another cloud"
            ) from None
        except (openstack.exceptions.ConfigException, keystone_exceptions.MissingRequiredOptions) as error:
            raise CloudError(
                f"site.openstack.cloud: clouds.yaml does not say how to reach '{self.name}': "
                f"{_one_line(error)}; {self._known_clouds()}"
            ) from None
        except (keystone_exceptions.RetriableConnectionFailure, keystone_exceptions.UnknownConnectionError) as error:
            raise Passing(
                f"cloud {self.name}: {service.replace('_', ' ')} does not answer ({_one_line(error)}); check "
                "the network and the address in clouds.yaml, then run this again: it goes on where it "
                "stopped"
            ) from None
        except keystone_exceptions.HttpError as error:
            raise self._refusal(service, error.http_status, error.message or "", "") from None
        except (keystone_exceptions.ClientException, openstack.exceptions.SDKException) as error:
            raise CloudError(f"cloud {self.name}: {service.replace('_', ' ')}: {_one_line(error)}") from None

    def _known_clouds(self) -> str:
        try:
            names = sorted(set(openstack.config.OpenStackConfig().get_cloud_names()) - {"defaults"})
        except openstack.exceptions.SDKException:
            names = []
        return f"it has: {', '.join(names)}" if names else "write it as docs/openstack.md says"

    def _refusal(self, service: str, status: int, message: str, place: str, retry_after: str = "") -> CloudError:
        """The error for an answer of 400 or more."""
        where, words = f"cloud {self.name}: {service.replace('_', ' ')}", _one_line(message)
        if status == 401:
            return CloudError(
                f"{where}: the login was refused: {words}; check the user, the password or the "
                "application credential in clouds.yaml, they may have expired",
                status,
            )
        if "quota" in words.lower() or status == 413:
            return CloudError(
                f"{where}: {words}; ask the cloud for a higher quota, or make the site smaller, then run "
                "this again: it goes on where it stopped",
                status,
            )
        if status == 403:
            return CloudError(
                f"{where}: not allowed: {words}; the account needs the role member in the project ({place})", status
            )
        if status == 404:
            return CloudError(
                f"{where}: not found: {words}; it was removed meanwhile, or clouds.yaml names another "
                f"address ({place})",
                status,
            )
        if status == 409:
            return CloudError(
                f"{where}: conflict: {words}; run this again when what it names has come to rest ({place})", status
            )
        if status in PASSING_STATUS:
            after = float(retry_after) if retry_after.isdigit() else 0
            return Passing(
                f"{where}: answers {status}: {words}; run this again later: it goes on where it stopped ({place})",
                status,
                after,
            )
        return CloudError(f"{where}: answers {status}: {words} ({place})", status)

    def _request(self, method: str, service: str, path: str, **options) -> dict:
        """One request, once."""
        with self._sentences(service):
            adapter = getattr(self._connection, service)
            response = adapter.request(
                path,
                method,
                microversion=MICROVERSIONS.get(service),
                raise_exc=False,
                **{"timeout": REQUEST_SECONDS, **options},
            )
        if response.status_code >= 400:
            raise self._refusal(
                service,
                response.status_code,
                _message(response),
                f"{method} {path}",
                response.headers.get("Retry-After", ""),
            )
        return response.json() if response.content else {}

    def _patiently(self, request: Callable[[], Any], done: Callable[[], Any] = lambda: None) -> Any:
        """Repeats a request while it fails in passing, slower each time. Where done() finds its effect, that is it."""
        started, delay = time.monotonic(), 0.5
        while True:
            try:
                return request()
            except Passing as error:
                pause = max(delay * random.uniform(0.8, 1.2), error.after_seconds)
                if time.monotonic() + pause - started > self._patience_seconds:
                    raise
            time.sleep(pause)
            delay = min(8, delay * 2)
            with contextlib.suppress(Passing):
                effect = done()
                if effect is not None:
                    return effect

    @property
    def login_url(self) -> str:
        """Where the project logs in."""
        return self._connection.config.get_auth_args().get("auth_url", "")

    # --- What modules use ---------------------------------------------------------------------------------------

    def get(self, service: str, path: str, **parameters) -> dict:
        """A document."""
        return self._patiently(lambda: self._request("GET", service, path, params=parameters))

    def list(self, kind: str, **parameters) -> list[dict]:
        """All resources of a kind that the project has or sees, page by page."""
        entry, resources = KINDS[kind], []
        parameters = {**dict(entry.parameters), **parameters}
        if entry.of_project:
            parameters["project_id"] = self.project
        if entry.paged and entry.service != "network":
            parameters["limit"] = PAGE
        while True:
            page = self.get(entry.service, entry.path + entry.detail, **parameters)
            items = page[entry.plural]
            if kind == "key pair":
                items = [item["keypair"] for item in items]
            elif kind == "availability zone":
                items = [{"name": item["zoneName"]} for item in items if item["zoneState"]["available"]]
            resources += items
            # Links may name an address that only the cloud's inside knows: they only say that there is more.
            more = page.get("next") or any(link["rel"] == "next" for link in page.get(f"{entry.plural}_links", []))
            if not more or not items:
                return resources
            parameters["marker"] = items[-1].get("id") or items[-1]["name"]

    def limits(self, kind: str) -> dict:
        """The quotas of the project and their use, as the service words them; {} where it does not tell them."""
        try:
            if kind == "network quota":
                return self.get("network", f"/quotas/{self.project}/details")["quota"]
            if kind == "volume quota":
                return self.get("block_storage", f"/os-quota-sets/{self.project}", usage="true")["quota_set"]
            return self.get("compute", "/limits")["limits"]["absolute"]
        except CloudError as error:
            if error.status not in (403, 404):
                raise
            return {}

    def find(self, kinds: Iterable[str]) -> dict[str, Any]:
        """``{kind: resources}`` of several kinds and quotas, asked for at the same time, and the ``project``."""
        kinds = list(kinds)
        with ThreadPoolExecutor(max(1, len(kinds))) as pool:
            asked = {kind: pool.submit(self.list if kind in KINDS else self.limits, kind) for kind in kinds}
        return {"project": self.project, **{kind: future.result() for kind, future in asked.items()}}

    def create(self, kind: str, body: dict, **beside) -> dict:
        """Makes one; where the answer was lost, looks for it before it tries again. ``beside`` goes beside the body."""
        entry = KINDS[kind]
        answer = self.post(
            entry.service,
            entry.path,
            {entry.singular: body, **beside},
            lambda: next((resource for resource in self.list(kind) if agrees(resource, body, entry.same)), None),
        )
        return answer.get(entry.singular, answer)

    def create_many(self, kind: str, bodies: list[dict]) -> list[dict]:
        """Makes several with one call, as neutron can; all or none are made."""
        entry = KINDS[kind]

        def done() -> dict | None:
            listed = self.list(kind)
            found = [
                next((resource for resource in listed if agrees(resource, body, entry.same)), None) for body in bodies
            ]
            return {entry.plural: found} if None not in found else None

        return self.post(entry.service, entry.path, {entry.plural: bodies}, done)[entry.plural]

    def post(self, service: str, path: str, body: dict, done: Callable[[], Any]) -> Any:
        """Posts. done() returns what the request made, or None; it is asked before a lost request is repeated."""
        return self._patiently(lambda: self._request("POST", service, path, json=body), done)

    def put(self, service: str, path: str, body: dict, **options) -> dict:
        """Puts, which may be repeated."""
        return self._patiently(lambda: self._request("PUT", service, path, json=body, **options))

    def upload(self, service: str, path: str, content: BinaryIO, timeout_seconds: float) -> None:
        """Puts the content of a file, once: who calls it knows what a cut upload leaves."""
        self._request(
            "PUT",
            service,
            path,
            data=content,
            headers={"Content-Type": "application/octet-stream"},
            timeout=timeout_seconds,
        )

    def update(self, kind: str, identifier: str, body: dict, revision: int | None = None) -> dict:
        """Changes fields of one; neutron answers 412 where it has another revision number than the one given."""
        entry = KINDS[kind]
        options = {} if revision is None else {"headers": {"If-Match": f"revision_number={revision}"}}
        return self.put(entry.service, f"{entry.path}/{identifier}", {entry.singular: body}, **options)[entry.singular]

    def delete(self, kind: str, identifier: str) -> None:
        """Removes one; it may be gone already."""
        entry = KINDS[kind]
        try:
            self._patiently(lambda: self._request("DELETE", entry.service, f"{entry.path}/{identifier}"))
        except CloudError as error:
            if error.status != 404:
                raise


def _message(response) -> str:
    """The words of an error answer: each service wraps them in its own way."""
    try:
        content = response.json()
    except ValueError:
        return response.reason or ""
    while isinstance(content, dict):
        inner = content.get("message") or next((value for value in content.values() if isinstance(value, dict)), None)
        if inner is None:
            break
        content = inner
    return str(content)


def _one_line(words: Any) -> str:
    return " ".join(str(words).split()).rstrip(".")


# --- Writes that need each other ----------------------------------------------------------------------------------


@dataclass(frozen=True)
class Until:
    """When a step is over: the resource of that id, or None once it is gone, is ``ready``."""

    kind: str
    ready: Callable[[dict | None], bool]
    seconds: float


@dataclass(frozen=True)
class _Step:
    do: Callable[[], dict]
    needs: frozenset
    until: Until | None


@dataclass(frozen=True)
class _Waiting:
    identifier: str
    until: Until
    since: float


class Work:
    """Steps that need each other, each with a key ``(kind, name)`` and the resource that it makes as its result.

    What can run does, in a pool. What the cloud takes its time for is watched by one listing per kind for all together.
    A step that fails keeps those that need it from starting; the others go on, because a second run finds what is made.
    """

    def __init__(self, cloud: Cloud, parallel: int, watch: Callable[[dict], None] = lambda _waiting: None):
        self.results: dict[tuple[str, str], Any] = {}
        self._cloud, self._parallel, self._watch = cloud, parallel, watch
        self._steps: dict[tuple[str, str], _Step] = {}
        self._running: dict[Future, tuple[tuple[str, str], _Step]] = {}
        self._polling: dict[Future, tuple[str, float]] = {}
        self._waiting: dict[tuple[str, str], _Waiting] = {}
        self._next_poll: dict[str, float] = {}
        self._errors: list[str] = []

    def have(self, key: tuple[str, str], resource: Any) -> None:
        """Notes what is there already."""
        self.results[key] = resource

    def add(
        self,
        key: tuple[str, str],
        do: Callable[[], dict],
        needs: Iterable[tuple[str, str]] = (),
        until: Until | None = None,
    ) -> None:
        """Adds a step; earlier ones go first where several can run. With ``until``, do() returns what is waited for."""
        self._steps[key] = _Step(do, frozenset(needs), until)

    def run(self) -> None:
        """Returns when all is done. Raises CloudError with all that failed."""
        with ThreadPoolExecutor(self._parallel + len(KINDS)) as pool:
            while True:
                self._start(pool)
                self._poll(pool)
                busy = [*self._running, *self._polling]
                if not busy and not self._waiting:
                    # Steps that are left need one that failed.
                    break
                if busy:
                    wait(busy, timeout=self._pause(), return_when=FIRST_COMPLETED)
                else:
                    time.sleep(self._pause() or 0)
                self._finish_steps()
                self._finish_polls()
        if self._errors:
            raise CloudError("\n".join(self._errors))

    def _start(self, pool: ThreadPoolExecutor) -> None:
        for key, entry in list(self._steps.items()):
            if len(self._running) == self._parallel:
                return
            if all(need in self.results for need in entry.needs):
                self._running[pool.submit(entry.do)] = (key, self._steps.pop(key))

    def _idle_kinds(self) -> set[str]:
        """Kinds that are waited for and not being listed right now."""
        return {entry.until.kind for entry in self._waiting.values()} - {kind for kind, _at in self._polling.values()}

    def _poll(self, pool: ThreadPoolExecutor) -> None:
        now = time.monotonic()
        for kind in self._idle_kinds():
            if now >= self._next_poll.get(kind, 0):
                self._polling[pool.submit(self._cloud.list, kind)] = (kind, now)

    def _pause(self) -> float | None:
        """Seconds until something must be listed, or None."""
        times = [self._next_poll.get(kind, 0) for kind in self._idle_kinds()]
        return max(0.0, min(times) - time.monotonic()) if times else None

    def _finish_steps(self) -> None:
        for future in [future for future in self._running if future.done()]:
            key, entry = self._running.pop(future)
            try:
                result = future.result()
            except CloudError as error:
                self._errors.append(f"{' '.join(key)}: {error}")
                continue
            if entry.until:
                now = time.monotonic()
                self._waiting[key] = _Waiting(result["id"], entry.until, now)
                self._next_poll[entry.until.kind] = min(self._next_poll.get(entry.until.kind, now + 1), now + 1)
            else:
                self.results[key] = result

    def _finish_polls(self) -> None:
        for future in [future for future in self._polling if future.done()]:
            kind, started = self._polling.pop(future)
            # A listing that began before a step was over does not show its effect.
            waiting = {
                key: entry
                for key, entry in self._waiting.items()
                if entry.until.kind == kind and entry.since <= started
            }
            try:
                listed = {resource["id"]: resource for resource in future.result()}
            except CloudError as error:
                self._errors += [f"{' '.join(key)}: {error}" for key in waiting]
                for key in waiting:
                    del self._waiting[key]
                continue
            now = time.monotonic()
            self._watch({key: (listed.get(entry.identifier), now - entry.since) for key, entry in waiting.items()})
            for key, entry in waiting.items():
                self._look_at(key, entry, listed.get(entry.identifier), now)
            # As often as the cloud answers with ease; seldom for what takes hours.
            youngest = min((now - entry.since for entry in waiting.values()), default=0)
            self._next_poll[kind] = now + min(15, max(0.5, 4 * (now - started), youngest / 20))

    def _look_at(self, key: tuple[str, str], entry: _Waiting, resource: dict | None, now: float) -> None:
        try:
            if entry.until.ready(resource):
                self.results[key] = resource
            elif now - entry.since < entry.until.seconds:
                return
            else:
                status = (resource or {}).get("status", "not listed")
                raise CloudError(
                    f"still {status} after {entry.until.seconds:.0f} s; look at it with openstack "
                    f"{entry.until.kind} show {entry.identifier}, then run this again: it goes on waiting"
                )
        except CloudError as error:
            self._errors.append(f"{' '.join(key)}: {error}")
        del self._waiting[key]
