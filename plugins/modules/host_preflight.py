#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module host_preflight."""

from __future__ import annotations

DOCUMENTATION = r"""
module: host_preflight
short_description: Asks a host whether a site can be made on it, before anything is written
version_added: 0.2.0
description:
  - Looks at the release of the system, systemd, memory, free space and clock, at the numbers of users and groups, at the
    ports in use, at files of others that would be replaced, and at the packages that apt can install. Returns everything
    that is wrong at once and never fails because of it.
  - Changes nothing but the lists of apt, and these only where packages are missing and the lists are older than a day.
options:
  name:
    description: How the sentences call the host.
    type: str
    required: true
  release:
    description: Number of the Debian release that the host must run; not looked at by default.
    type: str
  release_remedy:
    description: What to do with a host of another release; by default it says to install the right one.
    type: str
    default: ""
  least_memory_mib:
    description: How much memory the host must have; not looked at by default.
    type: int
    default: 0
  least_space_mib:
    description: How much must be free where packages are installed; not looked at by default.
    type: int
    default: 0
  controller_time:
    description: Time of the controller, UTC in the form of ISO 8601; the host's must be the same but for a minute.
    type: str
  site:
    description: Name of the site; a host of another one is refused. Without it nobody looks for files of others.
    type: str
    default: ""
  replaces:
    description: Files and directories of the system that the site replaces. Others may have none there.
    type: list
    elements: dict
    default: []
    suboptions:
      path: {description: The path., type: str, required: true}
      feature: {description: The feature that replaces it., type: str, required: true}
      takeover: {description: It may be replaced although others wrote it., type: bool, default: false}
  users:
    description: Numbers that users and groups of these names must have, where they exist, and nobody else may have.
    type: dict
    default: {}
  ports:
    description:
      - Dictionaries C(port), C(protocol), C(description), C(loopback) (only requests of the host itself are answered),
        C(programs), the names of processes that are the site's own; without them the port is not looked at; and
        C(feature), whose programs are another's where O(replaces) names it and no site has begun on the host.
    type: list
    elements: dict
    default: []
  ssh_user:
    description: A user of the site that logs in by SSH, by a file in C(/etc/ssh/sshd_config.d); not looked at by default.
    type: str
    default: ""
  apt_options:
    description: Options of apt for the questions about packages, name to value.
    type: dict
    default: {}
  apt_sources:
    description: Content of a file of sources that apt reads instead of the host's.
    type: str
    default: ""
  packages:
    description: Packages that must be installed or possible to install.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    support: full
    description: Does not fetch the lists of apt; packages are then looked at only where the lists are of today.
  diff_mode:
    support: none
    description: Only reads.
author: The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Look at this host
  imaging.repository.host_preflight:
    name: "{{ host_name }}"
    release: "13"
    users: {postgres: 951}
    ports:
      - {port: 5432, description: PostgreSQL, programs: [postgres]}
    packages: [postgresql-17]
  register: result
"""

RETURN = r"""
lines:
  description: One sentence for each problem, which begins with the name of the host.
  returned: always
  type: list
  elements: str
  sample: ["replica1: port 8070 is in use by python3 (pid 123), and the image server needs it; stop python3, or ..."]
ipv6:
  description: Whether the kernel speaks IPv6.
  returned: always
  type: bool
installed:
  description: Those of the packages that are installed.
  returned: always
  type: list
  elements: str
"""

import datetime
import grp
import os
import pwd

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.preflight import occupied, packages, ports, reading, release, sshd, system, users


def port_problems(wanted: list[dict], strangers: set[str]) -> list[str]:
    """Return the ports that others have; those of some features are not theirs, whatever the program."""
    found = [
        listener for listener in ports.read_listeners() if any(ports.is_in_the_way(listener, one) for one in wanted)
    ]
    return ports.problems(wanted, found, ports.read_programs({listener.inode for listener in found}), strangers)


def occupation_problems(replaces: list[dict], site: str) -> list[str]:
    """Return the files of others that would be replaced."""
    _, listing = packages.run(["dpkg-query", "--show", "--showformat", "${Conffiles}\n"]) if replaces else (0, "")
    return occupied.problems(replaces, site, occupied.conffiles(listing))


def user_problems(wanted: dict[str, int]) -> list[str]:
    """Return the users and groups that are in the way."""
    known = [users.Entry(entry.pw_name, entry.pw_uid) for entry in pwd.getpwall()]
    groups = [users.Entry(entry.gr_name, entry.gr_gid) for entry in grp.getgrall()]
    return users.problems({name: int(number) for name, number in wanted.items()}, known, groups)


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "release": {"type": "str"},
            "release_remedy": {"type": "str", "default": ""},
            "least_memory_mib": {"type": "int", "default": 0},
            "least_space_mib": {"type": "int", "default": 0},
            "controller_time": {"type": "str"},
            "site": {"type": "str", "default": ""},
            "replaces": {
                "type": "list",
                "elements": "dict",
                "default": [],
                "options": {
                    "path": {"type": "str", "required": True},
                    "feature": {"type": "str", "required": True},
                    "takeover": {"type": "bool", "default": False},
                },
            },
            "users": {"type": "dict", "default": {}},
            "ports": {"type": "list", "elements": "dict", "default": []},
            "ssh_user": {"type": "str", "default": ""},
            "apt_options": {"type": "dict", "default": {}},
            "apt_sources": {"type": "str", "default": ""},
            "packages": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    found = []
    if parameters["release"]:
        found = release.problems(reading.text("/etc/os-release"), parameters["release"], parameters["release_remedy"])
    # The packages of another release would only be missing.
    other_release = bool(found)
    told = parameters["controller_time"]
    found += system.problems(
        parameters["least_memory_mib"],
        parameters["least_space_mib"],
        datetime.datetime.fromisoformat(told).replace(tzinfo=datetime.UTC) if told else None,
    )
    found += user_problems(parameters["users"])
    found += port_problems(parameters["ports"], occupied.strangers(parameters["replaces"], occupied.is_begun()))
    # Who asks about something else does not ask for all files a second time.
    if parameters["site"]:
        found += occupation_problems(parameters["replaces"], parameters["site"])
    if parameters["ssh_user"]:
        found += sshd.read(parameters["ssh_user"], packages.run)
    installed: list[str] = []
    if not other_release:
        installed = packages.installed(parameters["packages"])
        wanted = [package for package in parameters["packages"] if package not in installed]
        apt = packages.Apt(parameters["apt_options"], parameters["apt_sources"])
        found += packages.problems(wanted, update=not module.check_mode, apt=apt)
    lines = [f"{parameters['name']}: {problem}" for problem in found]
    module.exit_json(changed=False, lines=lines, installed=installed, ipv6=os.path.exists("/proc/net/if_inet6"))


if __name__ == "__main__":
    main()
