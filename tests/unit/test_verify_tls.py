# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Whether a site answers at the IPv6 addresses of its name."""

from __future__ import annotations

import errno
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plugins.module_utils.verify.lines import CheckFailed
from plugins.module_utils.verify.tls import Certificate, ipv6_addresses


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[int, str]]:
    """Port and authority of a TLS server for images.example.org at ::1."""
    certificate, key = tmp_path / "site.crt", tmp_path / "site.key"
    request = (
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN=images.example.org"
    )
    names = ["-addext", "subjectAltName=DNS:images.example.org", "-keyout", str(key), "-out", str(certificate)]
    subprocess.run([*request.split(), *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    try:
        plain = socket.create_server(("::1", 0), family=socket.AF_INET6)
    except OSError:
        pytest.skip("this machine has no IPv6")

    def serve() -> None:
        while True:
            try:
                connection = plain.accept()[0]
                context.wrap_socket(connection, server_side=True).close()
            except ssl.SSLError:
                continue
            except OSError:
                return

    with plain:
        threading.Thread(target=serve, daemon=True).start()
        yield plain.getsockname()[1], str(certificate)


def certificate_of(port: int, authority: str | None) -> Certificate:
    return Certificate("images.example.org", "127.0.0.1", port, authority, 5)


def test_a_site_that_answers_is_said_with_its_addresses(site):
    assert certificate_of(*site).check_ipv6(["::1"]) == "answers at ::1"


def test_an_address_at_which_nobody_or_somebody_else_answers_is_a_failure(site):
    with pytest.raises(CheckFailed, match="::1 does not answer") as failed:
        certificate_of(site[0], None).check_ipv6(["::1"])
    assert "let the AAAA record of images.example.org lead to the public host" in failed.value.remedy
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as closed:
        port = closed.getsockname()[1]
    with pytest.raises(CheckFailed):
        certificate_of(port, site[1]).check_ipv6(["::1"])


def test_a_machine_without_a_way_says_so(monkeypatch):
    def unreachable(*_arguments):
        raise OSError(errno.ENETUNREACH, "Network is unreachable")

    monkeypatch.setattr(socket, "create_connection", unreachable)
    said = certificate_of(443, None).check_ipv6(["2001:db8::1"])
    assert said == "cannot be tried: this machine has no way to 2001:db8::1"


def test_names_of_this_machine_have_no_such_line():
    assert ipv6_addresses("localhost") == [] and ipv6_addresses("no-such-name.invalid") == []
