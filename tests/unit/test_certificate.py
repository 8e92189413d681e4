# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Certificates that users give: what people put there, and the sentence that each gets."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from plugins.module_utils.certificate import problems

NOW = datetime.datetime(2026, 11, 27, tzinfo=datetime.UTC)
DAY = datetime.timedelta(days=1)
PEM = serialization.Encoding.PEM


def named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


class Authority:
    """One that signs, itself signed by another one or by itself."""

    def __init__(self, name: str, parent: Authority | None = None):
        self.key, self.name = ec.generate_private_key(ec.SECP256R1()), named(name)
        self.certificate = (parent or self).sign(self.name, self.key, authority=True)

    def sign(self, subject: x509.Name, key, names=(), begin=NOW - DAY, end=NOW + DAY, authority=False):
        built = x509.CertificateBuilder(self.name, subject, key.public_key(), x509.random_serial_number(), begin, end)
        built = built.add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        if names:
            built = built.add_extension(x509.SubjectAlternativeName(list(names)), critical=False)
        return built.sign(self.key, hashes.SHA256())


ROOT = Authority("Root")
MIDDLE = Authority("Middle", ROOT)
KEY = ec.generate_private_key(ec.SECP256R1())
SERVER = named("server")
NAMES = [x509.DNSName("images.example.org"), x509.IPAddress(ipaddress.ip_address("192.0.2.7"))]


def leaf(**options) -> x509.Certificate:
    return MIDDLE.sign(SERVER, KEY, **{"names": NAMES, **options})


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(certificate.public_bytes(PEM) for certificate in certificates)


def key_file(key=KEY, password: bytes | None = None) -> bytes:
    locked = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, locked)


GOOD = pem(leaf(), MIDDLE.certificate)


@pytest.fixture
def found(tmp_path: Path):
    def ask(certificate: bytes, key: bytes = key_file(), names=("images.example.org",)) -> list[str]:
        (tmp_path / "crt").write_bytes(certificate)
        (tmp_path / "key").write_bytes(key)
        lines = problems(str(tmp_path / "crt"), str(tmp_path / "key"), names, NOW)
        return [line.replace(f"{tmp_path}/", "") for line in lines]

    return ask


@pytest.mark.parametrize("certificate", [GOOD, pem(leaf()), pem(leaf(), MIDDLE.certificate, ROOT.certificate)])
def test_what_a_server_can_serve_with_is_no_problem(found, certificate):
    assert found(certificate, names=["images.example.org", "192.0.2.7", "IMAGES.example.org"]) == []
    assert found(certificate + key_file()) == []


def test_a_star_stands_for_one_label(found):
    star = pem(leaf(names=[x509.DNSName("*.example.org")]))
    assert found(star) == []
    assert "is not for a.b.example.org, example.org, which" in found(star, names=["a.b.example.org", "example.org"])[0]


@pytest.mark.parametrize(
    "certificate, key, sentence",
    [
        (
            pem(leaf(names=[x509.DNSName("other.org")])),
            key_file(),
            "site.public.tls.certificate: crt is not for images.example.org, which visitors ask for; it is for other.org: "
            "get one with that name",
        ),
        # The common name, which browsers have not looked at for years.
        (
            pem(MIDDLE.sign(named("images.example.org"), KEY)),
            key_file(),
            "site.public.tls.certificate: crt is not for images.example.org, which visitors ask for; it is for none: "
            "get one with that name",
        ),
        (
            pem(MIDDLE.certificate, leaf()),
            key_file(),
            "site.public.tls.certificate: crt begins with the certificate of CN=Middle; put that of the server first, then "
            "each one that has signed the one before",
        ),
        (
            pem(leaf(), ROOT.certificate, MIDDLE.certificate),
            key_file(),
            "site.public.tls.certificate: crt goes on with CN=Root, which has not signed CN=server; put after each "
            "certificate the one that has signed it, without the root",
        ),
        (
            GOOD,
            key_file(ec.generate_private_key(ec.SECP256R1())),
            "site.public.tls.key: key is not the key of crt; give the two that belong together",
        ),
        (
            GOOD,
            key_file(password=b"secret"),
            "site.public.tls.key: key has a passphrase, and nobody types it when nginx starts at night; write it without: "
            "openssl pkey -in ",
        ),
        (
            GOOD,
            pem(leaf()),
            "site.public.tls.key: key holds no private key in PEM; give the file that was made with the request",
        ),
        (
            leaf().public_bytes(serialization.Encoding.DER),
            key_file(),
            "site.public.tls.certificate: crt holds no certificate in PEM; openssl x509 -inform der -in ",
        ),
        (b"", key_file(), "site.public.tls.certificate: crt holds no certificate in PEM; give a PEM file"),
        (
            pem(leaf(begin=NOW - 3 * DAY, end=NOW - DAY)),
            key_file(),
            "site.public.tls.certificate: crt ended on 2026-11-26; put a renewed one there",
        ),
        (
            pem(leaf(begin=NOW + DAY, end=NOW + 2 * DAY)),
            key_file(),
            "site.public.tls.certificate: crt begins on 2026-11-28; is the clock of this machine right?",
        ),
    ],
)
def test_each_mistake_gets_its_sentence(found, certificate, key, sentence):
    lines = found(certificate, key)
    assert lines[0].startswith(sentence), lines


def test_all_mistakes_are_named_at_once(found):
    ended = pem(leaf(end=NOW - DAY / 2, names=[x509.DNSName("other.org")]))
    lines = found(ended, key_file(password=b"secret"))
    assert [line.split(":")[0] for line in lines] == ["site.public.tls.key", *["site.public.tls.certificate"] * 2]


def test_files_that_cannot_be_read(tmp_path):
    lines = problems(str(tmp_path / "no.crt"), str(tmp_path), ["a"], NOW)
    assert lines == [
        f"site.public.tls.certificate: {tmp_path}/no.crt cannot be read (No such file or directory); correct the path or its "
        "rights",
        f"site.public.tls.key: {tmp_path} cannot be read (Is a directory); correct the path or its rights",
    ]
