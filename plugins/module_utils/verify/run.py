# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Commands and requests of checks on a host."""

from __future__ import annotations

import base64
import subprocess
import urllib.error
import urllib.request
from collections.abc import Sequence

from .lines import CheckFailed


def run(arguments: Sequence[str], remedy: str, timeout_seconds: float = 5.0) -> str:
    """Return what a command prints, or raise CheckFailed with what it complained about."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout_seconds, check=False, cwd="/")
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"{arguments[0]} did not answer within {timeout_seconds:.0f} s", remedy) from None
    except OSError as error:
        raise CheckFailed(f"{arguments[0]}: {error.strerror}", remedy) from None
    if done.returncode != 0:
        text = (done.stderr or done.stdout).strip().replace("\n", " ")
        raise CheckFailed(text or f"exit status {done.returncode}", remedy)
    return done.stdout


def fetch(
    url: str,
    user: str | None = None,
    password: str | None = None,
    headers: dict[str, str] | None = None,
    timeout_seconds: float = 5.0,
) -> tuple[int, bytes]:
    """Return (status, body) of a GET; status 0 and the error's text if there is no answer. No proxy is asked."""
    request = urllib.request.Request(url, headers={"Accept": "application/json", **(headers or {})})
    if user:
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout_seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError as error:
        return 0, str(getattr(error, "reason", error)).encode()
