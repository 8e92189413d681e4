# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the tests of this scenario begin with."""

from __future__ import annotations

import json
import time

import pytest
from proxy import LOOPBACK, ask, ask_many, forget


@pytest.fixture(scope="module")
def instances(host) -> list[str]:
    """Ids of images that can be drawn, at least three of them."""
    # The image servers may still be starting.
    for _ in range(30):
        answer = ask(host, "/instances?since=0&limit=60", LOOPBACK)
        if answer["status"] == 200:
            break
        time.sleep(2)
    ids = json.loads(answer["text"])
    answers = ask_many(host, [{"path": f"/instances/{one}/rendered?width=512"} for one in ids])
    drawn = [one for one, answer in zip(ids, answers, strict=False) if answer["status"] == 200]
    assert len(drawn) >= 3, f"of {len(ids)} images only {len(drawn)} can be drawn"
    return drawn


@pytest.fixture
def thumbnail(host, instances) -> str:
    """The path of a thumbnail that is not in the cache."""
    forget(host)
    return f"/instances/{instances[0]}/rendered"
