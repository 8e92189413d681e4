# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a certificate that somebody gives, its chain and its key are what a web server can serve a name with.

RFC 5280 (certificates), RFC 6125 (names), RFC 8446 section 4.4.2 (the order of a chain).
"""

from __future__ import annotations

import datetime
import ipaddress
import itertools
from collections.abc import Iterator, Sequence
from typing import Any

try:
    from cryptography import x509
    from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
except ImportError:
    x509 = None  # type: ignore[assignment]


def problems(certificate: str, key: str, names: Sequence[str], now: datetime.datetime) -> list[str]:
    """Return what is wrong with the files of a certificate with its chain and of its key, a sentence each.

    `names` are those that visitors ask for, host names or addresses. The sentences begin with `site.public.tls`.
    """
    return [f"site.public.tls.{sentence}" for sentence in _problems(certificate, key, names, now)]


def _problems(certificate: str, key: str, names: Sequence[str], now: datetime.datetime) -> Iterator[str]:
    chain: list[Any] = []
    private: Any = None
    try:
        chain = _read_chain(certificate)
    except ValueError as error:
        yield f"certificate: {certificate} {error}"
    try:
        private = _read_key(key)
    except ValueError as error:
        yield f"key: {key} {error}"
    if not chain:
        return
    if private is not None:
        fitting = [number for number, one in enumerate(chain) if one.public_key() == private.public_key()]
        if not fitting:
            yield f"key: {key} is not the key of {certificate}; give the two that belong together"
        elif fitting[0]:
            yield (
                f"certificate: {certificate} begins with the certificate of {_subject(chain[0])}; put that of the server "
                "first, then each one that has signed the one before"
            )
            return
    yield from (f"certificate: {certificate} {sentence}" for sentence in _of_chain(chain, names, now))


def _read(path: str) -> bytes:
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise ValueError(f"cannot be read ({error.strerror}); correct the path or its rights") from None


def _read_chain(path: str) -> list[Any]:
    content = _read(path)
    try:
        return list(x509.load_pem_x509_certificates(content))
    except ValueError:
        remedy = f"openssl x509 -inform der -in {path} -out {path}.pem" if content[:1] == b"\x30" else "give a PEM file"
        raise ValueError(f"holds no certificate in PEM; {remedy}") from None


def _read_key(path: str) -> Any:
    content = _read(path)
    try:
        return serialization.load_pem_private_key(content, password=None)
    except TypeError:
        raise ValueError(
            f"has a passphrase, and nobody types it when nginx starts at night; write it without: openssl pkey -in {path} "
            f"-out {path}.open"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("holds no private key in PEM; give the file that was made with the request") from None


def _subject(certificate: Any) -> str:
    return certificate.subject.rfc4514_string() or "nobody"


def _of_chain(chain: list[Any], names: Sequence[str], now: datetime.datetime) -> Iterator[str]:
    for number, one in enumerate(chain):
        whose = "" if number == 0 else f"has the certificate of {_subject(one)}, which "
        if one.not_valid_after_utc <= now:
            yield f"{whose}ended on {one.not_valid_after_utc:%Y-%m-%d}; put a renewed one there"
        elif one.not_valid_before_utc > now:
            yield f"{whose}begins on {one.not_valid_before_utc:%Y-%m-%d}; is the clock of this machine right?"
    for below, above in itertools.pairwise(chain):
        if not _signed(below, above):
            yield (
                f"goes on with {_subject(above)}, which has not signed {_subject(below)}; put after each certificate the "
                "one that has signed it, without the root"
            )
    missing = [name for name in names if not _covers(chain[0], name)]
    if missing:
        had = ", ".join(_names(chain[0])) or "none"
        yield f"is not for {', '.join(missing)}, which visitors ask for; it is for {had}: get one with that name"


def _signed(below: Any, above: Any) -> bool:
    try:
        below.verify_directly_issued_by(above)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _names(certificate: Any) -> list[str]:
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        *names.get_values_for_type(x509.DNSName),
        *(str(address) for address in names.get_values_for_type(x509.IPAddress)),
    ]


def _covers(certificate: Any, name: str) -> bool:
    """Return whether browsers take the certificate for a name: a star stands for one label, the common name for none."""
    names = [other.lower() for other in _names(certificate)]
    try:
        return str(ipaddress.ip_address(name)) in names
    except ValueError:
        name = name.lower()
        return name in names or ("." in name and f"*.{name.partition('.')[2]}" in names)
