# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Fills the cache of a site ahead of its visitors; installed by role cache_warm as `cache-warm`.

What knows what:
- sources.py which pages there are, keys.py under which key nginx keeps one, zones.py what is in its files,
- engine.py what is fetched when and what an answer means, transport.py how it is fetched, pace.py how hard it presses,
- journal.py what is finished, so that a kill costs seconds,
- report.py what came of it, status.py how far it is, configuration.py what was asked for, command.py the commands.
Nothing here imports from outside the package but the standard library and pycurl.
"""
