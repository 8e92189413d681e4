#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module packages."""

from __future__ import annotations

DOCUMENTATION = r"""
module: packages
short_description: Installs Debian packages that are missing
version_added: 0.1.0
description:
  - Asks dpkg which of the packages are installed and lets apt install the others, without what they only recommend.
  - Where nothing is missing, this costs a tenth of what M(ansible.builtin.apt) costs, which reads the lists of all
    packages first; a run that changes nothing asks this on each host several times.
  - Never upgrades and never removes a package.
options:
  names:
    description: The packages.
    type: list
    elements: str
    required: true
  lists_valid_seconds:
    description: Older lists of packages are fetched anew, but only before something is installed.
    type: int
    default: 86400
  lock_timeout_seconds:
    description: How long another apt may hold its lock, for example an unattended upgrade.
    type: int
    default: 300
attributes:
  check_mode:
    support: full
    description: Lets apt plan the installation, so that packages that cannot be installed are found.
  diff_mode:
    support: full
    description: Shows what changes.
author: The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Install the file systems
  imaging.repository.packages:
    names: [e2fsprogs, xfsprogs]
  become: true
"""

RETURN = r"""
installed:
  description: The packages that were missing.
  returned: always
  type: list
  elements: str
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.repository.plugins.module_utils.packages import (
    LISTS,
    apt_problem,
    fresh,
    missing,
    waiting,
)

FORMAT = "${Package} ${db:Status-Status}\\n"


def main() -> None:
    """Install what is missing."""
    module = AnsibleModule(
        argument_spec={
            "names": {"type": "list", "elements": "str", "required": True},
            "lists_valid_seconds": {"type": "int", "default": 86400},
            "lock_timeout_seconds": {"type": "int", "default": 300},
        },
        supports_check_mode=True,
    )
    names = module.params["names"]
    _code, known, _error = module.run_command(
        ["dpkg-query", "--show", "--showformat", FORMAT, "--", *(name.partition("=")[0] for name in names)]
    )
    wanted = missing(names, known)
    if wanted:
        install(module, wanted)
    diff = {"before": "", "after": "".join(f"{name}\n" for name in wanted), "after_header": "packages"}
    module.exit_json(changed=bool(wanted), installed=wanted, diff=diff)


def install(module: AnsibleModule, names: list[str]) -> None:
    """Let apt install them, or only plan that in check mode."""
    environment = {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C.UTF-8", "LANGUAGE": "C"}
    apt = ["apt-get", "--quiet", "--option", f"DPkg::Lock::Timeout={module.params['lock_timeout_seconds']}"]
    # Half the time of --simulate, which also works out the order.
    plan = ["--print-uris"] if module.check_mode else []
    command = [
        *apt,
        "install",
        "--yes",
        "--no-install-recommends",
        # A file of ours that a package brings as well stays ours.
        "--option=Dpkg::Options::=--force-confdef",
        "--option=Dpkg::Options::=--force-confold",
        *plan,
        "--",
        *names,
    ]
    updated = module.check_mode
    if not updated and not fresh(module.params["lists_valid_seconds"]):
        update(module, apt, environment)
        updated = True
    code, out, error = run(module, command, environment)
    if code and not updated:
        # Lists that are younger than a day may name files that the mirror has replaced already.
        update(module, apt, environment)
        code, out, error = run(module, command, environment)
    if code:
        module.fail_json(msg=f"packages {', '.join(names)} cannot be installed: {apt_problem(out, error)}")


def run(module: AnsibleModule, command: list[str], environment: dict[str, str]) -> tuple[int, str, str]:
    """Return status, output and errors of a command of apt, for which another one is waited as long as the user allows."""
    parts = {"out": "", "error": ""}

    def once() -> tuple[int, str]:
        code, parts["out"], parts["error"] = module.run_command(command, environ_update=environment)
        return code, parts["error"]

    code, _error = waiting(once, module.params["lock_timeout_seconds"])
    return code, parts["out"], parts["error"]


def update(module: AnsibleModule, apt: list[str], environment: dict[str, str]) -> None:
    """Fetch the lists of packages."""
    code, out, error = run(module, [*apt, "update", "--error-on=any"], environment)
    if code:
        module.fail_json(msg=f"the lists of packages cannot be fetched: {apt_problem(out, error)}")
    # apt leaves the directory as it is where nothing is new.
    os.utime(LISTS)


if __name__ == "__main__":
    main()
