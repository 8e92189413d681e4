# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Hosts of a site as systemd containers on this machine, and their volumes as files on loop devices.

plan.py decides what is to be done, devices.py makes volumes, engine.py talks to the Docker engine, site.py puts them
together for the module docker_site.
"""
