#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module site_verify."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_verify
short_description: Checks a site from outside, as its visitors see it
version_added: 0.1.0
description:
  - Runs on the controller. Asks the public address for pages, images and metadata, tries what the public must not be
    able to do, looks at TLS and HTTP/2, adds the lines that the features of each host gave, prints them as a table and
    fails where one check did.
  - Only reads. One thumbnail of an unusual size may become cached by it.
options:
  url:
    description: The public address, e.g. V(https://localhost:8443), without a slash in the end.
    type: str
    required: true
  http_url:
    description: The address that must redirect to O(url).
    type: str
    required: true
  address:
    description: Where to connect instead of what the name in O(url) resolves to, while the name stays in use for TLS.
    type: str
    default: ""
  authority:
    description: File with the certificate authority to trust; the machine's own authorities by default.
    type: path
  minimum_certificate_days:
    description: How long the certificate must still be valid.
    type: int
    default: 14
  timeout_seconds:
    description: How long one answer may take.
    type: int
    default: 10
  policies:
    description:
      - By driver the cache policies of the site's image servers; C(verify), C(cannot_draw), C(study_members) and
        C(forbidden_paths) of them are used.
    type: dict
    required: true
  found:
    description: By driver what M(imaging.repository.verify_cache) returned as C(found).
    type: dict
    default: {}
  hosts:
    description:
      - By the name of each host the list of its lines. Anything else than a list is that of a host that was not asked,
        which is a failed line.
    type: dict
    default: {}
  show:
    description: Whether the table has every check, or only those that failed.
    type: str
    choices: [all, failed]
    default: all
  report_file:
    description: Where the report is kept as JSON, on the controller; not written in check mode.
    type: path
attributes:
  check_mode:
    support: full
    description: Checks and prints the same, but a failed check is no failure, because the site may not be deployed yet.
  diff_mode:
    support: none
    description: Only reads.
requirements: ["httpx[http2]"]
author: The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Check the site
  imaging.repository.site_verify:
    url: https://localhost:8443
    http_url: http://localhost:8080
    authority: state/demo/ca/ca.crt
    policies: "{{ image_server_policies }}"
  delegate_to: localhost
"""

RETURN = r"""
checks:
  description: One dictionary C(name), C(ok), C(detail), C(remedy) per check, those from outside first.
  returned: always
  type: list
  elements: dict
table:
  description: The checks of O(show) as aligned lines.
  returned: always
  type: str
summary:
  description: One line.
  returned: always
  type: str
  sample: "verified: 27 checks passed"
"""

import contextlib
import json
import os
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils import files
from ..module_utils.verify.lines import host_lines, summary, table
from ..module_utils.verify.public import Driver, Public, Settings

try:
    import httpx  # noqa: F401

    IMPORT_ERROR = None
except ImportError:
    IMPORT_ERROR = traceback.format_exc()

SETTINGS = ("url", "http_url", "address", "authority", "minimum_certificate_days", "timeout_seconds")


def main() -> None:
    """Run the module."""
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "http_url": {"type": "str", "required": True},
            "address": {"type": "str", "default": ""},
            "authority": {"type": "path"},
            "minimum_certificate_days": {"type": "int", "default": 14},
            "timeout_seconds": {"type": "int", "default": 10},
            "policies": {"type": "dict", "required": True},
            "found": {"type": "dict", "default": {}},
            "hosts": {"type": "dict", "default": {}},
            "show": {"type": "str", "choices": ["all", "failed"], "default": "all"},
            "report_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if IMPORT_ERROR:
        module.fail_json(msg=missing_required_lib("httpx[http2]"), exception=IMPORT_ERROR)
    parameters = module.params
    authority = parameters["authority"]
    if authority and not os.path.exists(authority):
        if not module.check_mode:
            module.fail_json(msg=f"authority: {authority} does not exist; run configure.yml, which makes it")
        parameters["authority"] = None
    drivers = [
        Driver(name, policy, **parameters["found"].get(name, {})) for name, policy in parameters["policies"].items()
    ]
    public = Public(Settings(**{key: parameters[key] for key in SETTINGS}), drivers)
    lines = public.lines() + host_lines(parameters["hosts"])
    failed = [line for line in lines if not line["ok"]]
    result = {"changed": False, "checks": lines, "summary": summary(lines)}
    result["table"] = table(lines if parameters["show"] == "all" else failed)
    if parameters["report_file"] and not module.check_mode:
        report = {
            "url": parameters["url"],
            "passed": len(lines) - len(failed),
            "failed": len(failed),
            "summary": result["summary"],
            "checks": lines,
        }
        with contextlib.suppress(FileNotFoundError):
            files.write(parameters["report_file"], json.dumps(report, indent=2) + "\n")
    if failed and not module.check_mode:
        details = "; ".join(f"{line['name']}: {line['detail']}" for line in failed)
        module.fail_json(msg=f"{result['summary']}: {details}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
