# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A PostgreSQL database and the role that must only read it."""

from __future__ import annotations

import json

from .lines import CheckFailed
from .run import run

# Rights of any kind to write, over every table and sequence, and whether the role is more than a role that reads.
READER_QUERY = """
SELECT json_build_object(
  'exists', EXISTS (SELECT FROM pg_roles WHERE rolname = '{reader}'),
  'tables', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'),
  'unreadable', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r
                 WHERE r.rolname = '{reader}' AND c.relkind IN ('r', 'p') AND n.nspname = 'public'
                 AND NOT has_table_privilege(r.oid, c.oid, 'SELECT')),
  'writable', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r
               WHERE r.rolname = '{reader}' AND c.relkind IN ('r', 'p', 'v') AND n.nspname = 'public'
               AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')),
  'creates', (SELECT count(*) FROM pg_namespace n, pg_roles r
              WHERE r.rolname = '{reader}' AND n.nspname NOT LIKE 'pg_%'
              AND has_schema_privilege(r.oid, n.oid, 'CREATE')),
  'super', (SELECT count(*) FROM pg_roles WHERE rolname = '{reader}'
            AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication)))
"""
SIZE_QUERY = (
    "SELECT split_part(current_setting('server_version'), ' ', 1) || ', '"
    " || pg_size_pretty(pg_database_size(current_database()))"
)
PSQL = [
    "runuser",
    "--user",
    "postgres",
    "--",
    "psql",
    "--no-psqlrc",
    "--tuples-only",
    "--no-align",
    "--set=ON_ERROR_STOP=1",
]


def psql(database: str, query: str, remedy: str) -> str:
    """Return what a query answers."""
    return run([*PSQL, f"--dbname={database}", f"--command={query}"], remedy).strip()


def check_database(host: str, database: str) -> str:
    """Return version and size of a database."""
    return "PostgreSQL " + psql(database, SIZE_QUERY, f"systemctl status 'postgresql@*' on {host}")


def check_reader(database: str, reader: str) -> str:
    """Return what a role may read, if it may not do more than that."""
    remedy = "run configure.yml, which sets the rights of the database's roles"
    rights = json.loads(psql(database, READER_QUERY.format(reader=reader.replace("'", "''")), remedy))
    if not rights["exists"]:
        raise CheckFailed(f"the role {reader} does not exist", remedy)
    wrong = [
        text.format(rights[key])
        for key, text in (
            ("writable", "may write to {} tables"),
            ("creates", "may create in {} schemas"),
            ("unreadable", "may not read {} tables"),
            ("super", "has administrator's rights"),
        )
        if rights[key]
    ]
    if wrong:
        raise CheckFailed(f"{reader} " + ", ".join(wrong), remedy)
    return f"{reader} reads {rights['tables']} tables and writes none"
