#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: site_ssh
short_description: Make the SSH keys of a site once and keep them
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Runs on the controller. Makes the key that operators and Ansible log in with, and the host key of every host before
    the host exists, so that no connection ever trusts an unknown host.
  - Existing keys are never changed. What is derived from them, which is the public keys, C(known_hosts) and the user
    data with which a new server gets its host key, is written again where it differs.
  - Every file has mode 0600 in directories of mode 0700 and is replaced at once, so a run that was cut is run again.
  - Returns and shows names and public keys only. No private key leaves the files.
options:
  directory:
    description: Where the files are kept, on the controller and outside version control.
    type: path
    required: true
  site:
    description: Name of the site; C(known_hosts) has its hosts as C(<site>-<host>).
    type: str
    required: true
  hosts:
    description: Names of the hosts within the site.
    type: list
    elements: str
    required: true
  bastion:
    description: The host of them that the others are reached through; its SSH server takes more connections at once.
    type: str
    default: ""
attributes:
  check_mode:
    description: Reports the keys that would be made and writes nothing.
    support: full
  diff_mode:
    description: Shows the names of the files that are written, never their content.
    support: full
requirements:
  - cryptography
"""

EXAMPLES = r"""
- name: Make the SSH keys of the site
  imaging.repository.site_ssh:
    directory: "{{ site_state_directory }}/ssh"
    site: idr127
    hosts: [database, primary, replica1, proxy]
    bastion: proxy
"""

RETURN = r"""
public_key:
  description: The public key of operators and Ansible; empty in check mode where there is none yet.
  returned: success
  type: str
  sample: ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1rJ3 idr127
user_data_files:
  description: By the name of each host the file with its user data, which holds the host key. Empty in check mode.
  returned: success
  type: dict
made:
  description: Names of the private keys that were made, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [id_ed25519, host_keys/database]
"""

import os
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

try:
    from ..module_utils import private_file, site_ssh

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

CLIENT_KEY = "id_ed25519"


class Files:
    """The files of one directory: read now, written by write(), which makes them all or as many as it can."""

    def __init__(self, directory: str) -> None:
        self.directory = directory
        self.wanted: dict[str, str] = {}

    def path(self, name: str) -> str:
        return os.path.join(self.directory, name)

    def read(self, name: str) -> str:
        """Return the text of a file, '' where there is none."""
        return private_file.read(self.path(name))

    def stale(self) -> list[str]:
        """Return the wanted files that are not there, differ or could be read by others."""
        return [
            name for name, text in self.wanted.items() if self.read(name) != text or private_file.loose(self.path(name))
        ]

    def write(self, names: list[str]) -> None:
        """Write the named files; no other user can read one at any moment."""
        for folder in sorted({self.directory, *(os.path.dirname(self.path(name)) for name in names)}):
            os.makedirs(folder, mode=private_file.DIRECTORY_MODE, exist_ok=True)
            os.chmod(folder, private_file.DIRECTORY_MODE)
        for name in names:
            private_file.write(self.path(name), self.wanted[name])


def plan(files: Files, site: str, hosts: list[str], bastion: str) -> list[str]:
    """Fill the wanted files; return the names of the private keys that are new. ValueError for a damaged key."""
    made: list[str] = []

    def key(name: str, comment: str) -> tuple[str, str]:
        private = files.read(name)
        if not private:
            made.append(name)
            private = site_ssh.new_key()
        try:
            public = site_ssh.public_key(private)
        except ValueError as error:
            raise ValueError(f"ssh: {files.path(name)} {error}; restore it from its copy") from None
        # The private key first: the others can be made from it again.
        files.wanted |= {name: private, f"{name}.pub": f"{public} {comment}\n"}
        return private, public

    key(CLIENT_KEY, site)
    known = ""
    for host in hosts:
        private, public = key(f"host_keys/{host}", f"{site}-{host}")
        files.wanted[f"user_data/{host}.yml"] = site_ssh.user_data(private, public, host == bastion)
        known += f"{site}-{host} {public}\n"
    files.wanted["known_hosts"] = known
    return made


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "directory": {"type": "path", "required": True},
            "site": {"type": "str", "required": True},
            "hosts": {"type": "list", "elements": "str", "required": True},
            "bastion": {"type": "str", "default": ""},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("cryptography"), exception=IMPORT_ERROR)
    files = Files(os.path.abspath(module.params["directory"]))
    try:
        made = plan(files, module.params["site"], module.params["hosts"], module.params["bastion"])
        stale = files.stale()
        if not module.check_mode:
            files.write(stale)
    except ValueError as error:
        module.fail_json(msg=str(error))
    except OSError as error:
        module.fail_json(
            msg=f"ssh: {error.filename or files.directory} cannot be read or written: {error.strerror}. Nothing was "
            "lost; free space or correct the permissions, and run again"
        )
    there = {} if module.check_mode else {host: f"user_data/{host}.yml" for host in module.params["hosts"]}
    module.exit_json(
        changed=bool(stale),
        made=made,
        public_key="" if module.check_mode and CLIENT_KEY in made else files.wanted[f"{CLIENT_KEY}.pub"].strip(),
        user_data_files={host: os.path.join(files.directory, name) for host, name in there.items()},
        diff={
            "before": "".join(f"{name}\n" for name in files.wanted if name not in stale),
            "after": "".join(f"{name}\n" for name in files.wanted),
        },
    )


if __name__ == "__main__":
    main()
