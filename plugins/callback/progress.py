# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible callback plugin imaging.repository.progress."""

from __future__ import annotations

DOCUMENTATION = r"""
name: progress
type: stdout
short_description: A compact report of a run
version_added: 0.1.0
description:
  - Prints one line per step that took long or changed something, with its seconds and its hosts. Quick changes of one role
    share a line, and so do the steps of a play that changed nothing.
  - Failures, warnings, differences and messages are printed whole. The last line says how the run ended, how long it took
    and where the site is.
  - With C(-v) and more it is Ansible's own output, that of P(ansible.builtin.default#callback).
extends_documentation_fragment:
  - default_callback
  - result_format_callback
options:
  slow_seconds:
    description: A step that took at least so long has a line of its own, also where it changed nothing.
    type: float
    default: 5
    env:
      - name: IMAGING_REPOSITORY_SLOW_SECONDS
  patience_seconds:
    description: A step that runs longer than this is named while it runs.
    type: float
    default: 10
    env:
      - name: IMAGING_REPOSITORY_PATIENCE_SECONDS
author: The imaging.repository authors (@imaging-repository)
"""

import os
import threading
import time
from typing import Any

from ansible import constants as C
from ansible.playbook.task_include import TaskInclude
from ansible.plugins.callback.default import CallbackModule as Default

from ..plugin_utils.report import Step, done, failure, message, play_end, quick_changes, slow_step, together

INCLUDES = frozenset([*C._ACTION_ALL_INCLUDES, *C._ACTION_ALL_PROPER_INCLUDE_IMPORT_ROLES])


