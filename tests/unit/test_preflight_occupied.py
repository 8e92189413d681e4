# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Servers that others use: what they wrote is not replaced, and a host is of one site only."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from plugins.module_utils.preflight import occupied
from plugins.module_utils.preflight.ports import Listener, Program, problems

NGINX = {"path": "/etc/nginx", "feature": "cache", "takeover": False}
PACKAGED = "worker_processes auto;\n"
LISTING = f""" /etc/nginx/nginx.conf {hashlib.md5(PACKAGED.encode()).hexdigest()}
 /etc/nginx/sites-available/default {hashlib.md5(b"default").hexdigest()}
 /etc/nginx/gone.conf {"0" * 32} obsolete

 /etc/other.conf newconffile
"""
PRISTINE = occupied.conffiles(LISTING)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A host on which somebody has installed nginx and changed nothing."""
    nginx = tmp_path / "etc/nginx"
    for directory in ("sites-available", "sites-enabled", "modules-available"):
        (nginx / directory).mkdir(parents=True)
    (nginx / "nginx.conf").write_text(PACKAGED)
    (nginx / "sites-available/default").write_text("default")
    (nginx / "sites-enabled/default").symlink_to("/etc/nginx/sites-available/default")
    (nginx / "modules-enabled").symlink_to("modules-available")
    return tmp_path


def told(root: Path, **changes: object) -> list[str]:
    return occupied.problems([{**NGINX, **changes}], "idr127", PRISTINE, str(root))


def test_the_listing_of_dpkg_is_read():
    assert set(PRISTINE) == {"/etc/nginx/nginx.conf", "/etc/nginx/sites-available/default", "/etc/nginx/gone.conf"}


def test_what_packages_wrote_may_be_replaced(root):
    assert told(root) == []
    assert told(root, path="/etc/postgresql") == []


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("nginx.conf", None),
        ("sites-available/wiki", None),
        ("sites-enabled/wiki", "/srv/wiki/nginx.conf"),
        ("sites-enabled/gone", "../sites-available/gone"),
        ("gone.conf", None),
    ],
)
def test_what_others_wrote_is_named(root, path, link):
    file = root / "etc/nginx" / path
    if link:
        file.symlink_to(link)
    else:
        file.write_text("somebody's")
    assert told(root) == [
        f"/etc/nginx is in use by others (/etc/nginx/{path}), and the site would replace it; move it away, or write "
        "site.static.takeover: [/etc/nginx] to have it replaced (a copy stays at /etc/nginx.before-imaging-repository)"
    ]
    assert told(root, takeover=True) == []
    # What the site has written since is its own.
    (root / "var/lib/imaging-repository").mkdir(parents=True)
    assert told(root) == []


def test_many_files_are_not_all_named(root):
    for number in range(9):
        (root / f"etc/nginx/{number}.conf").write_text("x")
    assert "/etc/nginx/3.conf, ...)" in told(root)[0]


def test_a_host_of_another_site_is_refused(root):
    stamp = root / occupied.STAMP.lstrip("/")
    stamp.parent.mkdir(parents=True)
    stamp.write_text("idr126\n")
    assert told(root) == [
        "is a host of the site idr126; choose another server, or remove that site from it and then the file "
        "/var/lib/imaging-repository/site"
    ]
    stamp.write_text("idr127\n")
    assert told(root) == []


def test_before_a_site_has_begun_a_program_of_its_name_is_anothers():
    wanted = [{"port": 5432, "description": "PostgreSQL", "programs": ["postgres"], "feature": "database"}]
    listening, programs = [Listener("tcp", "0.0.0.0", 5432, "1")], {"1": Program("postgres", 7, "x.service")}
    entry = {"path": "/etc/postgresql", "feature": "database", "takeover": False}
    assert problems(wanted, listening, programs, occupied.strangers([entry], begun=True)) == []
    assert problems(wanted, listening, programs, occupied.strangers([{**entry, "takeover": True}], begun=False)) == []
    (line,) = problems(wanted, listening, programs, occupied.strangers([entry], begun=False))
    assert line.startswith("port 5432 is in use by postgres (pid 7, x.service)")
