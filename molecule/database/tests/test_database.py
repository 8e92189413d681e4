# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""PostgreSQL: on its volume, tuned, closed to everybody but the image servers, and the reader cannot write."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest
import testinfra

testinfra_hosts = ["ansible://database"]
REPOSITORY = Path(__file__).parents[3]
INVENTORY = str(REPOSITORY / "molecule/inventory")

# Asks to log in and prints the server's answer: R (go on with the password) or its refusal. With an authority it speaks TLS
# (https://www.postgresql.org/docs/17/protocol-flow.html#PROTOCOL-FLOW-SSL) and demands a certificate for the address.
ASK = """
import socket, ssl, struct, sys
parameters = f'user\\0{sys.argv[2]}\\0database\\0{sys.argv[3]}\\0\\0'.encode()
with socket.create_connection((sys.argv[1], 5432), timeout=5) as server:
    if len(sys.argv) > 4:
        server.sendall(struct.pack('!ii', 8, 80877103))
        assert server.recv(1) == b'S'
        server = ssl.create_default_context(cadata=sys.argv[4]).wrap_socket(server, server_hostname=sys.argv[1])
    server.sendall(struct.pack('!ii', 8 + len(parameters), 196608) + parameters)
    answer = server.recv(1000)
print('R' if answer[:1] == b'R' else answer.decode(errors='replace').replace('\\0', ' '))
"""


def sql(host, statement: str, database: str = "image_server"):
    """Run SQL as postgres, who may log in on the host itself."""
    return host.run("runuser -u postgres -- psql --no-psqlrc -tA -v ON_ERROR_STOP=1 -d %s -c %s", database, statement)


def answer(database, group: str, role: str, name: str = "image_server", encrypted: bool = True) -> str:
    """What the database says to a role that comes from a host of the group."""
    state = Path(database.ansible.get_variables()["site_state_directory"])
    authority = [(state / "ca/ca.crt").read_text()] if encrypted else []
    host = testinfra.get_hosts([f"ansible://{group}"], ansible_inventory=INVENTORY)[0]
    address = database.ansible.get_variables()["host_address"]
    return host.check_output("python3 -c %s %s %s %s" + " %s" * encrypted, ASK, address, role, name, *authority)


def test_the_cluster_is_on_its_volume_with_checksums(host):
    assert host.mount_point("/var/lib/postgresql").exists
    assert sql(host, "SHOW data_directory").stdout.strip() == "/var/lib/postgresql/17/main"
    assert sql(host, "SHOW data_checksums").stdout.strip() == "on"
    assert sql(host, "SHOW server_encoding").stdout.strip() == "UTF8"


