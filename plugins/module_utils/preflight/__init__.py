# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Questions to a host before anything is written on any: each part returns sentences `what is wrong; what to do`.

- release.py: the Debian release,
- users.py: fixed numbers of users and groups,
- system.py: systemd, memory, room and clock,
- occupied.py: files of others, and hosts of another site,
- ports.py: who listens on the ports of the site's services,
- packages.py: packages that cannot be installed.

Each reads the system through a directory or a function that a test can give. Nothing here knows a feature.
"""
