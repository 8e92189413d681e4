#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: service
short_description: Run a unit of systemd that has read its files as they are now
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Starts a unit, and restarts or reloads one that runs but is older than a file that it reads. There is no notification
    that could be lost. A playbook that was killed after it had written a file restarts the service in its next run.
  - What a unit has read is kept in C(/run/imaging-repository/services). A unit that a boot, an operator or systemd itself
    has started after the file's last change is not restarted again.
  - The files of the unit itself count among those of O(restart_for), and systemd reads them anew where it has to. So do
    programs and libraries that the main process runs and of which the disk has newer ones.
  - After a restart the module waits until the units that went down with it (C(PartOf=)) are up again.
options:
  name:
    description: The unit with its suffix.
    type: str
    required: true
  restart_for:
    description: Files that the unit reads when it starts, patterns are allowed.
    type: list
    elements: str
    default: []
  reload_for:
    description: Files that the unit reads also when it is reloaded, patterns are allowed.
    type: list
    elements: str
    default: []
  restart_if_prints:
    description: A command that prints something when the unit that runs waits for a restart of its own accord. It must
      not change anything, because check mode runs it too.
    type: list
    elements: str
    default: []
  state:
    description: V(started) or V(stopped); left out, the unit is neither started nor stopped nor restarted.
    type: str
    choices: [started, stopped]
  enabled:
    description: Whether the unit starts with the host.
    type: bool
  companions:
    description: Other units whose files systemd reads anew where it has to, such as the service of a timer.
    type: list
    elements: str
    default: []
  one_by_one:
    description: Restart the unit on one host after the other, and on no further host once it did not come up on one.
    type: bool
    default: false
  restart:
    description: Set by the action plugin to V(false) where it first asks whether a restart is needed.
    type: bool
    default: true
attributes:
  check_mode:
    description: Says what would be done. A unit that is not there yet would be started.
    support: full
  diff_mode:
    description: Names the files that are newer than what runs, never their content.
    support: full
requirements: [systemd]
"""

EXAMPLES = r"""
- name: Run the image server
  imaging.repository.service:
    name: pictures.service
    restart_for: [/etc/pictures.json]
    state: started
    enabled: true
    one_by_one: true

