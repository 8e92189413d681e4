# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A small client of Orthanc's REST interface for programs on the image server's own host: retries, one error type."""

from __future__ import annotations

import base64
import http.client
import json
import os
import threading
import time
import urllib.parse
from collections.abc import Callable
from typing import Any

from imaging_repository_load import ServerError

# While PostgreSQL restarts, Orthanc says 503; a proxy or a starting server may say the others.
RETRIED = frozenset({502, 503, 504})
LONGEST_PAUSE_SECONDS = 10.0


class Client:
    """Requests to one Orthanc, from any number of threads: each has its own connection.

    A connection that breaks and a server that is busy are tried again for `retry_seconds` with growing pauses, then
    ServerError is raised. `sleep` and `clock` are for tests.
    """

    def __init__(
        self,
        url: str,
        user: str,
        password: str,
        *,
        retry_seconds: float = 120.0,
        timeout_seconds: float = 300.0,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ):
        parts = urllib.parse.urlsplit(url)
        self.url = url
        self._address = (parts.hostname or "localhost", parts.port or 80)
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        self._headers = {"Authorization": f"Basic {login}"}
        self._user = user
        self._retry_seconds = retry_seconds
        self._timeout_seconds = timeout_seconds
        self._sleep = sleep
        self._clock = clock
        self._local = threading.local()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        *,
        file: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, bytes]:
        """Return status and body of the answer; `file` is the path of what is sent instead of `body`.

        401, 403 and 507 raise ServerError, as a server that is away does; a file that cannot be read raises OSError.
        """
        deadline = self._clock() + self._retry_seconds
        pause_seconds = 0.2
        while True:
            try:
                if file is None:
                    status, answer = self._once(method, path, body, headers or {})
                else:
                    with open(file, "rb") as stream:
                        length = str(os.fstat(stream.fileno()).st_size)
                        status, answer = self._once(method, path, stream, {**(headers or {}), "Content-Length": length})
                problem = f"answers {status}"
                if status not in RETRIED:
                    break
            except (OSError, http.client.HTTPException) as error:
                if getattr(error, "filename", None) is not None:
                    raise
                self._close()
                problem = f"does not answer ({error or type(error).__name__})"
            if self._clock() + pause_seconds > deadline:
                raise ServerError(
                    f"{self.url}: {problem} for {self._retry_seconds:.0f} s; look at 'systemctl status orthanc', "
                    "then run the same again"
                )
            self._sleep(pause_seconds)
            pause_seconds = min(pause_seconds * 2, LONGEST_PAUSE_SECONDS)
        if status in (401, 403):
            raise ServerError(f"{self.url}: refuses user {self._user} ({status}); run playbooks/configure.yml first")
        if status == 507:
            raise ServerError(f"{self.url}: its storage is full; enlarge the volume, then run the same again")
        return status, answer

    def get(self, path: str) -> Any:
        """Return the JSON at `path`, or None where there is nothing (404)."""
        status, answer = self.request("GET", path)
        if status == 404:
            return None
        if status != 200:
            raise ServerError(f"{self.url}{path}: answers {status} {words_of(answer)}; see /var/log/orthanc")
        return json.loads(answer)

    def _once(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[int, bytes]:
        connection = getattr(self._local, "connection", None)
        if connection is None:
            connection = http.client.HTTPConnection(*self._address, timeout=self._timeout_seconds, blocksize=1 << 18)
            self._local.connection = connection
        elif self._clock() - self._local.used_at > 0.5:
            # Orthanc closes an idle connection after a second.
            connection.close()
        connection.request(method, path, body, {**self._headers, **headers})
        response = connection.getresponse()
        answer = response.read()
        self._local.used_at = self._clock()
        return response.status, answer

    def _close(self) -> None:
        connection = getattr(self._local, "connection", None)
        if connection is not None:
            connection.close()
            self._local.connection = None


def words_of(answer: bytes) -> str:
    """Return what an error answer of Orthanc says, in one line."""
    try:
        content = json.loads(answer)
        return content.get("Details") or content.get("Message") or ""
    except (ValueError, AttributeError):
        return answer.decode("utf-8", "replace").strip()[:200]
