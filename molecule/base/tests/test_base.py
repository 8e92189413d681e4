# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Every host keeps its journal."""

from __future__ import annotations

testinfra_hosts = ["ansible://site"]


def test_journal_survives_a_reboot(host) -> None:
    host.run_expect([0], "logger imaging-repository-base-test && journalctl --sync")
    assert (
        host.check_output(
            "journalctl --directory=/var/log/journal --quiet --lines=1 --output=cat "
            "SYSLOG_IDENTIFIER=root + _COMM=logger"
        )
        == "imaging-repository-base-test"
    )


def test_journal_has_a_size(host) -> None:
    started = host.check_output(
        'journalctl --unit systemd-journald --quiet --output=cat --lines=1 --grep "System Journal"'
    )
    assert "max 256M," in started
