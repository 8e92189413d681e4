#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module cache_warm."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_warm
short_description: Fills the cache of a site ahead of its visitors
version_added: 0.1.0
description:
  - Starts the service C(cache-warm) on the cache host, waits for its end and returns what came of it. A warm that runs
    already, started by a timer, by somebody else or by a run of this module that was cut, is followed instead.
  - The role C(cache_warm) installs and configures the service. What it warms, and how, is in
    C(/etc/imaging-repository/cache-warm.json).
  - The service goes on when this module is interrupted or its connection breaks. Killed, it is started again by systemd
    and goes on where it was; this module then follows it on.
  - In check mode the pages are counted and nothing is warmed.
  - While it runs, a line of progress is printed every two seconds, later less often.
options:
  refresh:
    description:
      - Fetch everything anew, cached or not. Refused while a warm runs that is no refresh.
    type: bool
    default: false
  wait:
    description: Whether to wait for the end. Otherwise the module returns as soon as the service has started.
    type: bool
    default: true
attributes:
  check_mode:
    support: full
    description: Counts the pages and changes nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
author: The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Warm the cache
  imaging.repository.cache_warm:

- name: Begin to fetch everything anew, in the background
  imaging.repository.cache_warm:
    refresh: true
    wait: false
"""

RETURN = r"""
summary:
  description: What came of it in one line.
  returned: always
  type: str
  sample: "702 of 702 pages done, 690 miss, 12 refreshed, 0 failed, coverage 100.00 %, 4 s, 176/s"
started:
  description: Whether a warm was started, and not one followed that ran already.
  returned: when not in check mode
  type: bool
report:
  description:
    - Counts of the run by what the pages came to. C(hit) (was cached), C(miss) (was not and is now), C(refreshed),
      C(skipped) (known to be cached without a request), C(absent) (optional and not there), C(unsupported) (the image
      server cannot draw it), C(failed), C(left) (not asked for because the zone is full); C(total), C(done),
      C(coverage), C(sample) (pages that were asked again in the end), C(failures) (by cause, with examples),
      C(problems) (what was skipped in the sources), C(requests), C(retries), C(bytes), C(seconds), C(rate_per_second).
    - In check mode only C(total).
  returned: when the warm came to its end, and in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.warm_service import Service, ServiceError


def main() -> None:
    """Start, follow, report."""
    module = AnsibleModule(
        argument_spec={
            "refresh": {"type": "bool", "default": False},
            "wait": {"type": "bool", "default": True},
        },
        supports_check_mode=True,
    )
    service = Service(module.run_command)
    result = {"changed": False}
    try:
        if module.check_mode:
            total = service.count()
            module.exit_json(
                changed=False,
                report={"total": total},
                summary=f"would look at {total} pages and cache what is not cached",
            )
        result["started"] = service.begin(module.params["refresh"])
        if not module.params["wait"]:
            module.exit_json(
                changed=result["started"],
                started=result["started"],
                summary=("goes on in the background; see `cache-warm status` on the host"),
            )
        report = service.report(service.follow())
    except ServiceError as error:
        module.fail_json(msg=str(error), **result)
    # What a source fetches anew each time is no change, what the user wants anew is.
    changed = report["miss"] > 0 or (module.params["refresh"] and report["refreshed"] > 0)
    result |= {"changed": changed, "report": report, "summary": report["summary"]}
    if report["exit_status"]:
        module.fail_json(msg=report["message"], **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
