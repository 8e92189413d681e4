# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The site's own certificate authority: renewed before its end, without breaking what it signed."""

from __future__ import annotations

import datetime
import json
import os
import subprocess
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

REPOSITORY = Path(__file__).resolve().parents[2]
PLAY = """
- hosts: localhost
  gather_facts: false
  tasks:
    - ansible.builtin.include_role:
        name: imaging.repository.cache
        tasks_from: authority
      when: _cache_authority_not_after < _cache_authority_renew_before
"""


@pytest.fixture
def keep(tmp_path):
    """Run what the role does about the authority in a folder; return what Ansible printed."""
    (tmp_path / "play.yml").write_text(PLAY)
    variables = {"effective_site": {"name": "demo", "public": {"tls": {}}}, "cache_authority_directory": str(tmp_path)}
    role = [
        "-e",
        f"@{REPOSITORY / 'roles/cache/defaults/main.yml'}",
        "-e",
        f"@{REPOSITORY / 'roles/cache/vars/main.yml'}",
    ]

    def run() -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [
                "ansible-playbook",
                "-i",
                "localhost,",
                "-c",
                "local",
                *role,
                "-e",
                json.dumps(variables),
                tmp_path / "play.yml",
            ],
            cwd=REPOSITORY,
            env={**os.environ, "ANSIBLE_STDOUT_CALLBACK": "default", "ANSIBLE_INVENTORY_ENABLED": "host_list"},
            capture_output=True,
            text=True,
            check=False,
        )

    return run


def authority(folder: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((folder / "ca.crt").read_bytes())


def days_left(certificate: x509.Certificate) -> int:
    return (certificate.not_valid_after_utc - datetime.datetime.now(datetime.UTC)).days


def age(folder: Path, days: int) -> x509.Certificate:
    """Give the authority a certificate of the same key that ends in so many days."""
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    old, now = authority(folder), datetime.datetime.now(datetime.UTC)
    builder = x509.CertificateBuilder(old.issuer, old.subject, old.public_key(), old.serial_number)
    for extension in old.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    builder = builder.not_valid_before(now - datetime.timedelta(days=7000)).not_valid_after(
        now + datetime.timedelta(days=days)
    )
    aged = builder.sign(key, hashes.SHA256())
    (folder / "ca.crt").write_bytes(aged.public_bytes(serialization.Encoding.PEM))
    return aged


def signed_by(folder: Path) -> x509.Certificate:
    """A certificate of a host that the authority signed."""
    key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), None)
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .issuer_name(authority(folder).subject)
        .subject_name(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "images.example.org")]))
        .public_key(ec.generate_private_key(ec.SECP256R1()).public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now)
        .not_valid_after(now + datetime.timedelta(days=90))
        .sign(key, hashes.SHA256())
    )


def test_the_authority_is_renewed_before_its_end_and_what_it_signed_stays_trusted(keep, tmp_path):
    done = keep()
    assert done.returncode == 0, done.stdout
    assert days_left(authority(tmp_path)) > 7200
    certificate, old = signed_by(tmp_path), age(tmp_path, 700)
    assert keep().returncode == 0
    new = authority(tmp_path)
    assert days_left(new) > 7200 and new.serial_number != old.serial_number
    certificate.verify_directly_issued_by(new)
    certificate.verify_directly_issued_by(old)
    assert new.public_key() == old.public_key()
    again = keep()
    assert "changed=0" in again.stdout, again.stdout
    assert authority(tmp_path) == new


def test_a_lost_key_is_not_replaced_behind_the_back_of_the_browsers(keep, tmp_path):
    assert keep().returncode == 0
    old = age(tmp_path, 700)
    (tmp_path / "ca.key").unlink()
    done = keep()
    assert done.returncode != 0 and "which no browser trusts" in " ".join(done.stdout.split())
    assert authority(tmp_path) == old
