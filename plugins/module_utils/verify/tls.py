# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The certificate of a site, and what its TLS refuses."""

from __future__ import annotations

import errno
import ipaddress
import socket
import ssl
import time
import warnings
from typing import Any

from .lines import CheckFailed


def context(authority: str | None, trust_all: bool = False) -> ssl.SSLContext:
    """Return how to speak TLS: with this authority, with those of the machine, or with anybody."""
    made = ssl.create_default_context(cafile=None if trust_all else authority or None)
    if trust_all:
        made.check_hostname = False
        made.verify_mode = ssl.CERT_NONE
    return made


def ipv6_addresses(name: str) -> list[str]:
    """Return the IPv6 addresses that a name leads to from here, without those of this machine itself."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET6, socket.SOCK_STREAM)
    except OSError:
        return []
    addresses = sorted({str(entry[4][0]) for entry in found})
    return [address for address in addresses if not ipaddress.ip_address(address.partition("%")[0]).is_loopback]


class Certificate:
    """The certificate that a server shows."""

    def __init__(self, name: str, address: str, port: int, authority: str | None, timeout_seconds: float):
        self.name = name
        self.place = (address, port)
        self.authority = authority
        self.timeout_seconds = timeout_seconds
        self.content: dict[str, Any] = {}

    def check(self) -> str:
        """Return who issued it, if it is trusted."""
        try:
            with (
                socket.create_connection(self.place, self.timeout_seconds) as plain,
                context(self.authority).wrap_socket(plain, server_hostname=self.name) as secured,
            ):
                self.content = dict(secured.getpeercert() or {})
        except ssl.SSLCertVerificationError as error:
            raise CheckFailed(
                f"not trusted: {error.verify_message}",
                "run configure.yml, or correct site.public.tls and site.public.name",
            ) from None
        issuer = {key: value for part in self.content["issuer"] for key, value in part}
        return f"for {self.name}, issued by {issuer.get('commonName') or issuer.get('organizationName', 'nobody')}"

    def check_ipv6(self, addresses: list[str]) -> str:
        """Return that the site answers at the IPv6 addresses of its name: half of the visitors come by them first."""
        for address in addresses:
            try:
                with (
                    socket.create_connection((address, self.place[1]), self.timeout_seconds) as plain,
                    context(self.authority).wrap_socket(plain, server_hostname=self.name),
                ):
                    pass
            except OSError as error:
                if error.errno in (errno.ENETUNREACH, errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT):
                    return f"cannot be tried: this machine has no way to {address}"
                raise CheckFailed(
                    f"{address} does not answer: {error}",
                    f"let the AAAA record of {self.name} lead to the public host and open its port there, or remove the record",
                ) from None
        return f"answers at {', '.join(addresses)}"

    def check_days(self, minimum: int) -> str:
        """Return how long it is valid."""
        if not self.content:
            raise CheckFailed("not looked at, because it is not trusted", "see the check of the certificate")
        days = int((ssl.cert_time_to_seconds(self.content["notAfter"]) - time.time()) // 86400)
        if days < minimum:
            raise CheckFailed(
                f"{days} days left",
                "provide a new one, or run configure.yml; where the host renews it: journalctl -u certbot",
            )
        return f"{days} days left"

    def check_old_versions(self) -> str:
        """Return that the server refuses TLS 1.1 and older."""
        old = context(None, trust_all=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            old.minimum_version = ssl.TLSVersion.TLSv1
            old.maximum_version = ssl.TLSVersion.TLSv1_1
        # Without this it would be this machine that refuses.
        old.set_ciphers("ALL:@SECLEVEL=0")
        try:
            with (
                socket.create_connection(self.place, self.timeout_seconds) as plain,
                old.wrap_socket(plain, server_hostname=self.name) as secured,
            ):
                raise CheckFailed(
                    f"{secured.version()} is accepted", "run configure.yml: nginx offers TLS 1.2 and 1.3 only"
                )
        except ssl.SSLError as error:
            if error.reason == "NO_PROTOCOLS_AVAILABLE":
                return "cannot be tried: this machine's OpenSSL does not speak it"
        except ConnectionResetError:
            pass
        return "refused"
