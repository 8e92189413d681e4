#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module cache_entries."""

from __future__ import annotations

DOCUMENTATION = r"""
module: cache_entries
short_description: Fetch entries of nginx's cache anew, or remove them from disk
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Finds the entries of the cache that are meant, by the keys that nginx has written into their files, on the host of
    the cache.
  - Refreshing asks for each through the port that rewrites; an entry of which the image servers say anything but 200
    stays as it is, and the task fails with the reasons in the end.
  - Purging removes the files of entries, one by one, and nothing else. Only files below the directories of the zones
    are looked at, links are not followed, and a file counts as an entry only when it is exactly as nginx 1.26 writes
    it. Killed half-way, the same task does the rest.
  - Browsers keep what they have for some minutes more.
options:
  state:
    description: Whether to fetch the entries anew or to remove them.
    type: str
    choices: [refreshed, purged]
    required: true
  what:
    description:
      - A URL or a path with its query, which is one page; a refresh fetches it although it is not cached.
      - Or C(~) and a regular expression of Python, which is searched in the path and arguments of each entry, such as
        C(~^/tiles/).
      - Or the id of a study, which is every entry that names the study, one of its series or one of its images in its
        path. A study that the image servers no longer have is known by what is cached of it.
    type: str
    required: true
  zones:
    description: The zones of the cache, each with C(name) and C(directory).
    type: list
    elements: dict
    required: true
  routes:
    description: The routes of the cache policy.
    type: list
    elements: dict
    required: true
  study_members:
    description:
      - What belongs to a study, level by level. The page C(path) of each id of the level before, with C({id}), lists
        the ids of this level under C(field).
    type: list
    elements: dict
    default: []
  url:
    description: Where the cache answers on its own host.
    type: str
    default: http://127.0.0.1:8081
  refresh_url:
    description: Where the cache fetches an entry anew.
    type: str
    default: http://127.0.0.1:8082
  concurrency:
    description: How many entries are fetched at a time.
    type: int
    default: 8
  progress_file:
    description: Path on the host of the file that tells how far the run is; made up by default.
    type: path
attributes:
  check_mode:
    support: full
    description: Names the entries and changes none. Ids of a study are taken from the cache where it has them.
  diff_mode:
    support: full
    description: The keys of what is purged, or that differ from before; a thousand at most.
"""

EXAMPLES = r"""
- name: Remove everything that is cached of a study
  imaging.repository.cache_entries:
    state: purged
    what: f689ddd2-662f8fe1-8b18180d-ec2a2cee-937917af
    zones: "{{ cache_zones }}"
    routes: "{{ cache_policy.routes }}"
    study_members: "{{ cache_policy.study_members }}"

- name: Fetch one thumbnail anew
  imaging.repository.cache_entries:
    state: refreshed
    what: /pictures/f689ddd2?width=256
    zones: "{{ cache_zones }}"
    routes: "{{ cache_policy.routes }}"
"""

RETURN = r"""
summary:
  description: What came of it in one line.
  returned: always
  type: str
  sample: 12 entries fetched anew, 3 differ from before
entries:
  description: How many entries were meant.
  returned: always
  type: int
pages:
  description: What was purged, or what differs from before, by path and arguments; a thousand at most.
  returned: always
  type: list
  elements: str
by_zone:
  description: How many entries and bytes were purged from each zone.
  returned: when purged
  type: dict
failures:
  description: Pages that the image servers did not deliver, by their status.
  returned: when refreshed
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.cache_entries import Cache, EntriesError, pages, purge, refresh, selection_of
from ..module_utils.nginx_cache.keys import Routes
from ..module_utils.progress import Progress

MOST_PAGES = 1000


def purged(module: AnsibleModule, selection, progress: Progress) -> dict:
    """Return the result of a purge."""
    entries = purge(
        module.params["zones"],
        selection,
        pretend=module.check_mode,
        seen=lambda number: progress.update(number, text="looked at"),
    )
    by_zone: dict[str, dict[str, int]] = {}
    for entry in entries:
        zone = by_zone.setdefault(entry.zone, {"entries": 0, "bytes": 0})
        zone["entries"] += 1
        zone["bytes"] += entry.size_bytes
    keys = sorted(entry.key for entry in entries)
    mib = sum(entry.size_bytes for entry in entries) / (1 << 20)
    done = "would be purged" if module.check_mode else "purged"
    return {
        "changed": bool(entries),
        "entries": len(entries),
        "pages": keys[:MOST_PAGES],
        "by_zone": by_zone,
        "summary": f"{len(entries)} entries, {mib:.1f} MiB, {done}",
        "diff": {"before": "".join(f"{key}\n" for key in keys[:MOST_PAGES]), "after": ""},
    }


def refreshed(module: AnsibleModule, selection, routes: Routes, cache: Cache, progress: Progress) -> dict:
    """Return the result of a refresh."""
    wanted = pages(module.params["zones"], selection, routes)
    if module.check_mode:
        keys = [path for path, _ in wanted]
        return {
            "changed": bool(keys),
            "entries": len(keys),
            "pages": sorted(keys)[:MOST_PAGES],
            "failures": {},
            "summary": f"{len(keys)} entries would be fetched anew",
        }
    result = refresh(wanted, cache, concurrency=module.params["concurrency"], done=progress.update)
    failed = sum(map(len, result.failures.values()))
    keys = sorted(result.changed)[:MOST_PAGES]
    return {
        "changed": bool(result.changed),
        "entries": result.pages,
        "pages": keys,
        "failures": result.failures,
        "summary": f"{result.pages - failed} entries fetched anew, {len(result.changed)} differ from before"
        + (f", {failed} failed" if failed else ""),
        "diff": {"before": "", "after": "".join(f"{key}\n" for key in keys)},
    }


def problem(failures: dict) -> str:
    """Return why a refresh is a failure; an empty string when it is none."""
    return "; ".join(f"{len(paths)} x status {status}, e.g. {paths[0]}" for status, paths in sorted(failures.items()))


def main() -> None:
    """Select, then purge or refresh."""
    module = AnsibleModule(
        argument_spec={
            "state": {"type": "str", "required": True, "choices": ["refreshed", "purged"]},
            "what": {"type": "str", "required": True},
            "zones": {"type": "list", "elements": "dict", "required": True},
            "routes": {"type": "list", "elements": "dict", "required": True},
            "study_members": {"type": "list", "elements": "dict", "default": []},
            "url": {"type": "str", "default": "http://127.0.0.1:8081"},
            "refresh_url": {"type": "str", "default": "http://127.0.0.1:8082"},
            "concurrency": {"type": "int", "default": 8},
            "progress_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    routes = Routes(parameters["routes"])
    cache = Cache(parameters["url"], parameters["refresh_url"])
    try:
        selection = selection_of(
            parameters["what"], routes, parameters["study_members"], cache, look_only=module.check_mode
        )
        with Progress(parameters["progress_file"]) as progress:
            result = (
                purged(module, selection, progress)
                if parameters["state"] == "purged"
                else refreshed(module, selection, routes, cache, progress)
            )
    except EntriesError as error:
        module.fail_json(msg=str(error))
    if result.get("failures"):
        module.fail_json(
            msg=f"{result['summary']}: {problem(result['failures'])}; what failed is cached as before. "
            "See to the image servers, or purge what is gone",
            **result,
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
