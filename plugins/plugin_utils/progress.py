# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Live progress in a playbook: base class of the action plugins whose modules run for minutes or days."""

from __future__ import annotations

import contextvars
import copy
import json
import secrets
import shlex
import threading
from typing import Any

from ansible.plugins.action import ActionBase
from ansible.utils.display import Display

from ..module_utils.cache_warm.status import duration

display = Display()


def progress_line(verb: str, progress: dict[str, Any]) -> str:
    """Return e.g. `load: 120 of 345, 22/s, 10 s left, 0 failed` from what a module's Progress wrote."""
    total, rate, left = progress.get("total"), progress.get("rate_per_second"), progress.get("eta_seconds")
    parts = [str(progress["done"]) + ("" if total is None else f" of {total}")]
    if rate:
        parts.append(f"{rate:.0f}/s" if rate >= 10 else f"{rate:.1f}/s")
    if left is not None:
        parts.append(f"{duration(left)} left")
    parts.append(f"{progress.get('failed', 0)} failed")
    if progress.get("text"):
        parts.append(str(progress["text"]))
    return f"{verb}: " + ", ".join(parts)


class ProgressAction(ActionBase):
    """Runs the module of its own name on the host and meanwhile prints what the module writes to `progress_file`.

    A subclass says only `verb`, the word at the beginning of each line. The module takes an option `progress_file`
    (path on the host) and passes it to module_utils.progress.Progress; where a task does not give one, a new name in
    /tmp is made up for it. Or the subclass names in `progress_file` what a service writes, and the module has no such
    option. A result's `summary` is printed in the end. Whatever goes wrong with the progress, the module's result is
    returned as it is.
    """

    verb = ""
    progress_file = ""
    interval_seconds = 2.0
    # A job of days must not leave a log of days: the pauses between two lines grow up to this.
    longest_interval_seconds = 30.0
    interval_growth = 1.05

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        result = super().run(tmp, task_vars)
        arguments = dict(self._task.args)
        path = self.progress_file
        if not path:
            path = arguments.get("progress_file") or f"/tmp/imaging-repository-{self.verb}-{secrets.token_hex(8)}.json"
            arguments["progress_file"] = path
        host = (task_vars or {}).get("inventory_hostname", "")
        finished = threading.Event()
        # The thread inherits the task's context, without which Ansible's internals refuse to work.
        watcher = threading.Thread(
            target=contextvars.copy_context().run,
            args=(self._watch, path, host, finished),
            daemon=True,
        )
        watcher.start()
        try:
            result.update(self._execute_module(module_args=arguments, task_vars=task_vars))
        finally:
            finished.set()
            # A poll that hangs is left behind: the result is more important.
            watcher.join(timeout=5)
        if result.get("summary"):
            self._say(f"{self.verb}: {result['summary']}", host)
        return result

    def _line(self, progress: dict[str, Any]) -> str | None:
        """Return what to print of a progress; None for nothing."""
        return progress_line(self.verb, progress)

    def _say(self, line: str, host: str) -> None:
        display.display(f"{line} ({host})" if host else line)

    def _watch(self, path: str, host: str, finished: threading.Event) -> None:
        interval_seconds = self.interval_seconds
        last_line = None
        try:
            poller = self._poller()
            while not finished.wait(interval_seconds):
                line = self._poll(poller, path)
                if line and line != last_line and not finished.is_set():
                    self._say(line, host)
                    last_line = line
                interval_seconds = min(interval_seconds * self.interval_growth, self.longest_interval_seconds)
        except Exception as error:  # pylint: disable=broad-except
            # No progress line is worth the result of hours.
            display.vv(f"{self.verb}: no progress lines: {error}")

    def _poller(self) -> ActionBase:
        """Return a copy of this action with its own connection: two commands at a time share no prompt and no state."""
        poller = copy.copy(self)
        poller._connection = copy.copy(self._connection)
        if self._connection.become:
            poller._connection.become = copy.copy(self._connection.become)
        return poller

    def _poll(self, poller: ActionBase, path: str) -> str | None:
        try:
            answer = poller._low_level_execute_command(f"cat {shlex.quote(path)}")
            return self._line(json.loads(answer["stdout"])) if answer["rc"] == 0 else None
        except Exception as error:  # pylint: disable=broad-except
            display.vvv(f"{self.verb}: no progress this time: {error}")
            return None
