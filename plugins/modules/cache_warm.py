#!/usr/bin/python
"""Ansible module cache_warm."""
from __future__ import annotations

DOCUMENTATION = r"""
module: cache_warm
short_description: Fills the cache of a site ahead of its visitors
version_added: 0.1.0
description:
  - Asks the cache, on the cache host itself, for every URL of the image server's warm sources, so that each answer is
    cached before the first visitor wants it.
  - What is cached already is answered from the cache and costs little, so a run that was cut is simply run again.
  - Answers 5xx, time-outs and lost connections are tried again later, with fewer requests at a time.
  - An answer 415 counts as unsupported, and not as a failure, only if the image servers are found well twice; Orthanc
    answers 415 for every image while its database is away.
  - In check mode the URLs are counted and nothing is asked for but the lists of ids.
  - While it runs, a line of progress is printed every two seconds, later less often.
options:
  sources:
    description:
      - The policy's warm sources. Each has C(name), C(list) (URL path that answers a JSON list of ids, in pages by
        C(since) and C(limit)), C(page_size), C(urls) (templates with C({id})), C(optional_urls) (the same, but
        absence is ordinary) and C(refresh) (fetched anew although cached, because the answers change).
    type: list
    elements: dict
    required: true
  catalogue:
    description:
      - Path on the host of the gallery's C(catalogue.json). The pictures of the front page that it names are warmed
        first. Without the file, or without this option, there are none.
    type: path
  probe:
    description: URL path that answers 200 only while the image servers and their database are well.
    type: str
    required: true
  url:
    description: Where the cache answers on its own host.
    type: str
    default: http://127.0.0.1:8081
  refresh_url:
    description: Where the cache fetches an answer anew; lists of ids are read there, because they change.
    type: str
    default: http://127.0.0.1:8082
  refresh_sources:
    description: Names of more sources to fetch anew, for which the policy does not ask.
    type: list
    elements: str
    default: []
  concurrency:
    description: How many requests may be in flight; fewer while the image servers are overloaded.
    type: int
    default: 8
  attempts:
    description: How often one URL is tried before it counts as failed.
    type: int
    default: 6
  timeout_seconds:
    description: How long one answer may take.
    type: int
    default: 60
  minimum_coverage:
    description: Fraction of all URLs, from 0 to 1, that must be cached or impossible to cache, else the task fails.
    type: float
    default: 0.99
  progress_file:
    description: Path on the host of the file that tells how far the run is; made up by default.
    type: path
attributes:
  check_mode:
    support: full
    description: Counts the URLs and changes nothing.
  diff_mode:
    support: none
    description: There is nothing to compare.
requirements: [python3-pycurl]
author: The imaging.repository authors
"""

EXAMPLES = r"""
- name: Warm the cache
  imaging.repository.cache_warm:
    sources:
      - {name: series, list: /series, page_size: 500, urls: ['/series/{id}'], optional_urls: ['/wsi/pyramids/{id}']}
    probe: /instances?since=0&limit=1
    concurrency: 16
"""

RETURN = r"""
summary:
  description: The counts in one line.
  returned: always
  type: str
  sample: "702 of 702 URLs done, 690 new, 12 refreshed, 0 unsupported, 0 failed, coverage 100.00 %, 4 s, 176/s"
report:
  description:
    - Counts of the run. C(cached) (C(added) of them were not before, C(refreshed) were fetched
      anew), C(absent) (optional and not there),
      C(unsupported) (the image server cannot decode the image), C(failed), C(retries), C(bytes), C(seconds),
      C(rate_per_second), C(coverage), C(by_cache_status), C(by_status), C(failures) (by cause, with examples).
    - In check mode only C(total).
  returned: always
  type: dict
"""

import os
import signal

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.progress import Progress
from ..module_utils.warm import Engine, Item, Limits, Source, Transport, WarmError, front_page


def summary(report: dict) -> str:
    """Return the report in one line."""
    return (f"{report['done']} of {report['total']} URLs done, {report['added']} new, {report['refreshed']} refreshed, "
            f"{report['unsupported']} unsupported, {report['failed']} failed, "
            f"coverage {100 * report['coverage']:.2f} %, {report['seconds']:.0f} s, {report['rate_per_second']:.0f}/s")


def causes(report: dict) -> str:
    """Return what failed, how often, and one URL of each cause."""
    return "; ".join(f"{failure['count']} x {failure['cause']}, e.g. {failure['examples'][0]}"
                     for failure in report["failures"])


def problem(report: dict, minimum_coverage: float) -> str:
    """Return why the run is a failure, or an empty string."""
    if report["stopped"]:
        return f"the warm stopped early: {report['stopped']}. {summary(report)}"
    if report["coverage"] < minimum_coverage:
        return (f"coverage {100 * report['coverage']:.2f} % is below minimum_coverage {100 * minimum_coverage:.2f} %: "
                f"{causes(report)}; see to the causes and run the warm again: what is cached stays")
    return ""


def pictures(catalogue: str | None) -> list[Item]:
    """Return the pictures of the front page; none before the first load has written the catalogue."""
    if not catalogue or not os.path.exists(catalogue):
        return []
    with open(catalogue, "rb") as stream:
        return front_page(stream.read())


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "sources": {"type": "list", "elements": "dict", "required": True},
            "catalogue": {"type": "path"},
            "probe": {"type": "str", "required": True},
            "url": {"type": "str", "default": "http://127.0.0.1:8081"},
            "refresh_url": {"type": "str", "default": "http://127.0.0.1:8082"},
            "refresh_sources": {"type": "list", "elements": "str", "default": []},
            "concurrency": {"type": "int", "default": 8},
            "attempts": {"type": "int", "default": 6},
            "timeout_seconds": {"type": "int", "default": 60},
            "minimum_coverage": {"type": "float", "default": 0.99},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    for name in ("concurrency", "attempts", "timeout_seconds"):
        if parameters[name] < 1:
            module.fail_json(msg=f"{name}: {parameters[name]} is below 1")
    if not 0 <= parameters["minimum_coverage"] <= 1:
        module.fail_json(msg=f"minimum_coverage: {parameters['minimum_coverage']} is not between 0 and 1")
    try:
        sources = [Source.from_policy(entry, entry["name"] in parameters["refresh_sources"])
                   for entry in parameters["sources"]]
    except (KeyError, TypeError, ValueError) as error:
        module.fail_json(msg=f"sources: {error!r} in an entry; each needs name, list, page_size and urls")
    limits = Limits(concurrency=parameters["concurrency"], attempts=parameters["attempts"])
    try:
        first = pictures(parameters["catalogue"])
        transport = Transport(parameters["url"], parameters["refresh_url"], concurrency=limits.concurrency,
                              timeout_seconds=parameters["timeout_seconds"])
    except (OSError, WarmError) as error:
        module.fail_json(msg=str(error))
    with Progress(parameters["progress_file"]) as progress:
        engine = Engine(transport, sources, probe=parameters["probe"], first=first, limits=limits, progress=progress)
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, lambda number, frame: engine.stop(f"received {signal.Signals(number).name}"))
        try:
            progress.update(0, text="counting")
            total = engine.count()
            if module.check_mode:
                module.exit_json(changed=False, report={"total": total},
                                 summary=f"would ask for {total} URLs and cache what is not cached")
            progress.update(0, total=total, text="")
            report = engine.run(total).as_dict()
        except WarmError as error:
            module.fail_json(msg=str(error))
        finally:
            transport.close()
    result = {"changed": report["added"] > 0, "report": report, "summary": summary(report)}
    text = problem(report, parameters["minimum_coverage"])
    if text:
        module.fail_json(msg=text, **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
