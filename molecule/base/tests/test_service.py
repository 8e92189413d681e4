# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The module service on real systemd. One host is enough: all are alike."""

from __future__ import annotations

import json

import pytest

testinfra_hosts = ["ansible://database"]

UNIT = """
[Service]
ExecStart=/bin/sh -c 'cat /etc/imaging-repository-test >/run/imaging-repository-test; exec sleep infinity'
ExecReload=/bin/sh -c 'cat /etc/imaging-repository-test >/run/imaging-repository-test'
"""


UNIT_FILE = "/etc/systemd/system/imaging-repository-test.service"


@pytest.fixture
def steps(host):
    """Ask the module service for a unit that reads a file; returns what it did."""
    host.check_output("printf '%%s' %s >/etc/systemd/system/imaging-repository-test.service", UNIT)
    host.check_output("echo one >/etc/imaging-repository-test")

    def ask(check: bool = False, **options) -> list[str]:
        arguments = {"name": "imaging-repository-test.service", "state": "started", **options}
        return host.ansible("imaging.repository.service", json.dumps(arguments), check=check)["steps"]

    yield ask
    host.check_output(
        "systemctl stop imaging-repository-test.service; rm -rf /etc/systemd/system/imaging-repository-test.service*"
        " /etc/imaging-repository-test /run/imaging-repository/services/imaging-repository-test.service.json;"
        " systemctl daemon-reload"
    )


@pytest.mark.parametrize("option, step", [("restart_for", "restart"), ("reload_for", "reload")])
def test_a_service_is_never_older_than_what_it_reads(host, steps, option, step) -> None:
    reads = {option: ["/etc/imaging-repository-t*"]}
    assert steps(**reads) == ["start"]
    assert steps(**reads) == []
    host.check_output("echo two >/etc/imaging-repository-test")
    assert steps(check=True, **reads) == [step]
    assert host.check_output("cat /run/imaging-repository-test") == "one"
    assert steps(**reads) == [step]
    assert host.check_output("cat /run/imaging-repository-test") == "two"
    assert steps(**reads) == []
    # Somebody else has restarted it since.
    host.check_output("echo three >/etc/imaging-repository-test; sleep 1")
    host.check_output("systemctl restart imaging-repository-test.service")
    assert steps(**reads) == []
    # Nobody has noted what it has read, and it is older.
    host.check_output(
        "echo four >/etc/imaging-repository-test; rm /run/imaging-repository/services/imaging-repository-test*"
    )
    assert steps(**reads) == [step]
    assert host.check_output("cat /run/imaging-repository-test") == "four"
    # The unit itself is another.
    host.check_output("echo '# changed' >>/etc/systemd/system/imaging-repository-test.service")
    assert steps(**reads) == ["daemon-reload", "restart"]
    # It has a drop-in that systemd does not know yet.
    host.check_output(f"mkdir {UNIT_FILE}.d && printf '[Service]\\nNice=1\\n' >{UNIT_FILE}.d/new.conf")
    assert steps(**reads) == ["daemon-reload", "restart"]
    assert steps(**reads) == []