- name: Serve the public
  imaging.repository.service:
    name: nginx.service
    reload_for: [/etc/nginx/nginx.conf, /etc/nginx/snippets/*.conf]
    state: started
    enabled: true
"""

RETURN = r"""
steps:
  description: What was done, in check mode what would be; any of C(daemon-reload), C(enable), C(disable), C(start),
    C(stop), C(restart), C(reload).
  type: list
  elements: str
  returned: always
  sample: [daemon-reload, restart]
reasons:
  description: The files that are newer than what ran.
  type: list
  elements: str
  returned: always
"""

import fnmatch
import glob
import hashlib
import json
import os
import time

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import files, service

STAMPS = "/run/imaging-repository/services"
PROPERTIES = (
    "LoadState,ActiveState,UnitFileState,InvocationID,NeedDaemonReload,InactiveExitTimestamp,FragmentPath,"
    "DropInPaths,ConsistsOf,MainPID"
)
# A unit that reads its files again at once may take so long to know what they say.
SETTLE_SECONDS = 1.0
PARTS_SECONDS = 180


def show(module: AnsibleModule, name: str) -> service.Unit:
    """Return a unit as systemd knows it now."""
    command = ["systemctl", "show", "--timestamp=us+utc", f"--property={PROPERTIES}", name]
    return service.parse_unit(module.run_command(command, check_rc=True)[1])


def find_files(patterns: list[str]) -> dict[str, service.File]:
    """Return the files behind paths and patterns, links followed."""
    found = {}
    for pattern in patterns:
        for path in sorted(glob.glob(pattern)):
            if os.path.isfile(path):
                with open(path, "rb") as file:
                    digest = hashlib.file_digest(file, "sha256").hexdigest()
                found[path] = service.File(digest, os.stat(path).st_ctime)
    return found


def read_stamp(name: str) -> service.Stamp:
    """Return what the last run of the module has noted, empty where it has noted nothing."""
    try:
        with open(f"{STAMPS}/{name}.json", encoding="utf-8") as file:
            content = json.load(file)
        return service.Stamp(content["invocation"], content["digests"])
    except (OSError, ValueError, KeyError, TypeError):
        return service.Stamp()


def write_stamp(name: str, stamp: service.Stamp) -> None:
    """Note what a run of a unit has read. Lost with the host's power, as the run itself."""
    os.makedirs(STAMPS, mode=0o700, exist_ok=True)
    content = json.dumps({"invocation": stamp.invocation, "digests": stamp.digests})
    files.write(f"{STAMPS}/{name}.json", content, mode=0o600)


def waits_for_restart(module: AnsibleModule, unit: service.Unit) -> list[str]:
    """Return why the unit that runs waits for a restart although its files have not changed."""
    reasons = []
    if unit.process:
        try:
            with open(f"/proc/{unit.process}/maps", encoding="utf-8", errors="replace") as maps:
                reasons = service.replaced_libraries(maps.read())
        except OSError:
            reasons = []
    command = module.params["restart_if_prints"]
    if command and unit.state == "active":
        output = module.run_command(command)[1]
        reasons += [line.strip() for line in output.splitlines() if line.strip()]
    return reasons


def last_words(module: AnsibleModule, unit: str) -> str:
    """Return the last messages of a unit in one line."""
    command = ["journalctl", "--quiet", "--output=cat", "--lines=5", f"--unit={unit}"]
    return " | ".join(module.run_command(command)[1].strip().splitlines())


def systemctl(module: AnsibleModule, step: str, name: str) -> None:
    """Do one step; ends the module with the unit's own words where it fails."""
    command = ["systemctl", "daemon-reload"] if step == "daemon-reload" else ["systemctl", step, "--quiet", name]
    code, output, error = module.run_command(command)
    if code:
        words = last_words(module, name) or (error or output).strip()
        module.fail_json(msg=f"service: {step} of {name} failed. Its last messages: {words}", steps=[step], reasons=[])


def active(module: AnsibleModule, units: tuple[str, ...]) -> list[str]:
    """Return those of the units that are active."""
    return [unit for unit in units if module.run_command(["systemctl", "is-active", "--quiet", unit])[0] == 0]


def wait_for(module: AnsibleModule, name: str, parts: list[str]) -> None:
    """Wait until units that went down with another one are up again."""
    deadline = time.monotonic() + PARTS_SECONDS
    while missing := sorted(set(parts) - set(active(module, tuple(parts)))):
        if time.monotonic() > deadline:
            words = last_words(module, missing[0])
            module.fail_json(msg=f"service: {missing[0]} did not come up after {name}. Its last messages: {words}")
        time.sleep(0.5)


def apply(module: AnsibleModule, plan: service.Plan, unit: service.Unit) -> service.Plan:
    """Do the steps of a plan and return what was really done."""
    name = module.params["name"]
    parts = active(module, unit.consists_of) if "restart" in plan.steps else []
    for step in plan.steps:
        systemctl(module, step, name)
    wait_for(module, name, parts)
    if "reload" in plan.steps and module.params["restart_if_prints"]:
        time.sleep(SETTLE_SECONDS)
        if reasons := waits_for_restart(module, unit):
            systemctl(module, "restart", name)
            return service.Plan((*plan.steps, "restart"), (*plan.reasons, *reasons))
    return plan


def decide(module: AnsibleModule, unit: service.Unit, stamp: service.Stamp) -> tuple[service.Plan, dict[str, str]]:
    """Return the plan for a unit, and the SHA-256 of all that it reads."""
    at_start = find_files([*module.params["restart_for"], *unit.files])
    at_reload = find_files(module.params["reload_for"])
    gone = service.gone(unit, stamp, {path for path in stamp.digests if not os.path.exists(path)})
    rereads = {path for path in gone if any(fnmatch.fnmatch(path, one) for one in module.params["reload_for"])}
    plan = service.plan(
        unit,
        service.Wish(module.params["state"], module.params["enabled"]),
        restart_for=[
            *service.newer(unit, stamp, at_start),
            *(path for path in gone if path not in rereads),
            *(waits_for_restart(module, unit) if module.params["state"] == "started" else ()),
        ],
        reload_for=[*service.newer(unit, stamp, at_reload), *sorted(rereads)],
    )
    others = (show(module, name) for name in module.params["companions"])
    if "daemon-reload" not in plan.steps and any(other.needs_daemon_reload for other in others):
        plan = service.Plan(("daemon-reload", *plan.steps), plan.reasons)
    return plan, {path: file.digest for path, file in (at_start | at_reload).items()}


def manage(module: AnsibleModule) -> dict[str, object]:
    """Compare, act, and note what the unit has read."""
    name = module.params["name"]
    unit, stamp = show(module, name), read_stamp(name)
    if not unit.known and not module.check_mode:
        systemctl(module, "daemon-reload", name)
        unit = show(module, name)
    if not unit.known and not module.check_mode:
        module.fail_json(msg=f"service: systemd knows no unit {name}; was its package installed, was its file written?")
    done = []
    if unit.needs_daemon_reload and not module.check_mode:
        # systemd names a drop-in that is new only from then on, and the unit that runs is older than it.
        systemctl(module, "daemon-reload", name)
        done = ["daemon-reload"]
        unit = show(module, name)
    plan, digests = decide(module, unit, stamp)
    put_off = "restart" in plan.steps and not module.params["restart"]
    if not module.check_mode and not put_off:
        plan = apply(module, plan, unit)
        invocation = show(module, name).invocation
        if (invocation, digests) != (stamp.invocation, stamp.digests) and module.params["state"] == "started":
            write_stamp(name, service.Stamp(invocation, digests))
    return {
        "changed": bool(done or plan.steps),
        "steps": [*done, *plan.steps],
        "reasons": list(plan.reasons),
        "put_off": put_off,
        "diff": {
            "before": "".join(f"{name} is older than {reason}\n" for reason in plan.reasons),
            "after": "".join(f"{name}: {step}\n" for step in (*done, *plan.steps)),
        },
    }


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "restart_for": {"type": "list", "elements": "str", "default": []},
            "reload_for": {"type": "list", "elements": "str", "default": []},
            "restart_if_prints": {"type": "list", "elements": "str", "default": []},
            "state": {"type": "str", "choices": ["started", "stopped"]},
            "enabled": {"type": "bool"},
            "companions": {"type": "list", "elements": "str", "default": []},
            "one_by_one": {"type": "bool", "default": False},
            "restart": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    module.run_command_environ_update = {"LANGUAGE": "C", "LC_ALL": "C"}
    module.exit_json(**manage(module))


if __name__ == "__main__":
    main()
