# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Requests that several processes make, where one processor cannot ask as fast as the image servers answer."""

from __future__ import annotations

import contextlib
import itertools
import marshal
import os
import select
import selectors
import signal
import socket
import struct
from dataclasses import dataclass
from typing import Any

from .answer import Answer
from .transport import Transport, require_libcurl

WORKER_ENDED = "the process that asked for it ended"
_LENGTH = struct.Struct("!I")
# What is taken from a socket at a time.
_READ_BYTES = 1 << 20
# How long a worker waits for libcurl at a time: new work may arrive on the socket, which libcurl does not wait for.
_TURN_SECONDS = 0.002


@dataclass(frozen=True)
class Options:
    """What each process is told."""

    concurrency: int
    timeout_seconds: float


class Workers:
    """The same as Transport, spread over `processes` processes; each has its share of the requests.

    One that ends (out of memory, a crash in a library) is replaced, and what it had in flight is answered by an error
    that is worth another attempt. When this process ends, however it ends, so do they: their socket is closed.
    """

    def __init__(self, processes: int, *, concurrency: int, timeout_seconds: float = 60.0) -> None:
        require_libcurl()
        self._options = Options(concurrency, timeout_seconds)
        self._selector = selectors.DefaultSelector()
        self._numbers = itertools.count()
        self._workers = [_Worker(self._options, self._selector) for _ in range(processes)]

    @property
    def in_flight(self) -> int:
        return sum(len(worker.tokens) for worker in self._workers)

    def submit(self, token: Any, url: bytes, want_body: bool = False, headers: tuple[str, ...] = ()) -> None:
        """See Transport.submit."""
        worker = min(self._workers, key=lambda candidate: len(candidate.tokens))
        number = next(self._numbers)
        worker.tokens[number] = token
        worker.outbox.append((number, url, want_body, headers))

    def wait(self, seconds: float) -> list[tuple[Any, Answer]]:
        """See Transport.wait."""
        answers: list[tuple[Any, Answer]] = []
        for index, worker in enumerate(self._workers):
            if not worker.send():
                answers += self._replace(index)
        if not answers:
            for key, ready in self._selector.select(seconds):
                worker = key.data
                received: list[tuple[Any, Answer]] | None = []
                if ready & selectors.EVENT_READ:
                    received = worker.receive()
                if received is None or (ready & selectors.EVENT_WRITE and not worker.send()):
                    answers += (received or []) + self._replace(self._workers.index(worker))
                else:
                    answers += received
        return answers

    def close(self) -> None:
        """End the processes."""
        for worker in self._workers:
            worker.close()
        self._selector.close()

    def _replace(self, index: int) -> list[tuple[Any, Answer]]:
        worker = self._workers[index]
        worker.close()
        self._workers[index] = _Worker(self._options, self._selector)
        return [(token, Answer(0, error=WORKER_ENDED)) for token in worker.tokens.values()]


class _Pipe:
    """One end of a pair of sockets that carries frames of marshal(3) data both ways and never waits.

    Neither end may wait until the other has taken what it sends: the other may wait for the same.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.connection = connection
        connection.setblocking(False)
        self._received = bytearray()
        self._to_send = bytearray()

    @property
    def has_to_send(self) -> bool:
        return bool(self._to_send)

    def put(self, data: Any) -> None:
        """Take data to be sent."""
        frame = marshal.dumps(data)
        self._to_send += _LENGTH.pack(len(frame))
        self._to_send += frame

    def send(self) -> bool:
        """Send what the other end has room for; False where it has closed."""
        try:
            while self._to_send:
                sent = self.connection.send(memoryview(self._to_send)[:_READ_BYTES])
                del self._to_send[:sent]
        except BlockingIOError:
            pass
        except OSError:
            return False
        return True

    def receive(self) -> list[Any] | None:
        """Return the whole frames that have arrived; None where the other end has closed."""
        try:
            part = self.connection.recv(_READ_BYTES)
        except BlockingIOError:
            return []
        except OSError:
            return None
        if not part:
            return None
        self._received += part
        frames = []
        while len(self._received) >= _LENGTH.size:
            end = _LENGTH.size + _LENGTH.unpack_from(self._received)[0]
            if len(self._received) < end:
                break
            frames.append(marshal.loads(bytes(self._received[_LENGTH.size : end])))
            del self._received[:end]
        return frames


class _Worker:
    """One process, as its parent sees it."""

    def __init__(self, options: Options, selector: selectors.BaseSelector) -> None:
        self.tokens: dict[int, Any] = {}
        self.outbox: list[tuple[int, bytes, bool, tuple[str, ...]]] = []
        self._selector = selector
        self._events = selectors.EVENT_READ
        mine, other = socket.socketpair()
        self._pipe = _Pipe(mine)
        # The worker's descriptors: its own end and nothing else, or the lock would outlive this process.
        self._process = os.fork()
        if not self._process:
            try:
                descriptor = os.dup2(other.fileno(), 3, inheritable=False)
                os.closerange(4, os.sysconf("SC_OPEN_MAX") if os.sysconf("SC_OPEN_MAX") > 0 else 65536)
                _work(_Pipe(socket.socket(fileno=descriptor)), options)
            finally:
                os._exit(0)
        other.close()
        selector.register(mine, self._events, self)

    def send(self) -> bool:
        """Hand over what was submitted, as far as the process takes it; False where it has ended."""
        if self.outbox:
            self._pipe.put(self.outbox)
            self.outbox = []
        alive = self._pipe.send()
        # Wake up when it takes more.
        events = selectors.EVENT_READ | (selectors.EVENT_WRITE if self._pipe.has_to_send else 0)
        if alive and events != self._events:
            self._events = events
            self._selector.modify(self._pipe.connection, events, self)
        return alive

    def receive(self) -> list[tuple[Any, Answer]] | None:
        """Return the answers that have arrived; None where the process has ended."""
        frames = self._pipe.receive()
        if frames is None:
            return None
        return [(self.tokens.pop(number), Answer(*fields)) for frame in frames for number, fields in frame]

    def close(self) -> None:
        """Close the socket, upon which the process ends."""
        with contextlib.suppress(KeyError, ValueError):
            self._selector.unregister(self._pipe.connection)
        self._pipe.connection.close()
        with contextlib.suppress(OSError):
            os.kill(self._process, signal.SIGKILL)
            os.waitpid(self._process, 0)


def _work(pipe: _Pipe, options: Options) -> None:
    """What a worker process does until the other end closes."""
    # Whoever ends the warm talks to the process that knows what is in flight.
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    transport = Transport(concurrency=options.concurrency, timeout_seconds=options.timeout_seconds)
    while True:
        if not transport.in_flight:
            # Nothing else can happen.
            select.select([pipe.connection], [pipe.connection] if pipe.has_to_send else [], [])
        frames = pipe.receive()
        if frames is None or not pipe.send():
            return
        for frame in frames:
            for number, url, want_body, headers in frame:
                transport.submit(number, url, want_body, headers)
        if transport.in_flight:
            answers = transport.wait(_TURN_SECONDS)
            if answers:
                pipe.put([(number, tuple(answer)) for number, answer in answers])
                if not pipe.send():
                    return
