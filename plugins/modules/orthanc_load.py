#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module orthanc_load."""

from __future__ import annotations

DOCUMENTATION = r"""
module: orthanc_load
short_description: Import images from manifests into Orthanc
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Imports the studies of manifests into the Orthanc of the host it runs on, several files at a time. C(docs/load.md)
    describes the manifest.
  - DICOM files are imported as they are, also a directory with any number of DICOM studies. TIFF and OME-TIFF become
    whole-slide DICOM series.
  - Images that lie on the controller are brought to the host first, in archives, and only those that are not imported.
  - Every image is compared by checksum after it was imported. What is done is noted in I(directory), so that a run that
    was killed goes on where it was cut, and a second run imports nothing and takes about a second.
  - A server that is busy or restarting is waited for. A file that cannot be imported is reported by name and makes the
    task fail at its end; all others are imported.
  - Nothing is ever deleted from Orthanc.
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
  url:
    description: Where Orthanc answers on this host.
    type: str
    default: http://127.0.0.1:8042
  user:
    description: A user of Orthanc who may write.
    type: str
    default: operator
  password:
    description: The password of I(user).
    type: str
    required: true
  directory:
    description:
      - Where journals and images on their way are kept. It should lie on the volume that holds the images, so that both
        are kept or lost together. It is made where its parent exists.
    type: path
    default: /srv/images/load
  workers:
    description: How many files are imported at a time.
    type: int
    default: 4
  retry_seconds:
    description: How long a server that does not answer is waited for.
    type: int
    default: 120
  progress_file:
    description: Path on the host of the file that tells how far the run is; made up by default.
    type: path
attributes:
  check_mode:
    support: full
    description: Counts the files that would be imported.
  diff_mode:
    support: none
    description: There is nothing to compare.
requirements: [python3-pydicom, libvips-tools, orthanc-wsi]
"""

EXAMPLES = r"""
- name: Load the images
  imaging.repository.orthanc_load:
    manifests: [samples/manifest.yml]
    password: "{{ vault_image_server_operator_password }}"
"""

RETURN = r"""
summary:
  description: What was done, in one line.
  returned: always
  type: str
  sample: "317 instances in 5 studies, 317 imported now in 14.2 s, 22/s, 0 of 314 files failed"
failures:
  description: The files that were not imported and why.
  returned: always
  type: list
  elements: str
report:
  description:
    - Counts C(files), C(to_import) (files), C(imported) (instances that Orthanc did not have), C(instances),
      C(studies), C(metadata_changed) (studies) and C(seconds). In check mode what would be done.
  returned: always
  type: dict
"""

import os

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.orthanc import Client, OrthancError
from ..module_utils.orthanc_load import METADATA, Loader, LoadError, Study, lock
from ..module_utils.progress import Progress

SHOWN_FAILURES = 50


def summary(report: dict, failed: int, check: bool) -> str:
    """Return the report in one line."""
    if check:
        return f"{report['to_import']} of {report['files']} files would be imported"
    rate = f", {report['imported'] / report['seconds']:.0f}/s" if report["imported"] and report["seconds"] else ""
    return (
        f"{report['instances']} instances in {report['studies']} studies, {report['imported']} imported now in "
        f"{report['seconds']} s{rate}, {failed} of {report['files']} files failed"
    )


def make_directory(path: str) -> None:
    """Make the directory, but not the ones above it: they are on a volume that should be mounted."""
    if os.path.isdir(path):
        return
    if not os.path.isdir(os.path.dirname(path)):
        raise LoadError(
            f"{path}: {os.path.dirname(path)} does not exist; mount the volume of the images "
            "(playbooks/configure.yml), or choose another directory"
        )
    os.mkdir(path, 0o700)


def study_of(entry: dict) -> Study:
    """Return the study that the action plugin describes by `entry`."""
    metadata = {name: (entry.get(name.lower()) or "").strip() for name in METADATA}
    return Study(entry["key"], entry["name"], metadata, entry["path"], entry["digest"], entry["count"], entry["size"])


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "manifests": {"type": "list", "elements": "path", "default": []},
            "studies": {"type": "list", "elements": "dict", "default": []},
            "url": {"type": "str", "default": "http://127.0.0.1:8042"},
            "user": {"type": "str", "default": "operator"},
            "password": {"type": "str", "required": True, "no_log": True},
            "directory": {"type": "path", "default": "/srv/images/load"},
            "workers": {"type": "int", "default": 4},
            "retry_seconds": {"type": "int", "default": 120},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    options = module.params
    studies = [study_of(entry) for entry in options["studies"]]
    gone = [
        f"{study.name}: {study.path} does not exist on {os.uname().nodename}; correct the path or copy it there"
        for study in studies
        if study.path and not os.path.exists(study.path)
    ]
    if gone:
        module.fail_json(msg="load: nothing was imported:\n" + "\n".join(gone), failures=gone)
    client = Client(
        options["url"],
        options["user"],
        options["password"],
        retry_seconds=0 if module.check_mode else options["retry_seconds"],
    )
    try:
        with Progress(options["progress_file"]) as progress:
            loader = Loader(
                client, options["directory"], workers=options["workers"], check=module.check_mode, progress=progress
            )
            if module.check_mode:
                report = loader.run(studies)
            else:
                make_directory(options["directory"])
                with lock(options["directory"]):
                    report = loader.run(studies)
    except OrthancError as error:
        if module.check_mode:
            # A host that is not configured yet holds no images.
            count = sum(study.count for study in studies)
            report = {"to_import": count, "files": count}
            module.exit_json(changed=bool(count), summary=summary(report, 0, True), failures=[], report=report)
        module.fail_json(msg=f"load: {error}")
    except (LoadError, OSError) as error:
        module.fail_json(msg=f"load: {error}")
    if report["unstaged"] and not module.check_mode:
        module.exit_json(changed=False, unstaged=report["unstaged"])
    failures = sorted(report.pop("failures"))
    del report["unstaged"]
    changed = bool((report["to_import"] if module.check_mode else report["imported"]) or report["metadata_changed"])
    result = {
        "changed": changed,
        "summary": summary(report, len(failures), module.check_mode),
        "failures": failures,
        "report": report,
    }
    if failures:
        more = [f"and {len(failures) - SHOWN_FAILURES} more, see failures"] if len(failures) > SHOWN_FAILURES else []
        module.fail_json(
            msg=f"load: {len(failures)} of {report['files']} files were not imported, all others are:\n"
            + "\n".join(failures[:SHOWN_FAILURES] + more),
            **result,
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
