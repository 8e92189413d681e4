# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The systemd service cache-warm, as whoever starts and follows it sees it. What the service does is in cache_warm/."""

from __future__ import annotations

import dataclasses
import json
import os
import time
from collections.abc import Callable
from typing import Any

from . import files

UNIT = "cache-warm.service"
PROGRAM = "/usr/local/bin/cache-warm"
STATE_DIRECTORY = "/var/lib/cache-warm"
JOURNAL_LINES = 10
# Properties of systemd.service(5) and systemd.exec(5), org.freedesktop.systemd1(5) says what they hold.
PROPERTIES = ("ActiveState", "ExecMainCode", "ExecMainPID", "ExecMainStatus", "InvocationID", "NRestarts", "Result")
# si_code of a process that ended by itself (waitid(2)).
CLD_EXITED = 1
# What a run ends with after it has written its report, see the command's --help.
REPORTED = (0, 1, 4, 5)


class ServiceError(Exception):
    """The warm did not run to its end; the text says what happened and what to do."""


@dataclasses.dataclass(frozen=True)
class State:
    """What systemd says about the unit."""

    active: str
    result: str = "success"
    invocation: str = ""
    pid: int = 0
    exited: bool = False
    status: int = 0
    restarts: int = 0

    @property
    def running(self) -> bool:
        """Whether a warm runs, stops, or was killed and is about to be started again (activating)."""
        return self.active in ("active", "activating", "deactivating", "reloading")


def parse_state(text: str) -> State:
    """Return what `systemctl show --property=...` printed; what is not in it is as before the first start."""
    values = dict(line.split("=", 1) for line in text.splitlines() if "=" in line)

    def number(name: str) -> int:
        return int(values.get(name) or 0)

    return State(
        values.get("ActiveState", "inactive"),
        values.get("Result", "success"),
        values.get("InvocationID", ""),
        number("ExecMainPID"),
        number("ExecMainCode") == CLD_EXITED,
        number("ExecMainStatus"),
        number("NRestarts"),
    )


def read_order(directory: str = STATE_DIRECTORY) -> bool | None:
    """Return whether the unfinished warm is a refresh; None if there is no unfinished one."""
    try:
        with open(os.path.join(directory, "unfinished"), encoding="utf-8") as stream:
            return bool(json.load(stream)["refresh"])
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError):
        return False


def write_order(refresh: bool, directory: str = STATE_DIRECTORY) -> None:
    """Say how the next start of the service is to warm. One that was cut goes on as it was, unless this is a refresh.

    The directory may belong to the service's user: nothing in it is followed or opened for writing. systemd gives the
    directory and what is in it to that user when the service starts.
    """
    if not refresh and read_order(directory) is not None:
        return
    os.makedirs(directory, mode=0o755, exist_ok=True)
    files.write(os.path.join(directory, "unfinished"), json.dumps({"refresh": refresh}))


class Service:
    """Starts and follows the service. `run(words)` runs a command and returns (exit status, output, errors)."""

    def __init__(
        self,
        run: Callable[[list[str]], tuple[int, str, str]],
        *,
        directory: str = STATE_DIRECTORY,
        sleep: Callable[[float], None] = time.sleep,
    ):
        self._run = run
        self._directory = directory
        self._sleep = sleep

    def state(self) -> State:
        """Ask systemd."""
        status, output, errors = self._run(["systemctl", "show", f"--property={','.join(PROPERTIES)}", UNIT])
        if status:
            raise ServiceError(f"systemd does not tell the state of {UNIT}: {one_line(errors or output)}")
        return parse_state(output)

    def count(self) -> int:
        """Return how many pages there are; nothing is warmed."""
        return int(self._json("count")["total"])

    def begin(self, refresh: bool) -> bool:
        """Start a warm, if none runs; return whether one was started."""
        if self.state().running:
            if refresh and not read_order(self._directory):
                raise ServiceError(
                    "a warm is running that is no refresh; wait for its end or end it by "
                    "`systemctl stop cache-warm`, then refresh"
                )
            return False
        write_order(refresh, self._directory)
        # A unit that was started too often must not refuse somebody who asks for it.
        self._run(["systemctl", "reset-failed", UNIT])
        status, output, errors = self._run(["systemctl", "start", UNIT])
        if status:
            raise ServiceError(f"cache-warm does not start: {one_line(errors or output)}{self._journal(self.state())}")
        return True

    def follow(self) -> State:
        """Wait until the warm has ended by itself or for good, over kills and starts by systemd; return how."""
        seconds = 0.2
        while (state := self.state()).running:
            self._sleep(seconds)
            seconds = min(seconds * 1.2, 2.0)
        return state

    def report(self, state: State) -> dict[str, Any]:
        """Return the report of the run that ended in `state`; raise ServiceError if it did not come to a report."""
        if not state.exited or state.status not in REPORTED:
            raise ServiceError(_ending(state) + self._journal(state))
        try:
            # The last report is of this process, or it died before it wrote one.
            last = self._json("status")
            if (last.get("pid"), last.get("exit_status")) == (state.pid, state.status):
                return self._json("report")
        except ServiceError:
            # Its last words say more than that there is none.
            pass
        raise ServiceError("cache-warm ended without a report" + self._journal(state))

    def _json(self, command: str) -> dict[str, Any]:
        words = [PROGRAM, command] + ([] if command == "count" else ["--json"])
        status, output, errors = self._run(words)
        try:
            content = json.loads(output) if status == 0 else None
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise ServiceError(f"`{' '.join(words)}` fails: {one_line(errors or output) or f'exit status {status}'}")
        return content

    def _journal(self, state: State) -> str:
        """Return what the run said last, as the end of a sentence."""
        words = ["journalctl", "--no-pager", "--quiet", "--output=cat", f"--lines={JOURNAL_LINES}"]
        words += [f"_SYSTEMD_INVOCATION_ID={state.invocation}"] if state.invocation else [f"--unit={UNIT}"]
        output = self._run(words)[1].strip()
        return f"; its last words: {one_line(output)}" if output else "; see: journalctl -u cache-warm"


def _ending(state: State) -> str:
    if state.result == "start-limit-hit" or (not state.exited and state.restarts):
        return (
            f"cache-warm was killed again and again, {state.restarts + 1} times ({state.result}): is the memory of "
            "the cache host too small? What is cached stays"
        )
    if not state.exited:
        return f"cache-warm did not run to its end ({state.result})"
    return f"cache-warm ended with status {state.status}"


def one_line(text: str) -> str:
    """Return a text of several lines as one."""
    return "; ".join(line.strip().rstrip(";") for line in text.splitlines() if line.strip())
