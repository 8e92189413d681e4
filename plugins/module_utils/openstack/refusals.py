# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What to do where an OpenStack service refuses a request: by its own words first, by the status of HTTP last.

The words are those of nova, neutron, cinder and glance; one status stands for a missing role as well as for a flavor that
a policy forbids.
"""

from __future__ import annotations

import re

AGAIN = "run this again: it goes on where it stopped"
# The first whose words are in the answer.
REMEDIES = [
    (re.compile(words, re.IGNORECASE), remedy)
    for words, remedy in (
        (
            r"quota|limit ?exceeded|over.?limit",
            f"ask the cloud for a higher quota, or make the site smaller, then {AGAIN}",
        ),
        (r"zero disk|volume-backed", "the flavor has no disk: write boot_volume_gib for the host or in site.openstack"),
        (
            r"availability.zone",
            "write a zone that compute and block storage both have in site.openstack.availability_zone "
            "(openstack availability zone list)",
        ),
        (
            r"not reachable from subnet",
            "write a floating IP of the network that site.openstack.network.external names, to which the router leads",
        ),
        (r"too small|smaller than", "choose a larger flavor, or write a larger boot_volume_gib"),
        (
            r"no more ip addresses|no more free|ipaddressgenerationfailure",
            "the network has no address left: ask the cloud for more, or name another network",
        ),
        (
            r"deactivated|image \S* ?is not active",
            "name another image in site.openstack.image, or ask who deactivated it",
        ),
        (
            r"disallowed by policy|policy does ?(n.t|not) allow",
            "the account needs a role in the project that may do this, usually member",
        ),
    )
]
BY_STATUS = {
    401: "check the user, the password or the application credential in clouds.yaml, they may have expired",
    403: "the account is known and this is forbidden to it: ask the cloud's operators by what",
    404: "it was removed meanwhile, is not shared with this project, or clouds.yaml names another address",
    409: "run this again when what it names has come to rest",
    413: REMEDIES[0][1],
}
WORDS = {
    401: "the login was refused: ",
    403: "not allowed: ",
    404: "not found: ",
    409: "conflict: ",
}


def remedy(status: int, words: str) -> str:
    """Return what to do about an answer of 400 or more; "" where nobody knows."""
    if status != 401:
        for known, sentence in REMEDIES:
            if known.search(words):
                return sentence
    return BY_STATUS.get(status, "")


def sentence(status: int, words: str, place: str) -> str:
    """Return what was said, what to do, and the request by which the cloud's operators find it in their logs."""
    said = f"{WORDS.get(status, f'answers {status}: ')}{words or 'no reason given'}"
    return f"{'; '.join(filter(None, (said, remedy(status, words))))} ({place})"
