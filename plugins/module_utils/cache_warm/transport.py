# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""How pages are fetched: many requests in flight by libcurl, in this process or in several.

A request is what a visitor's request comes to: the path as it is, no cookies, no login; nginx passes on nothing else
that a visitor sends (roles/cache/templates/nginx.conf.j2), so that nothing else can reach the key.
"""

from __future__ import annotations

import contextlib
import email.utils
import itertools
import marshal
import os
import selectors
import signal
import socket
import struct
import time
from typing import NamedTuple

try:
    import pycurl
except ImportError:
    # Commands that make no request work without.
    pycurl = None

# The access log and the tail of it (pace.Visitors) tell our requests from the visitors' by this.
USER_AGENT = "imaging.repository-warm"
# The first bytes of a body that Answer.start holds: enough to tell an image from an error page.
START_BYTES = 16
# libcurl waits by select(2), which knows no descriptor above 1023.
MAX_IN_FLIGHT = 900


class TransportError(Exception):
    """Nothing can be fetched on this host at all; the text says why."""


class Answer(NamedTuple):
    """What a request came to: an HTTP status, or 0 and an error in words that do not differ from one URL to the next.

    `cache`: the header X-Cache-Status. `retry_after`: that header as it is. `seconds`: from the beginning to the last
    byte. `start`: the first START_BYTES of the body. `body`: all of it where it was wanted, else empty.
    """

    status: int
    cache: str = ""
    size_bytes: int = 0
    error: str = ""
    content_type: str = ""
    retry_after: str = ""
    seconds: float = 0.0
    start: bytes = b""
    body: bytes = b""


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


class _Handle:
    """One of libcurl's handles with what it is doing: attributes of a pycurl object itself are slow to reach."""

    __slots__ = ("began", "body", "curl", "lines", "size_bytes", "start", "token", "with_headers")

    def __init__(self):
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

    def begin(self, token, url: bytes, want_body: bool, headers: tuple[str, ...]) -> None:
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

    def __init__(self, *, concurrency: int, timeout_seconds: float = 60.0, connect_timeout_seconds: float = 5.0):
        if pycurl is None:
            raise TransportError("Python's pycurl is missing; install the package python3-pycurl")
        self._timeout_seconds = timeout_seconds
        self._connect_timeout_seconds = connect_timeout_seconds
        self._look_at = time.monotonic()
        self._multi = pycurl.CurlMulti()
        # The default, four times the handles at work, grows and shrinks with them and closes good connections.
        self._multi.setopt(pycurl.M_MAXCONNECTS, concurrency + 1)
        # What is in flight, the oldest first.
        self._busy: dict[pycurl.Curl, _Handle] = {}
        self._idle: list[_Handle] = []

    @property
    def in_flight(self) -> int:
        return len(self._busy)

    def submit(self, token, url: bytes, want_body: bool = False, headers: tuple[str, ...] = ()) -> None:
        """Begin to fetch `url`; wait() will return (token, Answer) once. `headers`: lines, `Name: value`."""
        handle = self._idle.pop() if self._idle else _Handle()
        handle.begin(token, url, want_body, headers)
        self._busy[handle.curl] = handle
        self._multi.add_handle(handle.curl)

    def wait(self, seconds: float) -> list[tuple[object, Answer]]:
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

    def _answers(self) -> list[tuple[object, Answer]]:
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

    def _late(self, now: float) -> list[tuple[object, Answer]]:
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

    def _take_back(self, curl) -> _Handle:
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


CONNECTION_REFUSED = "connection refused"
WORKER_ENDED = "the process that asked for it ended"
_LENGTH = struct.Struct("!I")


