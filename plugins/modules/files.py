#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module files."""

from __future__ import annotations

DOCUMENTATION = r"""
module: files
short_description: Writes several files of a host in one call
version_added: 0.1.0
description:
  - Templates and files of the controller arrive together, are compared, and those that differ are replaced at once, each
    with its owner and mode. One task costs as much as one M(ansible.builtin.template), whatever the number of files.
  - Directories above a file that are not there yet are made, readable by everybody.
options:
  files:
    description: The files, written in this order.
    type: list
    elements: dict
    required: true
    suboptions:
      dest:
        description: Where it stands on the host.
        type: path
        required: true
      template:
        description: A template of the role, rendered as M(ansible.builtin.template) does it.
        type: str
      source:
        description: A file of the role, or a directory whose files are laid below O(files[].dest).
        type: str
      content:
        description: The content itself.
        type: str
      directory:
        description: It is a directory.
        type: bool
        default: false
      when:
        description: The entry is left out where this is false.
        type: bool
        default: true
      owner:
        description: Name of the user.
        type: str
        default: root
      group:
        description: Name of the group.
        type: str
        default: root
      mode:
        description: Octal digits; 0644 for files and 0755 for directories.
        type: str
      keep:
        description: A file that is there stays as it is.
        type: bool
        default: false
      secret:
        description: Its difference is not shown.
        type: bool
        default: false
      validate:
        description: A command that must accept the file before it replaces the old one; C(%s) is its path.
        type: str
attributes:
  check_mode:
    support: full
    description: On a host that lacks directories, users or programs for now, the file counts as one that would change.
  diff_mode:
    support: full
    description: Shows what changes.
author: The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Write the configuration
  imaging.repository.files:
    files:
      - {dest: /etc/nginx/nginx.conf, template: nginx.conf.j2, validate: nginx -t -q -c %s}
      - {dest: /etc/nginx/snippets/login.conf, content: "{{ login }}", mode: "0600", secret: true}
      - {dest: /usr/local/bin/cache-warm, source: cache-warm, mode: "0755"}
  become: true
"""

RETURN = r"""
written:
  description: Paths of what was not right.
  returned: always
  type: list
  elements: str
"""

import base64
import grp
import os
import pwd
import shlex
import stat
import tempfile
from typing import Any, NamedTuple

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import files

# Larger differences help nobody.
DIFF_BYTES = 400_000


class Entry(NamedTuple):
    """One file or directory as it shall be; -1 is an owner or group that does not exist yet."""

    dest: str
    content: bytes | None
    mode: int
    owner: int
    group: int


def number(module: AnsibleModule, kind: str, name: str) -> int:
    """Return the number of a user or group; -1 in check mode for one that a real run makes."""
    try:
        return pwd.getpwnam(name).pw_uid if kind == "user" else grp.getgrnam(name).gr_gid
    except KeyError:
        if module.check_mode:
            return -1
        module.fail_json(msg=f"files: there is no {kind} {name} on this host; create it before this task")
        raise


def is_right(entry: Entry, keep: bool) -> bool:
    """Return whether it is there as it shall be, nothing but its kind counted for one to keep."""
    try:
        found = os.lstat(entry.dest)
    except (FileNotFoundError, NotADirectoryError):
        return False
    kind = stat.S_ISDIR if entry.content is None else stat.S_ISREG
    if not kind(found.st_mode):
        return False
    if keep:
        return True
    if (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) != (entry.mode, entry.owner, entry.group):
        return False
    return entry.content is None or content_of(entry.dest) == entry.content


def content_of(path: str) -> bytes:
    """Return the content of a file; nothing for one that cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


def difference(entry: Entry, secret: bool) -> dict[str, str]:
    """Return what changes, as Ansible shows it."""
    header = {"before_header": entry.dest, "after_header": entry.dest}
    before, after = content_of(entry.dest), entry.content or b""
    if secret or entry.content is None or b"\0" in before + after or len(before + after) > DIFF_BYTES:
        return {**header, "before": "", "after": "(not shown)\n" if entry.content is not None else "directory\n"}
    if before == after:
        return {**header, "before": "other owner or mode\n", "after": f"mode {entry.mode:04o}\n"}
    return {**header, "before": before.decode("utf-8", "replace"), "after": after.decode("utf-8", "replace")}


def validate(module: AnsibleModule, command: str, entry: Entry) -> None:
    """Fail unless the command accepts the new content."""
    with tempfile.NamedTemporaryFile(dir=os.path.dirname(entry.dest), prefix=".validate-") as file:
        file.write(entry.content or b"")
        file.flush()
        code, out, error = module.run_command([part.replace("%s", file.name) for part in shlex.split(command)])
    if code:
        said = (error or out).strip().replace(file.name, entry.dest)
        module.fail_json(msg=f"{entry.dest}: {shlex.split(command)[0]} refuses it, so the old one stays: {said}")


def write(module: AnsibleModule, entry: Entry, command: str | None) -> None:
    """Make it as it shall be."""
    try:
        if entry.content is None:
            os.makedirs(entry.dest, exist_ok=True)
            os.chown(entry.dest, entry.owner, entry.group)
            os.chmod(entry.dest, entry.mode)
            return
        os.makedirs(os.path.dirname(entry.dest), exist_ok=True)
        if command:
            validate(module, command, entry)
        files.write(entry.dest, entry.content, mode=entry.mode, owner=entry.owner, group=entry.group)
    except OSError as error:
        module.fail_json(msg=f"{entry.dest}: cannot be written: {error.strerror}; correct that and run it again")


def main() -> None:
    """Compare all, then write those that differ."""
    options = {
        "dest": {"type": "path", "required": True},
        # Otherwise the journal of the host would keep it.
        "content": {"type": "str", "no_log": True},
        "directory": {"type": "bool", "default": False},
        "owner": {"type": "str", "default": "root"},
        "group": {"type": "str", "default": "root"},
        "mode": {"type": "str"},
        "keep": {"type": "bool", "default": False},
        "secret": {"type": "bool", "default": False},
        "validate": {"type": "str"},
        # What the action plugin has replaced by the content.
        "template": {"type": "str"},
        "source": {"type": "str"},
        "when": {"type": "bool", "default": True},
    }
    module = AnsibleModule(
        argument_spec={"files": {"type": "list", "elements": "dict", "required": True, "options": options}},
        supports_check_mode=True,
    )
    os.umask(0o022)
    written: list[str] = []
    diff: list[dict[str, Any]] = []
    for given in module.params["files"]:
        if not given["directory"] and given["content"] is None:
            module.fail_json(msg="files: the action plugin of this name did not run; call it imaging.repository.files")
        entry = Entry(
            given["dest"],
            None if given["directory"] else base64.b64decode(given["content"]),
            int(given["mode"] or ("0755" if given["directory"] else "0644"), 8),
            number(module, "user", given["owner"]),
            number(module, "group", given["group"]),
        )
        if is_right(entry, given["keep"]):
            continue
        written.append(entry.dest)
        diff.append(difference(entry, given["secret"]))
        if not module.check_mode:
            write(module, entry, given["validate"])
    module.exit_json(changed=bool(written), written=written, diff=diff)


if __name__ == "__main__":
    main()
