# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The volumes of a host: what is found on them, what is to happen to them, and how it happens.

model, signatures, units and plan are pure logic without Ansible and without input or output. host reads, work writes.
"""
