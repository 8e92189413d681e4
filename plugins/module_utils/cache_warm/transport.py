# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How pages are fetched: many requests in flight by libcurl, in this process or in several.

A request is what a visitor's request comes to: the path as it is, no cookies, no login; nginx passes on nothing else
that a visitor sends (roles/cache/templates/nginx.conf.j2), so that nothing else can reach the key.
"""

from __future__ import annotations

import contextlib
import email.utils
import time
from typing import Any, Protocol

from .answer import Answer

try:
    import pycurl
except ImportError:
    # Commands that make no request work without.
    pycurl = None

# The access log and the tail of it (pace.Visitors) tell our requests from the visitors' by this.
USER_AGENT = "imaging.repository-warm"
CONNECTION_REFUSED = "connection refused"
# The first bytes of a body that Answer.start holds: enough to tell an image from an error page.
START_BYTES = 16
# libcurl waits by select(2), which knows no descriptor above 1023.
MAX_IN_FLIGHT = 900


class TransportError(Exception):
    """Nothing can be fetched on this host at all; the text says why."""


def retry_after_seconds(value: str, now: float) -> float | None:
    """Return how long Retry-After asks to wait: seconds or an HTTP-date (RFC 9110, 10.2.3); None where it is neither.

    `now` in seconds since 1970.
    """
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        return max(0.0, email.utils.parsedate_to_datetime(value).timestamp() - now)
    except (ValueError, TypeError, OverflowError):
        return None


def require_libcurl() -> None:
    """Raise TransportError where nothing can be fetched."""
    if pycurl is None:
        raise TransportError("Python's pycurl is missing; install the package python3-pycurl")


class AnyTransport(Protocol):
    """What the engine needs of Transport and of Workers."""

    @property
    def in_flight(self) -> int: ...

    def submit(self, token: Any, url: bytes, want_body: bool = False, headers: tuple[str, ...] = ()) -> None: ...

    def wait(self, seconds: float) -> list[tuple[Any, Answer]]: ...

    def close(self) -> None: ...


class _Handle:
    """One of libcurl's handles with what it is doing: attributes of a pycurl object itself are slow to reach."""

    __slots__ = ("began", "body", "curl", "lines", "size_bytes", "start", "token", "with_headers")

    def __init__(self) -> None:
        self.body: list[bytes] | None = None
        self.start = b""
        self.size_bytes = 0
        self.token: Any = None
        self.began = 0.0
        self.lines: list[bytes] = []
        self.with_headers = False
        self.curl = curl = pycurl.Curl()
        curl.setopt(pycurl.NOSIGNAL, 1)
        curl.setopt(pycurl.USERAGENT, USER_AGENT)
        curl.setopt(pycurl.PROXY, "")
        # "/a/../b" is nginx's to normalise, as for a visitor.
        curl.setopt(pycurl.PATH_AS_IS, 1)
        # A method of a built-in type: ten lines per answer cost nothing until one of them is looked for.
        curl.setopt(pycurl.HEADERFUNCTION, self.lines.append)
        curl.setopt(pycurl.WRITEFUNCTION, self._part)

    def _part(self, part: bytes) -> None:
        if not self.size_bytes:
            self.start = part[:START_BYTES]
        self.size_bytes += len(part)
        if self.body is not None:
            self.body.append(part)

    def begin(self, token: Any, url: bytes, want_body: bool, headers: tuple[str, ...]) -> None:
        curl = self.curl
        curl.setopt(pycurl.URL, url)
        if headers:
            curl.setopt(pycurl.HTTPHEADER, list(headers))
        elif self.with_headers:
            # An empty list would leave those of the request before.
            curl.unsetopt(pycurl.HTTPHEADER)
        self.with_headers = bool(headers)
        self.token = token
        self.size_bytes = 0
        self.start = b""
        self.body = [] if want_body else None
        self.lines.clear()
        self.began = time.monotonic()

    def answer(self) -> Answer:
        curl = self.curl
        status = curl.getinfo(pycurl.RESPONSE_CODE)
        # What every answer is looked through for is among the last lines; Retry-After is looked for where it may be.
        return Answer(
            status,
            self._field(b"x-cache-status:"),
            self.size_bytes,
            "",
            (curl.getinfo_raw(pycurl.CONTENT_TYPE) or b"").decode("latin-1"),
            "" if status == 200 else self._field(b"retry-after:"),
            curl.getinfo(pycurl.TOTAL_TIME),
            self.start,
            b"".join(self.body) if self.body else b"",
        )

    def _field(self, name: bytes) -> str:
        length = len(name)
        for line in reversed(self.lines):
            if line[:length].lower() == name:
                return line[length:].strip().decode("latin-1")
        return ""


