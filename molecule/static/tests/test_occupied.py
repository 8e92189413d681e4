# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Servers that somebody else uses: refused by name, taken over on purpose with a copy; and a server of another site."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from test_static import BASTION, SITE, ansible, inside, run

testinfra_hosts = ["local://"]

PROXY = f"{SITE['name']}-{BASTION}"
# By these a host knows that the site has begun on it.
OWN = ("/var/lib/imaging-repository", "/etc/imaging-repository")


@pytest.fixture
def strange() -> Iterator[None]:
    """The proxy as its administrator had it before this site: with a web server of his."""
    inside(BASTION, "; ".join(f"mv {path} {path}.aside" for path in OWN))
    try:
        yield
    finally:
        inside(BASTION, "; ".join(f"rm -rf {path}; mv {path}.aside {path}" for path in OWN))


def with_takeover(directory: Path, *paths: str) -> str:
    """The argument for the site with these paths to take over."""
    file = directory / "site.yml"
    file.write_text(yaml.safe_dump({"site": {**SITE, "static": {**SITE["static"], "takeover": list(paths)}}}))
    return f"@{file}"


def test_an_occupied_server_is_refused_by_name_beside_empty_ones(strange):
    done = ansible("ansible-playbook", "playbooks/validate.yml")
    print(done.stdout)
    assert done.returncode != 0
    for sentence in (
        f"{BASTION}: /etc/nginx is in use by others (/etc/nginx/",
        "site.static.takeover: [/etc/nginx] to have it replaced (a copy stays at /etc/nginx.before-imaging-repository)",
        f"{BASTION}: port {SITE['public']['https_port']} is in use by nginx",
        "nothing was written",
    ):
        assert sentence in done.stdout
    assert not [line for line in done.stdout.splitlines() if line.startswith(("database:", "primary:", "replica:"))]


def test_what_is_taken_over_stays_as_a_copy(strange, tmp_path):
    takeover = with_takeover(tmp_path, "/etc/nginx")
    looked = ansible("ansible-playbook", "playbooks/preflight.yml", "-e", takeover)
    assert looked.returncode == 0, looked.stdout
    before = inside(BASTION, "cd /etc/nginx && find . -type f | sort | xargs sha256sum")
    try:
        for changes in ("changed=1", "changed=0"):
            done = ansible("ansible-playbook", "playbooks/configure/base.yml", "--limit", PROXY, "-e", takeover)
            assert done.returncode == 0, done.stdout
            if changes == "changed=0":
                assert changes in done.stdout, done.stdout
            kept = inside(BASTION, "cd /etc/nginx.before-imaging-repository && find . -type f | sort | xargs sha256sum")
            assert kept == before
        assert inside(BASTION, "cat /var/lib/imaging-repository/site").strip() == SITE["name"]
    finally:
        inside(BASTION, "rm -rf /etc/nginx.before-imaging-repository")


def test_a_server_of_another_site_is_refused():
    inside(
        "replica", "cp -p /var/lib/imaging-repository/site /root/site; echo idr126 >/var/lib/imaging-repository/site"
    )
    try:
        done = ansible("ansible-playbook", "playbooks/preflight.yml")
    finally:
        inside("replica", "mv /root/site /var/lib/imaging-repository/site")
    assert done.returncode != 0 and "replica: is a host of the site idr126; choose another server" in done.stdout


def test_rules_of_ssh_that_would_keep_replicas_out_are_said():
    rules = "/etc/ssh/sshd_config.d/allow.conf"
    inside("primary", f"echo 'AllowUsers {SITE['static']['user']}' >{rules}")
    try:
        done = ansible("ansible-playbook", "playbooks/preflight.yml", "--limit", f"localhost,{SITE['name']}-primary")
    finally:
        inside("primary", f"rm {rules}")
    assert f"primary: sshd lets in only the users {SITE['static']['user']}" in done.stdout, done.stdout


def test_servers_without_a_way_out_got_their_packages_through_the_controller():
    for host in (BASTION, "replica"):
        assert run("docker", "exec", f"{SITE['name']}-{host}", "ip", "route", "get", "192.0.2.1").returncode != 0
        settings = inside(host, "apt-config dump Acquire::http::Proxy")
        assert settings.strip() == 'Acquire::http::Proxy "socks5h://127.0.0.1:3142";'
