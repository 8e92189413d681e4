# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Hit ratio and latency of the cache, from nginx's access log; installed by role cache as `cache-metrics`.

Only what visitors asked for on the public ports counts: warming and refreshing do not. log.py reads the log, collect.py
counts for Prometheus, stats.py reports for people, command.py is the command.
"""
