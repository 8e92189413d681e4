# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What a site needs of an OpenStack cloud, what is there, the plan between the two, and its writes.

What knows what:
- cloud.py talks to the cloud, refusals.py says what to do where that refuses, work.py carries out writes that need each other,
- shapes.py what all of the rest speaks of,
- wanted.py what the site needs, found.py what of the cloud is the site's,
- plan.py, plan_hosts.py, address.py the steps between the two, removal.py those of a site that shall be gone,
- problems.py, quotas.py what keeps the steps from being carried out,
- provision.py with network.py, servers.py, volumes.py writes the plan, removing.py that of a removal,
- exchange.py moves a public address, image.py and offer.py serve the modules of their names.
"""
