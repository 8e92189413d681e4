# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What is known here about nginx's cache, and stands nowhere else.

keys.py: under which key nginx keeps the answer to a path. zone_files.py: the file of a key, what is in it, and how large
nginx counts a zone. sizes.py: how large nginx is told to make each zone.
"""
