# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The policies of the image servers' drivers: what is wrong with one, and what all of a site make together.

A policy is `roles/image_server_<driver>/meta/policy.yml`; docs/drivers.md says what its keys mean. Nothing here knows a
driver by name.
- schema.py says what is wrong with a policy, and which two drivers could be asked for one path,
- prefixes.py says how the paths of a route begin,
- merge.py makes one policy of all, which the roles cache, cache_warm and verify read.
"""
