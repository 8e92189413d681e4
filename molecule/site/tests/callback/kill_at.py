# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Kills the playbook when it comes to the task that KILL_AT names: loaded by test_killed.py only."""

from __future__ import annotations

import os
import signal

from ansible.plugins.callback import CallbackBase

DOCUMENTATION = """
name: kill_at
type: aggregate
short_description: Kill the playbook at a task
description: For tests.
"""


class CallbackModule(CallbackBase):
    """Ends the process as a power failure would."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = "kill_at"

    def v2_playbook_on_task_start(self, task, is_conditional) -> None:
        if os.environ.get("KILL_AT") and os.environ["KILL_AT"] in task.get_name():
            os.kill(os.getpid(), signal.SIGKILL)