def test_the_server_is_tuned_for_its_host_and_no_setting_waits_for_a_restart(host):
    memory = host.ansible.get_variables()["host_memory_mib"]
    assert sql(
        host, "SELECT setting::bigint / 128 FROM pg_settings WHERE name = 'shared_buffers'"
    ).stdout.strip() == str(memory // 4)
    assert sql(host, "SELECT count(*) FROM pg_settings WHERE pending_restart").stdout.strip() == "0"


@pytest.mark.parametrize(
    "group, role", [("image_server_primary", "image_server_owner"), ("image_server_replica", "image_server_reader")]
)
def test_image_servers_may_log_in_with_their_role(host, group, role):
    assert answer(host, group, role) == "R"


@pytest.mark.parametrize(
    "group, role, name",
    [
        ("image_server_primary", "image_server_reader", "image_server"),
        ("image_server_replica", "image_server_owner", "image_server"),
        ("image_server_replica", "image_server_reader", "postgres"),
        ("image_server_primary", "postgres", "image_server"),
        ("cache", "image_server_reader", "image_server"),
        ("cache", "image_server_owner", "image_server"),
        ("database", "image_server_owner", "image_server"),
    ],
)
def test_everybody_else_is_rejected(host, group, role, name):
    assert "no pg_hba.conf entry" in answer(host, group, role, name)


def test_nobody_logs_in_unencrypted(host):
    said = answer(host, "image_server_replica", "image_server_reader", encrypted=False)
    assert "no pg_hba.conf entry" in said and "no encryption" in said
    assert host.file("/var/lib/postgresql/tls/server.key").mode == 0o600


def test_passwords_are_kept_as_scram(host):
    assert (
        sql(
            host,
            "SELECT bool_and(rolpassword LIKE 'SCRAM-SHA-256$%') FROM pg_authid WHERE rolname LIKE 'image_server_%'",
        ).stdout.strip()
        == "t"
    )


def test_the_reader_reads_tables_to_come_and_cannot_write(host):
    try:
        assert sql(host, "SET ROLE image_server_owner; CREATE TABLE molecule AS SELECT 1 AS one").rc == 0
        reader = "SET ROLE image_server_reader; SET default_transaction_read_only = off; "
        assert sql(host, reader + "SELECT one FROM molecule").stdout.split()[-1] == "1"
        for statement in (
            "INSERT INTO molecule VALUES (2)",
            "DELETE FROM molecule",
            "DROP TABLE molecule",
            "CREATE TABLE other (one int)",
            "SELECT * FROM pg_authid",
            "CREATE TEMPORARY TABLE other (one int)",
            "SELECT lo_create(0)",
            "SELECT lo_from_bytea(0, 'x')",
            "SET temp_file_limit = -1",
        ):
            refused = sql(host, reader + statement)
            assert refused.rc != 0
            assert "permission denied" in refused.stderr or "must be owner" in refused.stderr
        assert (
            sql(
                host,
                "SELECT setconfig FROM pg_db_role_setting JOIN pg_roles ON oid = setrole "
                "WHERE rolname = 'image_server_reader'",
            ).stdout.count("default_transaction_read_only=on")
            == 1
        )
    finally:
        sql(host, "DROP TABLE IF EXISTS molecule")


def test_searches_within_words_have_their_index(host):
    assert sql(host, "SELECT similarity('orthanc', 'orthank') > 0.5").stdout.strip() == "t"


def test_no_password_is_in_a_log(host):
    # A statement that fails is logged: the logs are there, and what is looked for would be found.
    assert sql(host, "SELECT 'molecule was here' FROM nowhere").rc != 0
    words = "password '|SCRAM-SHA-256"
    for logs in ("cat /var/log/postgresql/*.log", "journalctl --no-pager --all"):
        found = host.run(f"{logs} | grep -ciE %s", words)
        assert (found.rc, found.stdout.strip()) == (1, "0"), logs
    assert int(host.check_output("cat /var/log/postgresql/*.log | grep -c %s", "molecule was here")) > 0
    assert int(host.check_output("journalctl --no-pager --all | grep -ci %s", "postgresql")) > 0


@pytest.mark.parametrize(
    "remains, message",
    [
        ("15/main/PG_VERSION", "a cluster of PostgreSQL 15"),
        ("15/main/PG_VERSION", "The verb 'upgrade'"),
        ("14/main/PG_VERSION", "14/main/PG_VERSION, but this release runs 17/main"),
        ("17/main/data", "holds files but no cluster"),
    ],
)
def test_nothing_is_initialised_over_what_is_there(host, remains, message):
    script = (REPOSITORY / "roles/database/files/initialise").read_text()
    # In a directory of its own, so that the test cannot harm the cluster; without a mount unit of its own.
    directory = host.check_output("mktemp --directory")
    script = script.replace("volume=/var/lib/postgresql", f"volume={directory}").replace("var-lib-postgresql", "none")
    try:
        host.check_output("mkdir -p %s", str(Path(directory, remains).parent))
        host.check_output("touch %s", str(Path(directory, remains)))
        before = host.check_output("find %s", directory)
        refused = host.run("sh -c %s", script)
        assert refused.rc == 1
        assert message in refused.stderr
        assert "nothing was written" in refused.stderr
        assert host.check_output("find %s", directory) == before
    finally:
        host.check_output("rm -r %s", directory)


def test_a_killed_server_comes_back(host):
    host.check_output("systemctl kill --signal=KILL --kill-who=main postgresql@17-main.service")
    for _ in range(30):
        time.sleep(1)
        if sql(host, "SELECT 1").rc == 0:
            break
    assert sql(host, "SELECT 1").stdout.strip() == "1"


def test_the_service_is_in_a_sandbox(host):
    overall = host.check_output("systemd-analyze security --no-pager postgresql@17-main.service").splitlines()[-1]
    assert float(re.search(r"[0-9.]+", overall.split(":")[1])[0]) <= 4.0, overall