class Transport:
    """Requests in flight in one thread of this process."""

    def __init__(
        self, *, concurrency: int, timeout_seconds: float = 60.0, connect_timeout_seconds: float = 5.0
    ) -> None:
        require_libcurl()
        self._timeout_seconds = timeout_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._look_at = time.monotonic()
        self._multi = pycurl.CurlMulti()
        # The default, four times the handles at work, grows and shrinks with them and closes good connections.
        self._multi.setopt(pycurl.M_MAXCONNECTS, concurrency + 1)
        # What is in flight, the oldest first.
        self._busy: dict[Any, _Handle] = {}
        self._idle: list[_Handle] = []

    @property
    def in_flight(self) -> int:
        return len(self._busy)

    def submit(self, token: Any, url: bytes, want_body: bool = False, headers: tuple[str, ...] = ()) -> None:
        """Begin to fetch `url`; wait() will return (token, Answer) once. `headers`: lines, `Name: value`."""
        handle = self._idle.pop() if self._idle else _Handle()
        handle.begin(token, url, want_body, headers)
        self._busy[handle.curl] = handle
        self._multi.add_handle(handle.curl)

    def wait(self, seconds: float) -> list[tuple[Any, Answer]]:
        """Return what is answered, waiting for the first answer at most `seconds`."""
        now = time.monotonic()
        until = now + seconds
        multi = self._multi
        while True:
            multi.perform()
            answers = self._answers()
            if now >= self._look_at:
                answers += self._late(now)
            if answers:
                return answers
            now = time.monotonic()
            left = min(until, self._look_at) - now if self._busy else until - now
            if now >= until:
                return answers
            left = max(0.0, left)
            # libcurl's own next time-out, in milliseconds, or -1 for none.
            due = multi.timeout()
            if not self._busy:
                time.sleep(left)
            # -1: libcurl has no socket to wait for at the moment.
            elif multi.select(min(left, due / 1000) if due >= 0 else left) == -1:
                time.sleep(min(left, 0.02))

    def close(self) -> None:
        """Drop all connections, answered or not."""
        with contextlib.suppress(pycurl.error):
            self._multi.close()

    def _answers(self) -> list[tuple[Any, Answer]]:
        answers = []
        while True:
            queued, succeeded, failed = self._multi.info_read()
            for curl in succeeded:
                handle = self._take_back(curl)
                answers.append((handle.token, handle.answer()))
            for curl, number, text in failed:
                answers.append((self._take_back(curl).token, Answer(0, error=_curl_error(number, text))))
            if not queued:
                return answers

    def _late(self, now: float) -> list[tuple[Any, Answer]]:
        """Give up requests that are not answered, or not even connected, in time.

        libcurl's own time-outs cost a tenth of a small request.
        """
        self._look_at = now + min(0.25, self._timeout_seconds / 4)
        late = []
        for curl, handle in self._busy.items():
            age = now - handle.began
            # What began later is not late either.
            if age < min(self._timeout_seconds, self._connect_timeout_seconds):
                break
            if age >= self._timeout_seconds or not curl.getinfo(pycurl.PRETRANSFER_TIME):
                late.append(curl)
        return [(self._take_back(curl).token, Answer(0, error="time-out")) for curl in late]

    def _take_back(self, curl: Any) -> _Handle:
        handle = self._busy.pop(curl)
        self._multi.remove_handle(curl)
        self._idle.append(handle)
        return handle


def _curl_error(number: int, text: str) -> str:
    """Return libcurl's error in words that do not differ from one URL to the next."""
    known = {
        pycurl.E_COULDNT_CONNECT: CONNECTION_REFUSED,
        pycurl.E_OPERATION_TIMEDOUT: "time-out",
        pycurl.E_RECV_ERROR: "connection reset",
        pycurl.E_SEND_ERROR: "connection reset",
        pycurl.E_GOT_NOTHING: "connection closed without an answer",
        pycurl.E_PARTIAL_FILE: "answer cut off",
        pycurl.E_COULDNT_RESOLVE_HOST: "host name not resolved",
        pycurl.E_URL_MALFORMAT: "no URL that can be asked for",
    }
    return known.get(number) or f"libcurl error {number}: {text}"
