# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The one place that talks to an OpenStack cloud.

Cloud lists and writes through the REST adapters of openstacksdk, which find endpoints, log in and renew the token;
paths and bodies are those of https://docs.openstack.org/api-ref/. Every error is a CloudError, a sentence for the user.
"""

from __future__ import annotations

import builtins
import collections
import contextlib
import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, BinaryIO

from .kinds import KINDS, agrees
from .refusals import sentence
from .shapes import Found, Resource

try:
    from keystoneauth1 import exceptions as keystone_exceptions

    import openstack
    import openstack.connection

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


class Cloud:
    """A project of a cloud of clouds.yaml, logged in. ``calls`` counts the requests by method.

    Raises CloudError from every method.
    """

    def __init__(self, name: str, patience_seconds: float = PATIENCE_SECONDS):
        self.name, self._patience_seconds = name, patience_seconds
        self.calls: collections.Counter[str] = collections.Counter()
        self._counting = threading.Lock()
        with self._sentences("identity"):
            self._connection = openstack.connect(cloud=name)
            session = self._connection.session.session
            session.hooks["response"].append(self._count)
            adapters: Mapping[str, Any] = session.adapters
            for adapter in adapters.values():
                adapter.init_poolmanager(CONNECTIONS, CONNECTIONS)
        self.project = self._patiently(self._login)

    def _count(self, response: Any, *_args: Any, **_options: Any) -> None:
        login = response.request.url.endswith("/auth/tokens")
        with self._counting:
            self.calls["logins" if login else response.request.method] += 1

    def _login(self) -> str:
        with self._sentences("identity"):
            # Not authorize(), which hides what went wrong from _sentences().
            self._connection.session.get_token()
            return str(self._connection.session.get_project_id())

    # --- One request --------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def _sentences(self, service: str) -> Iterator[None]:
        """Turn what the libraries raise into sentences."""
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
            raise self._refusal(service, error.http_status, error.message or "", "login") from None
        except (keystone_exceptions.ClientException, openstack.exceptions.SDKException) as error:
            raise CloudError(f"cloud {self.name}: {service.replace('_', ' ')}: {_one_line(error)}") from None

    def _known_clouds(self) -> str:
        try:
            names = sorted(set(openstack.config.OpenStackConfig().get_cloud_names()) - {"defaults"})
        except openstack.exceptions.SDKException:
            names = []
        return f"it has: {', '.join(names)}" if names else "write it as docs/openstack.md says"

    def _refusal(self, service: str, status: int, message: str, place: str, retry_after: str = "") -> CloudError:
        """Return the error for an answer of 400 or more."""
        where, words = f"cloud {self.name}: {service.replace('_', ' ')}", _one_line(message)
        if status in PASSING_STATUS:
            after = float(retry_after) if retry_after.isdigit() else 0
            return Passing(
                f"{where}: answers {status}: {words}; run this again later: it goes on where it stopped ({place})",
                status,
                after,
            )
        return CloudError(f"{where}: {sentence(status, words, place)}", status)

    def _request(self, method: str, service: str, path: str, **options: Any) -> Any:
        """Make one request, once."""
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
                f"{method} {path}{_request_id(response)}",
                response.headers.get("Retry-After", ""),
            )
        return response.json() if response.content else {}

    def _patiently(self, request: Callable[[], Any], done: Callable[[], Any] = lambda: None) -> Any:
        """Repeat a request while it fails in passing, slower each time. Where done() finds its effect, that is it."""
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
        """Return where the project logs in."""
        return str(self._connection.config.get_auth_args().get("auth_url", ""))

    # --- What modules use ---------------------------------------------------------------------------------------

    def get(self, service: str, path: str, **parameters: Any) -> Any:
        """Return a document."""
        return self._patiently(lambda: self._request("GET", service, path, params=parameters))

    def list(self, kind: str, **parameters: Any) -> list[Resource]:
        """Return all resources of a kind that the project has or sees, page by page."""
        entry, resources = KINDS[kind], list[Resource]()
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
            elif kind in ("availability zone", "volume zone"):
                items = [{"name": item["zoneName"]} for item in items if item["zoneState"]["available"]]
            resources += items
            # Links may name an address that only the cloud's inside knows: they only say that there is more.
            more = page.get("next") or any(link["rel"] == "next" for link in page.get(f"{entry.plural}_links", []))
            if not more or not items:
                return resources
            parameters["marker"] = items[-1].get("id") or items[-1]["name"]

    def limits(self, kind: str) -> Any:
        """Return the quotas of the project and their use, as the service words them; {} where it does not tell them."""
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

    def find(self, kinds: Iterable[str]) -> Found:
        """Return the resources of several kinds, and quotas, all asked for at the same time."""
        kinds = list(kinds)
        with ThreadPoolExecutor(max(1, len(kinds))) as pool:
            listed = {kind: pool.submit(self.list, kind) for kind in kinds if kind in KINDS}
            limits = {kind: pool.submit(self.limits, kind) for kind in kinds if kind not in KINDS}
        return Found(
            self.project,
            {kind: future.result() for kind, future in listed.items()},
            {kind: future.result() for kind, future in limits.items()},
        )

    def create(self, kind: str, body: Resource, **beside: Any) -> Resource:
        """Make one; where the answer was lost, look for it before trying again. ``beside`` goes beside the body."""
        entry = KINDS[kind]
        answer = self.post(
            entry.service,
            entry.path,
            {entry.singular: body, **beside},
            lambda: next((resource for resource in self.list(kind) if agrees(resource, body, entry.same)), None),
        )
        made: Resource = answer.get(entry.singular, answer)
        return made

    def create_many(self, kind: str, bodies: builtins.list[Resource]) -> builtins.list[Resource]:
        """Make several with one call, as neutron can; all or none are made."""
        entry = KINDS[kind]

        def done() -> Resource | None:
            listed = self.list(kind)
            found = [
                next((resource for resource in listed if agrees(resource, body, entry.same)), None) for body in bodies
            ]
            return {entry.plural: found} if None not in found else None

        made: builtins.list[Resource] = self.post(entry.service, entry.path, {entry.plural: bodies}, done)[entry.plural]
        return made

    def post(self, service: str, path: str, body: Resource, done: Callable[[], Any]) -> Any:
        """Post. done() returns what the request made, or None; it is asked before a lost request is repeated."""
        return self._patiently(lambda: self._request("POST", service, path, json=body), done)

    def put(self, service: str, path: str, body: Resource, **options: Any) -> Any:
        """Put, which may be repeated."""
        return self._patiently(lambda: self._request("PUT", service, path, json=body, **options))

    def upload(self, service: str, path: str, content: BinaryIO, timeout_seconds: float) -> None:
        """Put the content of a file, once: who calls it knows what a cut upload leaves."""
        self._request(
            "PUT",
            service,
            path,
            data=content,
            headers={"Content-Type": "application/octet-stream"},
            timeout=timeout_seconds,
        )

    def update(self, kind: str, identifier: str, body: Resource, revision: int | None = None) -> Resource:
        """Change fields of one; neutron answers 412 where it has another revision number than the one given."""
        entry = KINDS[kind]
        options = {} if revision is None else {"headers": {"If-Match": f"revision_number={revision}"}}
        answer = self.put(entry.service, f"{entry.path}/{identifier}", {entry.singular: body}, **options)
        changed: Resource = answer[entry.singular]
        return changed

    def delete(self, kind: str, identifier: str) -> None:
        """Remove one; it may be gone already."""
        entry = KINDS[kind]
        try:
            self._patiently(lambda: self._request("DELETE", entry.service, f"{entry.path}/{identifier}"))
        except CloudError as error:
            if error.status != 404:
                raise


def _request_id(response: Any) -> str:
    """Return by what the cloud's operators find the request in their logs."""
    identifier = response.headers.get("x-openstack-request-id") or response.headers.get("x-compute-request-id")
    return f", request {identifier}" if identifier else ""


def _message(response: Any) -> str:
    """Return the words of an error answer: each service wraps them in its own way."""
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