class CallbackModule(Default):
    """Ansible's own output with -v, the compact one without."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "imaging.repository.progress"

    def __init__(self) -> None:
        super().__init__()
        self._started = time.monotonic()
        self._play_started = self._started
        self._play_shown = False
        self._steps: dict[str, Step] = {}
        self._quick: list[Step] = []
        self._quiet_steps = 0
        self._quiet_seconds = 0.0
        self._changed = 0
        self._patience: threading.Timer | None = None

    @property
    def _plain(self) -> bool:
        return self._display.verbosity > 0

    # --- Plays ---
    def v2_playbook_on_start(self, playbook: Any) -> None:
        if self._plain:
            super().v2_playbook_on_start(playbook)

    def v2_playbook_on_play_start(self, play: Any) -> None:
        if self._plain:
            super().v2_playbook_on_play_start(play)
            return
        self._end_play()
        self._play = play
        self._play_started = time.monotonic()
        self._play_shown = False

    def v2_playbook_on_no_hosts_matched(self) -> None:
        if self._plain:
            super().v2_playbook_on_no_hosts_matched()

    def v2_playbook_on_no_hosts_remaining(self) -> None:
        if self._plain:
            super().v2_playbook_on_no_hosts_remaining()

    def v2_playbook_on_include(self, included_file: Any) -> None:
        if self._plain:
            super().v2_playbook_on_include(included_file)

    def v2_playbook_on_stats(self, stats: Any) -> None:
        if self._plain:
            super().v2_playbook_on_stats(stats)
            return
        self._end_play()
        counts = {host: stats.summarize(host) for host in sorted(stats.processed)}
        failed = [host for host, count in counts.items() if count["failures"] or count["unreachable"]]
        changed = sum(count["changed"] for count in counts.values())
        text = done(
            time.monotonic() - self._started, list(counts), failed, changed, self._checks(), self._address(counts)
        )
        self._display.display(text, color=C.COLOR_ERROR if failed else C.COLOR_OK)

    def _checks(self) -> bool:
        return bool(self._play is not None and self._play.check_mode)

    def _address(self, counts: dict[str, Any]) -> str:
        """Return the address of the site whose hosts were visited; none after a run on the controller alone."""
        manager = self._play.get_variable_manager() if self._play is not None else None
        for host in counts:
            found = None if manager is None else manager._inventory.get_host(host)
            if found is not None and found.name != "localhost":
                return str(
                    found.get_vars().get("site_url") or manager._inventory.groups["all"].get_vars().get("site_url", "")
                )
        return ""

    def _end_play(self) -> None:
        """Say what the play did that was not said yet."""
        self._end_steps()
        self._end_quick()
        seconds = time.monotonic() - self._play_started
        if self._play is None:
            return
        if self._play_shown:
            self._say(play_end(self._quiet_steps, self._quiet_seconds))
        elif seconds >= 1:
            self._display.display(f"{self._play.get_name().strip()}  {seconds:.0f} s")
        self._quiet_steps, self._quiet_seconds = 0, 0.0

    def _show_play(self) -> None:
        if not self._play_shown and self._play is not None:
            self._play_shown = True
            self._display.display(self._play.get_name().strip(), color=C.COLOR_HIGHLIGHT)

    def _say(self, line: str, color: str | None = None) -> None:
        if line:
            self._show_play()
            self._display.display(line, color=color)

    # --- Steps ---
    def _task_start(self, task: Any, prefix: str | None = None) -> None:
        if self._plain:
            super()._task_start(task, prefix)
            return
        # Where hosts go on by themselves, many steps are at work at once; they are told when the play ends.
        if self._play is None or self._play.strategy.rpartition(".")[2] not in ("free", "host_pinned"):
            self._end_steps()
        if task._uuid in self._steps or task.action in INCLUDES or task.action in C._ACTION_META:
            return
        step = Step(task.get_name().strip(), time.monotonic(), planned=bool(task.check_mode))
        self._steps[task._uuid] = step
        self._be_patient(step)

    def _be_patient(self, step: Step) -> None:
        """Name a step that goes on and on, so that nobody takes the run for dead."""
        self._cancel_patience()
        self._patience = threading.Timer(self.get_option("patience_seconds"), self._name_running, (step,))
        self._patience.daemon = True
        self._patience.start()

    def _name_running(self, step: Step) -> None:
        if step in self._steps.values() and not step.ended:
            self._say(f"   ...  {step.title}")

    def _cancel_patience(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _end_steps(self) -> None:
        self._cancel_patience()
        steps, self._steps = self._steps, {}
        now = time.monotonic()
        for step in together(steps.values()):
            seconds = (step.ended or now) - step.started
            if seconds >= self.get_option("slow_seconds"):
                self._end_quick()
                self._say(slow_step(step, seconds), C.COLOR_CHANGED if step.changed else None)
            elif step.changed:
                if self._quick and self._quick[-1].role != step.role:
                    self._end_quick()
                step.ended = step.started + seconds
                self._quick.append(step)
            elif step.hosts:
                self._quiet_steps += 1
                self._quiet_seconds += seconds

    def _end_quick(self) -> None:
        quick, self._quick = self._quick, []
        if quick:
            self._say(quick_changes(quick), C.COLOR_CHANGED)

    def _note(self, result: Any) -> Step:
        """Return the step of a result, which has ended for one more host."""
        step = self._steps.get(result.task._uuid)
        if step is None:
            step = self._steps[result.task._uuid] = Step(result.task.get_name().strip(), time.monotonic())
        step.ended = time.monotonic()
        host = result.host.get_name()
        step.hosts.append(host)
        if result.is_changed() and not result.is_failed():
            step.changed.append(host)
        return step

    # --- Results ---
    def v2_runner_on_start(self, host: Any, task: Any) -> None:
        if self._plain:
            super().v2_runner_on_start(host, task)

    def v2_runner_on_ok(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_on_ok(result)
            return
        if isinstance(result.task, TaskInclude):
            return
        self._note(result)
        self._warn(result)
        if result.task.action in C._ACTION_DEBUG and not result.task.loop:
            self._tell(result)

    def v2_runner_on_failed(self, result: Any, ignore_errors: bool = False) -> None:
        if self._plain:
            super().v2_runner_on_failed(result, ignore_errors)
            return
        step = self._note(result)
        self._warn(result)
        host = self.host_label(result)
        if ignore_errors:
            self._end_quick()
            self._say(f"   ...  {step.title} ({host}): failed, which does no harm here", C.COLOR_SKIP)
        elif not (result.task.loop and "results" in result.result):
            self._fail(step, host, result)

    def v2_runner_on_skipped(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_on_skipped(result)

    def v2_runner_on_unreachable(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_on_unreachable(result)
            return
        step = self._note(result)
        if result.task.ignore_unreachable:
            self._say(
                f"   ...  {step.title} ({self.host_label(result)}): not reachable, which does no harm here",
                C.COLOR_SKIP,
            )
        else:
            self._fail(step, self.host_label(result), result)

    def v2_runner_item_on_ok(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_item_on_ok(result)
        elif not isinstance(result.task, TaskInclude):
            self._warn(result)
            if result.task.action in C._ACTION_DEBUG and result.task._uuid in self._steps:
                self._tell(result)

    def v2_runner_item_on_failed(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_item_on_failed(result)
            return
        self._warn(result)
        if not result.task.ignore_errors:
            step = self._steps.get(result.task._uuid) or Step(result.task.get_name().strip(), time.monotonic())
            self._fail(step, f"{self.host_label(result)}, {self._get_item_label(result.result)}", result)

    def v2_runner_item_on_skipped(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_item_on_skipped(result)

    def v2_runner_retry(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_retry(result)

    def v2_runner_on_async_poll(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_on_async_poll(result)

    def v2_runner_on_async_ok(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_on_async_ok(result)

    def v2_runner_on_async_failed(self, result: Any) -> None:
        if self._plain:
            super().v2_runner_on_async_failed(result)

    def v2_on_file_diff(self, result: Any) -> None:
        if self._plain:
            super().v2_on_file_diff(result)
            return
        parts = result.result["results"] if result.task.loop and "results" in result.result else [result.result]
        for part in parts:
            difference = self._get_diff(part["diff"]) if part.get("changed") and part.get("diff") else ""
            if difference.strip():
                self._say(f"        {Step(result.task.get_name().strip(), 0).title} ({self.host_label(result)})")
                self._display.display(difference)

    # --- What is said whole ---
    def _warn(self, result: Any) -> None:
        """Print the warnings of a result, each of them once in a run."""
        if result.result.get("warnings") or result.result.get("deprecations"):
            self._show_play()
        self._handle_warnings(result.result)

    def _tell(self, result: Any) -> None:
        said = message(dict(result.result), self._text)
        step = self._steps[result.task._uuid]
        # What each of ten hosts says is said once.
        if said not in step.said:
            step.said.add(said)
            self._end_quick()
            self._say(said)

    def _fail(self, step: Step, host: str, result: Any) -> None:
        self._end_quick()
        self._show_play()
        text = failure(step, host, dict(result.result), os.path.relpath(result.task.get_path() or ""))
        self._display.display(text, color=C.COLOR_ERROR, stderr=self.get_option("display_failed_stderr"))

    def _text(self, value: Any) -> str:
        return self._dump_results({"value": value})
