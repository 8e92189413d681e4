# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Break the site on purpose: verify must fail with exactly the lines that are broken, and change nothing."""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import contextmanager
from pathlib import Path

import yaml

testinfra_hosts = ["local://"]

PROJECT = Path(__file__).parents[3]
PLAY = [str(Path(sys.executable).parent / "ansible-playbook"), "-i", "molecule/inventory", "playbooks/verify.yml"]


def verify(*options: str) -> tuple[int, str, list[str]]:
    """(exit status, output, the table's names of failed checks)."""
    done = subprocess.run([*PLAY, *options], cwd=PROJECT, capture_output=True, text=True, timeout=120)
    failed = [line.split("  ")[1].strip() for line in done.stdout.splitlines() if line.startswith("FAILED  ")]
    return done.returncode, done.stdout + done.stderr, failed


def on(host: str, command: str) -> str:
    """Run a shell command on a host of the scenario."""
    return subprocess.run(
        ["docker", "exec", f"molecule-{host}", "sh", "-ec", command], check=True, capture_output=True, text=True
    ).stdout


def sql(statements: str) -> str:
    return f'runuser -u postgres -- psql -qc "{statements}" image_server'


@contextmanager
def broken(host: str, command: str, repair: str):
    on(host, command)
    try:
        yield
    finally:
        on(host, repair)


@contextmanager
def broken_outside(command: list[str], repair: list[str]):
    subprocess.run(command, check=True)
    try:
        yield
    finally:
        subprocess.run(repair, check=True)


def test_sound_site():
    status, output, failed = verify()
    assert (status, failed) == (0, []), output
    report = json.loads((PROJECT / "state/molecule/verify.json").read_text())
    assert f"verified: {report['passed']} checks passed" in output
    assert report["failed"] == 0 and report["url"] == "https://localhost:18443"
    names = [check["name"] for check in report["checks"]]
    assert {
        "a new size of an image",
        "whole-slide tile",
        "primary: own file system",
        "replica1: share",
        "replica2: image server",
        "database: database role of the replicas",
        "proxy: images cached",
    } <= set(names)
    # On the whole demo site there are as many.
    assert len(names) >= 27


def test_every_broken_part_is_a_line():
    with (
        broken("proxy", "mv /var/www/gallery/catalogue.json /root", "mv /root/catalogue.json /var/www/gallery"),
        broken("replica1", "systemctl stop orthanc", "systemctl start orthanc"),
        broken(
            "proxy",
            "mkdir /var/cache/nginx/away; mv /var/cache/nginx/thumbnails/* /var/cache/nginx/away",
            "cp -an /var/cache/nginx/away/. /var/cache/nginx/thumbnails; rm -r /var/cache/nginx/away",
        ),
        broken(
            "database",
            sql("CREATE TABLE public.open (); GRANT INSERT ON public.open TO image_server_reader"),
            sql("DROP TABLE public.open"),
        ),
    ):
        status, output, failed = verify()
    assert status != 0
    assert {
        "gallery lists",
        "replica1: image server",
        "proxy: images cached",
        "database: database role of the replicas",
    } <= set(failed), output
    assert "replica2: image server" not in failed
    assert "may write to 1 tables" in output and "run warm.yml" in output
    assert json.loads((PROJECT / "state/molecule/verify.json").read_text())["failed"] == len(failed)


def test_maintenance_is_not_a_sound_site():
    with broken("proxy", "touch /etc/nginx/maintenance", "rm /etc/nginx/maintenance"):
        status, output, failed = verify()
    assert status != 0 and "home page" in failed, output


def test_open_door_is_found():
    """An image server's administration that nginx lets through."""
    with broken(
        "proxy",
        "sed -i.good 's|root /var/www/gallery;|& location = /system { return 200 open; }|' "
        "/etc/nginx/nginx.conf && systemctl reload nginx && sleep 1",
        "mv /etc/nginx/nginx.conf.good /etc/nginx/nginx.conf && systemctl reload nginx && sleep 1",
    ):
        status, output, failed = verify()
    assert (status != 0, failed) == (True, ["administration"]), output
    assert "/system answers 200" in output


def test_host_that_was_not_asked_is_a_line():
    status, output, failed = verify("--limit", "localhost:site:!molecule-replica2")
    assert (status != 0, failed) == (True, ["replica2: answers"]), output


def test_host_that_is_down_is_a_line():
    with broken_outside(["docker", "pause", "molecule-replica2"], ["docker", "unpause", "molecule-replica2"]):
        status, output, failed = verify()
    assert status != 0 and "replica2: answers" in failed, output
    assert not {name for name in failed if name.startswith(("replica1", "primary", "database"))}, output


def test_host_without_volumes_and_features_is_verified(tmp_path: Path):
    """A dedicated bastion: its empty list of results counted as "was not asked"."""
    site = yaml.safe_load((PROJECT / "molecule/test-site.yml").read_text())["site"]
    # What runs on that host still runs; this site only wants nothing of it but to be a bastion.
    site["hosts"] = [
        {"name": "replica", "count": 1},
        {"name": "proxy", "groups": ["cache"]},
        {"name": "replica2", "groups": ["bastion"]},
    ]
    (tmp_path / "site.yml").write_text(yaml.safe_dump({"site": site}))
    status, output, failed = verify("-e", f"@{tmp_path}/site.yml")
    assert (status, failed) == (0, []), output
    assert "replica2: own file system" in output and "replica2: image server" not in output


def test_check_mode_says_the_same_and_does_not_fail():
    with broken("proxy", "touch /etc/nginx/maintenance", "rm /etc/nginx/maintenance"):
        status, output, failed = verify("--check")
    assert status == 0 and "home page" in failed, output
