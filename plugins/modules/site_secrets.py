#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: site_secrets
short_description: Make the secrets of a site once and keep them
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Writes a YAML file of secrets, each of 256 random bits in letters, digits, C(-) and C(_).
  - A secret that is in the file is never changed and never read back; only missing ones are added. The file has mode
    0600 in a directory of mode 0700 and is replaced at once, so that a crash leaves either the old or the new one.
  - Returns and shows names only. No value leaves the machine that it was made on.
options:
  path:
    description: The file, on the controller and outside version control.
    type: path
    required: true
  names:
    description: Names of the secrets that must exist. They begin with C(vault_).
    type: list
    elements: str
    required: true
  given:
    description: Names of secrets that the site gives itself, by ansible-vault for example. None is made for these.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Reports the names that would be made and writes nothing.
    support: full
  diff_mode:
    description: Shows names, never values.
    support: full
requirements:
  - PyYAML
"""

EXAMPLES = r"""
- name: Make the secrets of the site
  imaging.repository.site_secrets:
    path: "{{ site_state_directory }}/secrets.yml"
    names: [vault_database_owner_password, vault_database_reader_password]
  delegate_to: localhost
"""

RETURN = r"""
made:
  description: Names of the secrets that were made, or would be in check mode.
  returned: success
  type: list
  elements: str
  sample: [vault_database_owner_password]
kept:
  description: Names of the secrets that were in the file.
  returned: success
  type: list
  elements: str
"""

import os

import yaml
from ansible.module_utils.basic import AnsibleModule
from ansible_collections.imaging.repository.plugins.module_utils import private_file, site_secrets


def main() -> None:
    """Runs the module."""
    module = AnsibleModule(
        argument_spec={
            "path": {"type": "path", "required": True},
            "names": {"type": "list", "elements": "str", "required": True},
            "given": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    path, names = os.path.abspath(module.params["path"]), module.params["names"]
    directory = os.path.dirname(path)
    try:
        text = private_file.read(path)
        existing = yaml.safe_load(text) if text.strip() else {}
    except OSError as error:
        module.fail_json(msg=f"secrets: {path} cannot be read: {error.strerror}")
    except (yaml.YAMLError, UnicodeDecodeError):
        # The parser's own message would quote the line, and with it a secret.
        module.fail_json(msg=f"secrets: {path} is not valid YAML; restore it from its copy")
    if found := site_secrets.problems(names, existing if existing is not None else {}):
        module.fail_json(msg="\n".join(f"{line} ({path})." for line in found))

    existing = existing or {}
    new = site_secrets.missing(names, existing, module.params["given"])
    closing = [what for what in (directory, path) if private_file.loose(what)]
    if (new or closing) and not module.check_mode:
        try:
            os.makedirs(directory, mode=private_file.DIRECTORY_MODE, exist_ok=True)
            for what in closing:
                os.chmod(what, private_file.DIRECTORY_MODE if what == directory else private_file.FILE_MODE)
            if new:
                private_file.write(path, site_secrets.added(text, {name: site_secrets.generate() for name in new}))
        except OSError as error:
            module.fail_json(
                msg=f"secrets: {path} cannot be written: {error.strerror}. Nothing was lost; free space "
                "or correct the permissions, and run again"
            )
    kept = [name for name in names if name in existing]
    diff = {
        key: "".join(f"{name}\n" for name in held) for key, held in (("before", existing), ("after", [*existing, *new]))
    }
    module.exit_json(changed=bool(new or closing), made=new, kept=kept, diff=diff)


if __name__ == "__main__":
    main()
