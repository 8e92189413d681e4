# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Fills the cache of a site ahead of its visitors; installed by role cache as `cache-warm`.

What knows what:
- sources.py which pages there are (stream.py, lines.py, access_log.py; source_rules.py what an entry may hold; paging.py
  how a list is asked for), count.py how many,
- engine.py the loop: feed.py what needs a request, queue.py what waits, answers.py and judge.py what an answer means,
  ledger.py what became of a page, proof.py whether it is true (sample.py), pace.py how hard it presses,
- transport.py how a page is fetched, workers.py the same in several processes,
- journal.py what is finished, so that a kill costs seconds,
- report.py what came of it, status.py how far it is, configuration.py and checks.py what was asked for, command.py the
  commands.
Nothing here imports anything but the standard library, pycurl, prometheus_client and the modules beside this package that
roles/cache/tasks/programs.yml installs with it.
"""
