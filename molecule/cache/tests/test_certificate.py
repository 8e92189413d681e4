# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A certificate that the site gives: served, renewed by a reload, and refused before anything is written."""

from __future__ import annotations

import datetime
import json
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from proxy import run_ansible

testinfra_hosts = ["ansible://cache"]

SERVED = "import ssl; print(ssl.get_server_certificate(('127.0.0.1', 443)))"


def make(directory: Path, name: str) -> dict[str, str]:
    """Write a certificate for a name and its key; return them as the site file has them."""
    key, now = ec.generate_private_key(ec.SECP256R1()), datetime.datetime.now(datetime.UTC)
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    ends = now + datetime.timedelta(days=90)
    built = x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now, ends)
    certificate = built.add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=False).sign(
        key, hashes.SHA256()
    )
    pem, pkcs8 = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    (directory / "images.crt").write_bytes(certificate.public_bytes(pem))
    (directory / "images.key").write_bytes(key.private_bytes(pem, pkcs8, serialization.NoEncryption()))
    paths = {"certificate": str(directory / "images.crt"), "key": str(directory / "images.key")}
    return {"mode": "provided", **paths}


def served(host) -> str:
    """The serial number of the certificate that visitors get."""
    pem = host.check_output("python3 -c %s", SERVED) + "\n"
    assert pem.startswith(ssl.PEM_HEADER)
    return format(x509.load_pem_x509_certificate(pem.encode()).serial_number)


def serial(path: str) -> str:
    return format(x509.load_pem_x509_certificate(Path(path).read_bytes()).serial_number)


@pytest.fixture(scope="module")
def configured(request) -> Iterator:
    """Runs a play of the role with `cache_tls`; in the end the site has its own certificate again."""

    def run(playbook: str, tls: dict[str, str], check: bool = True) -> str:
        variables = json.dumps({"cache_tls": tls})
        return run_ansible(
            request, ["ansible-playbook", playbook, "--limit", "cache,localhost", "-e", variables], check
        )

    yield run
    run_ansible(request, ["ansible-playbook", "playbooks/configure/cache.yml"], True)


def test_it_is_served_and_renewed_without_a_restart(host, configured, tmp_path) -> None:
    process = host.service("nginx").systemd_properties["MainPID"]
    for _renewal in range(2):
        tls = make(tmp_path, "localhost")
        assert "changed=0" not in configured("playbooks/configure/cache.yml", tls)
        assert served(host) == serial(tls["certificate"])
        assert "changed=0" in configured("playbooks/configure/cache.yml", tls)
    assert host.service("nginx").systemd_properties["MainPID"] == process
    assert host.file("/etc/ssl/private/imaging-repository.key").mode == 0o600


def test_what_cannot_be_served_is_refused_before_anything_is_written(host, configured, tmp_path) -> None:
    before = served(host)
    output = configured("playbooks/preflight.yml", make(tmp_path, "images.example.org"), check=False)
    sentence = (
        f"site.public.tls.certificate: {tmp_path}/images.crt is not for localhost, which visitors ask for; it is for"
    )
    assert sentence in output and "nothing was written" in output, output
    assert served(host) == before
