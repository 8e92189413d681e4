# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Asking the proxy from itself: what the tests of this scenario share."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

PROJECT = Path(__file__).parents[3]
PUBLIC, LOOPBACK, REFRESH = 443, 8081, 8082
# The public port of the second nginx of test_requests.py.
LABORATORY = 10443

# Sends {"requests": [{"path", "port", "tls", "method", "headers", "body", "pause_seconds"}], "parallel"} and prints what
# came back. The path goes out as it stands: an ordinary client would tidy up the hostile ones.
CLIENT = r"""
import concurrent.futures, hashlib, http.client, json, ssl, sys, time
job = json.loads(sys.argv[1])
context = ssl.create_default_context()
context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
def send(request):
    time.sleep(request.get("pause_seconds", 0))
    if request["tls"]:
        connection = http.client.HTTPSConnection("127.0.0.1", request["port"], timeout=60, context=context)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", request["port"], timeout=60)
    body = request.get("body", "").encode()
    connection.putrequest(request.get("method", "GET"), request["path"])
    for name, value in request.get("headers", {}).items():
        connection.putheader(name, value)
    if body:
        connection.putheader("Content-Length", str(len(body)))
    connection.endheaders(body)
    answer = connection.getresponse()
    body = answer.read()
    return {"status": answer.status, "headers": {k.lower(): v for k, v in answer.getheaders()}, "bytes": len(body),
            "checksum": hashlib.sha256(body).hexdigest(), "text": body[:20000].decode("latin-1")}
with concurrent.futures.ThreadPoolExecutor(job["parallel"]) as pool:
    print(json.dumps(list(pool.map(send, job["requests"]))))
"""


def ask_many(host, requests: list[dict], port: int = PUBLIC, parallel: int = 1) -> list[dict]:
    """The answers to requests, in their order; each goes to `port` unless it names one."""
    sent = [{"port": port, "tls": request.get("port", port) in (PUBLIC, LABORATORY), **request} for request in requests]
    job = json.dumps({"requests": sent, "parallel": parallel})
    return json.loads(host.check_output("python3 -c %s %s", CLIENT, job))


def ask(host, path: str, port: int = PUBLIC, **request) -> dict:
    """The answer to one request."""
    return ask_many(host, [{"path": path, **request}], port)[0]


def cache_status(answer: dict) -> str | None:
    """What the cache said about an answer."""
    return answer["headers"].get("x-cache-status")


def forget(host) -> None:
    """Empty the cache as a lost volume would; nginx fetches what it does not find."""
    host.check_output("find /var/cache/nginx -type f -delete")


def image_server_addresses(host) -> list[str]:
    """The addresses that nginx spreads its requests over."""
    return host.check_output(r"sed -nE 's/^ +server ([0-9.]+):.*/\1/p' /etc/nginx/nginx.conf").split()


def run_ansible(request, command: list[str], check: bool = True) -> str:
    """Output of one of Ansible's commands with the inventory of this test."""
    inventory = request.config.getoption("--ansible-inventory")
    done = subprocess.run(
        [*command, "--inventory", inventory],
        cwd=PROJECT,
        check=False,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert (done.returncode == 0) == check, done.stdout
    return done.stdout
