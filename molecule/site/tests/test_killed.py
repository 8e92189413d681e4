# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A run that was killed between a file and the restart of its service is made good by the next run, in every role."""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import pytest
import testinfra

REPOSITORY = Path(__file__).parents[3]
INVENTORY = REPOSITORY / "molecule/site/inventory"
PSQL = "runuser --user postgres -- psql --no-psqlrc --tuples-only --no-align --command "

# Role, new settings, the task of the restart, a host, and what succeeds only where the service runs with the settings.
CASES = {
    "journal": (
        "base",
        {"base_journal_max_size_mib": 300},
        "Let the journal know",
        "database",
        "journalctl --unit=systemd-journald --quiet --output=cat --grep='max 300M,'",
    ),
    "setting that needs a restart": (
        "database",
        {"database_max_connections": 190},
        "Run PostgreSQL",
        "database",
        PSQL + "'SHOW max_connections' | grep -x 190",
    ),
    "pg_hba.conf": (
        "database",
        {
            "database_max_connections": 190,
            "database_reader_addresses": "{{ groups['image_server_replica']"
            " | map('extract', hostvars, 'host_address') | list + ['192.0.2.1'] }}",
        },
        "Run PostgreSQL",
        "database",
        "grep -q 192.0.2.1 /etc/postgresql/17/main/pg_hba.conf && "
        + PSQL
        + "\"SELECT pg_conf_load_time() > modification FROM pg_stat_file('/etc/postgresql/17/main/pg_hba.conf')\""
        + " | grep -x t",
    ),
    "share": (
        "share",
        {"share_check_seconds": 4},
        "Mount the share",
        "image_server_replica",
        # Not the shell that looks for it.
        "pgrep --full 'sshf[s].*ServerAliveInterval=4'",
    ),
    "watch of the share": (
        "share",
        {"share_check_seconds": 5},
        "Watch the share",
        "image_server_replica",
        'test $(date +%s -d "$(systemctl show --property=ActiveEnterTimestamp --value share-watch.service)")'
        " -ge $(stat --format=%Z /usr/local/sbin/share) && grep -q 'sleep 5' /usr/local/sbin/share",
    ),
    "image server": (
        "image_server_orthanc",
        {"image_server_orthanc_http_threads": 47},
        "Run Orthanc",
        "image_server_replica",
        "test $(cat /proc/$(systemctl show --property=MainPID --value orthanc.service)/task/*/comm | grep -c civetweb-worker) = 47",
    ),
    "cache": (
        "cache",
        {"cache_browser_minutes": 11},
        "Run nginx",
        "cache",
        'python3 -c "import ssl, urllib.request as u; '
        "assert 'max-age=660' in u.urlopen('https://localhost/', context=ssl._create_unverified_context())"
        ".headers['Cache-Control']\"",
    ),
}


def play(playbook: str, settings: dict, kill_at: str = "") -> subprocess.CompletedProcess:
    """Run a playbook with settings; with `kill_at` until the task of this name begins."""
    return subprocess.run(
        [
            "ansible-playbook",
            f"--inventory={INVENTORY}",
            f"--extra-vars={json.dumps(settings)}",
            playbook,
        ],
        cwd=REPOSITORY,
        env=os.environ
        | {
            "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
            "ANSIBLE_CALLBACK_PLUGINS": str(Path(__file__).parent / "callback"),
            "KILL_AT": kill_at,
        },
        capture_output=True,
        text=True,
    )


@pytest.fixture(scope="module", autouse=True)
def settings_of_the_site():
    """Give the services the settings of the site back: other tests expect that a run changes nothing."""
    yield
    done = play("playbooks/configure.yml", {})
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("case", CASES)
def test_a_run_that_was_killed_before_the_restart_is_made_good(case):
    role, settings, task, group, proof = CASES[case]
    killed = play(f"molecule/{role}/converge.yml", settings, task)
    assert killed.returncode == -9, killed.stdout + killed.stderr
    hosts = testinfra.get_hosts([f"ansible://{group}"], ansible_inventory=str(INVENTORY))
    assert [host.run(proof).rc for host in hosts] != [0] * len(hosts), "the restart came before the kill"
    again = play(f"molecule/{role}/converge.yml", settings)
    assert again.returncode == 0, again.stdout + again.stderr
    assert [host.run(proof).rc for host in hosts] == [0] * len(hosts)
