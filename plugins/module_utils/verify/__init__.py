# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The verb verify: lines of a table, and the checks whose modules features share.

- lines.py makes lines and the table of them,
- policy.py says what the policies of the image servers tell a check,
- run.py runs commands and asks URLs on a host,
- volumes.py, share.py, http.py, postgresql.py and cache.py check one host from inside,
- public.py checks the site from outside, with tls.py.
"""
