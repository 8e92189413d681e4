#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module load."""

from __future__ import annotations

DOCUMENTATION = r"""
module: load
short_description: Bring the images of manifests into the image servers of this host, and read the catalogue
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Gives the studies of manifests to the image servers of the host it runs on, several files at a time.
    C(docs/load.md) describes the manifest. What a file becomes is said by the driver's importer, see C(docs/drivers.md).
  - Images that lie on the controller are brought to I(directory) first, in pieces, and only those that are not loaded. A
    transfer that was cut goes on where it was.
  - Every image is verified after it was loaded. What is done is noted in I(directory), so that a run that was killed goes
    on where it was cut, and a second run loads nothing and asks the servers only for what changed.
  - A server that is busy or restarting is waited for. A file that cannot be loaded is reported by name; all others are
    loaded. The task succeeds then, and I(failure) says what is to be shown after the catalogue was published.
  - Nothing is ever deleted from a server.
  - While it runs, a line of progress is printed every two seconds, later less often.
options:
  manifests:
    description: Paths of manifests on the controller, relative to the current directory or to the repository.
    type: list
    elements: path
    default: []
  studies:
    description: The content of the manifests; made by the action plugin, not to be given.
    type: list
    elements: dict
    default: []
  drivers:
    description: The image servers of this host, in the order in which they are offered a file.
    type: list
    elements: dict
    required: true
    suboptions:
      name:
        description: Name of the driver; its importer is the package of that name in I(importers).
        type: str
        required: true
      settings:
        description: What the importer wants to know.
        type: dict
        default: {}
      secrets:
        description: The same, for what must not be seen.
        type: dict
        default: {}
  importers:
    description: Directory of the drivers' importers.
    type: path
    default: /usr/local/lib/imaging-repository/importers
  directory:
    description:
      - Where journals and images on their way are kept. It should lie on the volume that holds the images, so that both
        are kept or lost together. It is made where its parent exists.
    type: path
    default: /srv/images/load
  workers:
    description: How many files are loaded at a time.
    type: int
    default: 4
  progress_file:
    description: Path on the host of the file that tells how far the run is; made up by default.
    type: path
attributes:
  check_mode:
    support: full
    description: Counts the files that would be loaded.
  diff_mode:
    support: none
    description: There is nothing to compare.
"""

EXAMPLES = r"""
- name: Load the images
  imaging.repository.load:
    manifests: [samples/manifest.yml]
    drivers:
      - name: static_images
        settings: {directory: /srv/images/static}
"""

RETURN = r"""
summary:
  description: What was done, in one line.
  returned: always
  type: str
  sample: "317 instances in 5 studies, 317 imported now in 14.2 s, 22/s, 0 of 314 files failed"
failures:
  description: The files that were not loaded and why.
  returned: always
  type: list
  elements: str
failure:
  description: The same as a message, at most fifty of them; empty where none failed.
  returned: always
  type: str
report:
  description:
    - Counts C(files), C(to_import) (files), C(imported) (images that the servers did not have), C(instances) (images),
      C(studies), C(metadata_changed) (studies) and C(seconds). In check mode what would be done.
  returned: always
  type: dict
studies:
  description: The catalogue by title. Each study has C(id), C(driver), C(title), C(description), C(licence), C(source),
    C(thumbnail) (a URL path), and what its driver's pages want to know.
  returned: always
  type: list
  elements: dict
"""

import contextlib
import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.load import importer as contract
from ..module_utils.load.engine import Loader
from ..module_utils.load.lock import lock, make_directory
from ..module_utils.load.report import LoadError, Report
from ..module_utils.load.staging import Study
from ..module_utils.progress import Progress


def study_of(entry: dict[str, Any]) -> Study:
    """Return the study that the action plugin describes by `entry`."""
    words = contract.Words(*((entry.get(name) or "").strip() for name in ("title", "description", "licence", "source")))
    return Study(
        entry["key"],
        entry["name"],
        words,
        entry["path"],
        entry["digest"],
        entry["count"],
        entry["size"],
        entry.get("driver") or "",
    )


def result_of(report: Report, check: bool) -> dict[str, Any]:
    """Return the module's result."""
    return {
        "changed": report.changed(check),
        "summary": report.summary(check),
        "failures": sorted(report.failures),
        "failure": report.failure_text(),
        "report": report.counts(),
        "studies": report.catalogue,
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "manifests": {"type": "list", "elements": "path", "default": []},
            "studies": {"type": "list", "elements": "dict", "default": []},
            "drivers": {
                "type": "list",
                "elements": "dict",
                "required": True,
                "options": {
                    "name": {"type": "str", "required": True},
                    "settings": {"type": "dict", "default": {}},
                    "secrets": {"type": "dict", "default": {}, "no_log": True},
                },
            },
            "importers": {"type": "path", "default": "/usr/local/lib/imaging-repository/importers"},
            "directory": {"type": "path", "default": "/srv/images/load"},
            "workers": {"type": "int", "default": 4},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    options = module.params
    check = module.check_mode
    studies = [study_of(entry) for entry in options["studies"]]
    gone = [
        f"{study.name}: {study.path} does not exist on {os.uname().nodename}; correct the path or copy it there"
        for study in studies
        if study.path and not os.path.exists(study.path)
    ]
    if gone:
        module.fail_json(msg="load: nothing was imported:\n" + "\n".join(gone), failures=gone)
    # A check waits for nobody.
    patience: dict[str, Any] = {"retry_seconds": 0} if check else {}
    try:
        drivers = [
            contract.open_driver(
                entry["name"],
                os.path.join(options["importers"], entry["name"]),
                entry["settings"],
                {"workers": options["workers"], **entry["secrets"], **patience},
            )
            for entry in options["drivers"]
        ]
        with Progress(options["progress_file"]) as progress, contextlib.ExitStack() as stack:
            if not check:
                make_directory(options["directory"])
                stack.enter_context(lock(options["directory"]))
            loader = Loader(drivers, options["directory"], workers=options["workers"], check=check, progress=progress)
            report = loader.run(studies)
    except (contract.ServerError, contract.NotInstalled) as error:
        if check:
            # A host that is not configured yet holds no images.
            count = sum(study.count for study in studies)
            module.exit_json(**result_of(Report(files=count, to_import=count), True))
        module.fail_json(msg=f"load: {error}")
    except (LoadError, OSError) as error:
        module.fail_json(msg=f"load: {error}")
    if report.unstaged and not check:
        module.exit_json(changed=False, unstaged=report.unstaged)
    module.exit_json(**result_of(report, check))


if __name__ == "__main__":
    main()
