#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: file_tree
short_description: Make a directory hold exactly the files of directories on the controller
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Copies whole directories with one round trip when nothing has changed and two when something has, where
    M(ansible.builtin.copy) makes two round trips per file.
  - The directory belongs to the task. Files that are neither in a source nor in O(keep) are removed.
  - Each file is replaced at once, so that a reader sees either the old or the new one.
options:
  sources:
    description:
      - Directories on the controller, relative to the role's C(files/) or to the playbook. A file of a later one takes
        the place of the same file of an earlier one. Names that begin with a dot are left out, as is C(__pycache__).
      - A dictionary C({path, below}) lays the files of C(path) below the directory C(below) of O(dest).
    type: list
    elements: raw
    required: true
  include:
    description: Names of files and directories of the sources; where it is given, what is beside them is left out.
    type: list
    elements: str
  dest:
    description: The directory on the host. It is made where it is missing.
    type: path
    required: true
  keep:
    description: Files below O(dest), relative to it, that others write.
    type: list
    elements: str
    default: []
  digests:
    description: SHA-256 by relative path. Set by the action plugin.
    type: dict
  contents:
    description: Contents by relative path, compressed with zlib, in base64. Set by the action plugin.
    type: dict
    default: {}
attributes:
  check_mode:
    description: Reports what would be written and removed.
    support: full
  diff_mode:
    description: Shows names of files, not their contents.
    support: full
"""

EXAMPLES = r"""
- name: Publish the pages
  imaging.repository.file_tree:
    sources: [pages, "{{ own_pages }}"]
    dest: /var/www/pages
    keep: [news.json]
"""

RETURN = r"""
written:
  description: Relative paths that were written, in check mode those that would be.
  type: list
  elements: str
  returned: always
removed:
  description: Relative paths that were removed, in check mode those that would be.
  type: list
  elements: str
  returned: always
"""

import base64
import hashlib
import os
import zlib

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import files

FILE_MODE = 0o644
DIRECTORY_MODE = 0o755


def files_below(directory: str) -> dict[str, str]:
    """Return the full path of each file (links included) below `directory` by its path relative to it."""
    return {
        os.path.relpath(os.path.join(parent, name), directory): os.path.join(parent, name)
        for parent, _directories, names in os.walk(directory)
        for name in names
    }


def is_right(path: str, digest: str) -> bool:
    """Return whether `path` is a regular file with this SHA-256, of root, that everybody may read."""
    if os.path.islink(path) or not os.path.isfile(path):
        return False
    status = os.stat(path)
    if (status.st_mode & 0o7777, status.st_uid) != (FILE_MODE, os.geteuid()):
        return False
    with open(path, "rb") as file:
        return hashlib.sha256(file.read()).hexdigest() == digest


def plan(dest: str, digests: dict[str, str], keep: list[str]) -> tuple[list[str], list[str]]:
    """Return the relative paths to write and those to remove so that `dest` holds exactly the files of `digests`."""
    present = files_below(dest)
    write = [path for path, digest in digests.items() if path not in present or not is_right(present[path], digest)]
    return sorted(write), sorted(set(present) - set(digests) - set(keep))


def make_directories(dest: str, relative: str) -> None:
    """Make the directories that the file `relative` below `dest` needs, readable by everybody."""
    path = dest
    for part in ["", *os.path.dirname(relative).split(os.sep)]:
        path = os.path.join(path, part) if part else path
        os.makedirs(path, exist_ok=True)
        os.chmod(path, DIRECTORY_MODE)


def write_file(dest: str, relative: str, content: bytes) -> None:
    """Replace one file at once."""
    make_directories(dest, relative)
    files.write(os.path.join(dest, relative), content, mode=FILE_MODE)


def remove_file(dest: str, relative: str) -> None:
    """Remove one file and the directories below `dest` that it leaves empty."""
    os.remove(os.path.join(dest, relative))
    parent = os.path.dirname(relative)
    while parent and not os.listdir(os.path.join(dest, parent)):
        os.rmdir(os.path.join(dest, parent))
        parent = os.path.dirname(parent)


def main() -> None:
    """Compare, and write what the action plugin has sent."""
    module = AnsibleModule(
        argument_spec={
            "sources": {"type": "list", "elements": "raw", "required": True},
            "include": {"type": "list", "elements": "str"},
            "dest": {"type": "path", "required": True},
            "keep": {"type": "list", "elements": "str", "default": []},
            "digests": {"type": "dict"},
            "contents": {"type": "dict", "default": {}},
        },
        supports_check_mode=True,
    )
    dest, digests, contents = (module.params[name] for name in ("dest", "digests", "contents"))
    if digests is None:
        module.fail_json(
            msg="file_tree: the action plugin of this name did not run; call the module as imaging.repository.file_tree"
        )
    written, removed = plan(dest, digests, module.params["keep"])
    result = {
        "changed": bool(written or removed),
        "written": written,
        "removed": removed,
        "diff": [
            {
                "before_header": dest,
                "after_header": dest,
                "before": "".join(f"{path}\n" for path in removed),
                "after": "".join(f"{path}\n" for path in written),
            }
        ],
        # What the action plugin still has to send.
        "missing": [path for path in written if path not in contents],
    }
    if not module.check_mode and not result["missing"]:
        for path in written:
            write_file(dest, path, zlib.decompress(base64.b64decode(contents[path])))
        for path in removed:
            remove_file(dest, path)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