class Workers:
    """The same as Transport, spread over `processes` processes; each has its share of the requests.

    One that ends (out of memory, a crash in a library) is replaced, and what it had in flight is answered by an error
    that is worth another attempt. When this process ends, however it ends, so do they: their socket is closed.
    """

    def __init__(self, processes: int, *, concurrency: int, timeout_seconds: float = 60.0):
        if pycurl is None:
            raise TransportError("Python's pycurl is missing; install the package python3-pycurl")
        self._options = {"concurrency": concurrency, "timeout_seconds": timeout_seconds}
        self._selector = selectors.DefaultSelector()
        self._numbers = itertools.count()
        self._workers = [_Worker(self._options, self._selector) for _ in range(processes)]
        self._turn = itertools.cycle(range(processes))

    @property
    def in_flight(self) -> int:
        return sum(len(worker.tokens) for worker in self._workers)

    def submit(self, token, url: bytes, want_body: bool = False, headers: tuple[str, ...] = ()) -> None:
        """See Transport.submit."""
        worker = min(self._workers, key=lambda candidate: len(candidate.tokens))
        number = next(self._numbers)
        worker.tokens[number] = token
        worker.outbox.append((number, url, want_body, headers))

    def wait(self, seconds: float) -> list[tuple[object, Answer]]:
        """See Transport.wait."""
        answers = []
        for index, worker in enumerate(self._workers):
            if not worker.send():
                answers += self._replace(index)
        if not answers:
            for key, _ in self._selector.select(seconds):
                index = self._workers.index(key.data)
                received = key.data.receive()
                answers += self._replace(index) if received is None else received
        return answers

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close(self._selector)
        self._selector.close()

    def _replace(self, index: int) -> list[tuple[object, Answer]]:
        worker = self._workers[index]
        worker.close(self._selector)
        self._workers[index] = _Worker(self._options, self._selector)
        return [(token, Answer(0, error=WORKER_ENDED)) for token in worker.tokens.values()]


class _Worker:
    """One process: frames of marshal(3) data over a pair of sockets, both ways."""

    def __init__(self, options: dict, selector: selectors.BaseSelector):
        self.tokens: dict[int, object] = {}
        self.outbox: list[tuple] = []
        self._received = bytearray()
        self._socket, other = socket.socketpair()
        # The worker's descriptors: its own end and nothing else, or the lock would outlive this process.
        self._process = os.fork()
        if not self._process:
            try:
                descriptor = os.dup2(other.fileno(), 3, inheritable=False)
                os.closerange(4, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") > 0 else 65536)
                _work(socket.socket(fileno=descriptor), options)
            finally:
                os._exit(0)
        other.close()
        selector.register(self._socket, selectors.EVENT_READ, self)

    def send(self) -> bool:
        """Hand over what was submitted; False where the process has ended."""
        if not self.outbox:
            return True
        data = marshal.dumps(self.outbox)
        self.outbox = []
        try:
            self._socket.sendall(_LENGTH.pack(len(data)) + data)
        except OSError:
            return False
        return True

    def receive(self) -> list[tuple[object, Answer]] | None:
        """Return the answers that have arrived; None where the process has ended."""
        try:
            part = self._socket.recv(1 << 20)
        except OSError:
            part = b""
        if not part:
            return None
        self._received += part
        answers = []
        while (frame := _frame(self._received)) is not None:
            answers += [(self.tokens.pop(number), Answer(*fields)) for number, fields in frame]
        return answers

    def close(self, selector: selectors.BaseSelector) -> None:
        """Close the socket, upon which the process ends."""
        with contextlib.suppress(KeyError, ValueError):
            selector.unregister(self._socket)
        self._socket.close()
        with contextlib.suppress(OSError):
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)


def _frame(received: bytearray):
    """Take one frame off the front of what was received; None where it is not complete yet."""
    if len(received) < _LENGTH.size:
        return None
    end = _LENGTH.size + _LENGTH.unpack_from(received)[0]
    if len(received) < end:
        return None
    frame = marshal.loads(bytes(received[_LENGTH.size : end]))
    del received[:end]
    return frame


def _work(connection: socket.socket, options: dict) -> None:
    """What a worker process does until the other end closes."""
    # Whoever ends the warm talks to the process that knows what is in flight.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    transport = Transport(**options)
    received = bytearray()
    connection.setblocking(True)
    while True:
        busy = transport.in_flight > 0
        with contextlib.suppress(BlockingIOError):
            part = connection.recv(1 << 20, socket.MSG_DONTWAIT if busy else 0)
            if not part:
                return
            received += part
            while (frame := _frame(received)) is not None:
                for number, url, want_body, headers in frame:
                    transport.submit(number, url, want_body, headers)
        # Short, because new work may arrive on the socket, which libcurl does not wait for.
        answers = transport.wait(0.002)
        if answers:
            data = marshal.dumps([(number, tuple(answer)) for number, answer in answers])
            connection.sendall(_LENGTH.pack(len(data)) + data)
