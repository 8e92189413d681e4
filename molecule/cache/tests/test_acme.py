# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Certificates of an authority that checks the name itself (RFC 8555), from Debian's pebble on another host of the site."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator

import pytest
from cryptography import x509
from proxy import run_ansible
from test_certificate import SERVED

testinfra_hosts = ["ansible://cache"]

AUTHORITY, PROXY = "molecule-replica1", "molecule-proxy"
NAMES = ["images.example.org", "www.example.org"]
KEY_ID, HMAC_KEY = "kid-1", "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"
CONFIGURATION = {
    "listenAddress": "0.0.0.0:14000",
    "managementListenAddress": "0.0.0.0:15000",
    "certificate": "/root/pebble/server.crt",
    "privateKey": "/root/pebble/server.key",
    "httpPort": 80,
    "tlsPort": 443,
    "externalAccountBindingRequired": True,
    "externalAccountMACKeys": {KEY_ID: HMAC_KEY},
    "certificateValidityPeriod": 90 * 86400,
}
# The hook of a name server that is asked by HTTP: what an operator writes for his own.
HOOK = """#!/usr/bin/python3
import json, os, sys, urllib.request
record = {"host": "_acme-challenge." + os.environ["CERTBOT_DOMAIN"] + "."}
if sys.argv[1] == "present":
    record["value"] = os.environ["CERTBOT_VALIDATION"]
verb = "set-txt" if sys.argv[1] == "present" else "clear-txt"
urllib.request.urlopen("http://ADDRESS:8055/" + verb, json.dumps(record).encode())
"""


def on(host: str, command: str) -> str:
    """A shell command on a host of the scenario."""
    done = subprocess.run(["docker", "exec", host, "sh", "-ec", command], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def start_authority() -> None:
    on(
        AUTHORITY,
        "systemctl reset-failed 'pebble*' 2>/dev/null || true; systemd-run --quiet --unit pebble -E PEBBLE_VA_NOSLEEP=1 "
        "-E PEBBLE_WFE_NONCEREJECT=0 pebble -config /root/pebble/pebble.json -dnsserver 127.0.0.1:8053 -strict=false",
    )
    on(AUTHORITY, "for i in $(seq 50); do ss -ltn | grep -q :14000 && exit; sleep 0.2; done; exit 1")


@pytest.fixture(scope="module")
def authority() -> Iterator[str]:
    """The directory of an authority that the proxy trusts, for whose name server all names lead to the proxy."""
    addresses = {host: on(host, "hostname -i").split()[0] for host in (AUTHORITY, PROXY)}
    on(AUTHORITY, "apt-get install --yes --quiet pebble openssl >/dev/null 2>&1; mkdir -p /root/pebble")
    on(AUTHORITY, f"echo '{json.dumps({'pebble': CONFIGURATION})}' >/root/pebble/pebble.json")
    new = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 9"
    on(
        AUTHORITY,
        f"cd /root/pebble && {new} -subj /CN=laboratory -keyout ca.key -out ca.crt 2>/dev/null && {new} -CA ca.crt "
        f"-CAkey ca.key -subj /CN=pebble -addext subjectAltName=IP:{addresses[AUTHORITY]} "
        "-addext basicConstraints=critical,CA:FALSE -keyout server.key -out server.crt 2>/dev/null",
    )
    root = "/usr/local/share/ca-certificates/laboratory.crt"
    on(PROXY, f"cat >{root} <<'E'\n{on(AUTHORITY, 'cat /root/pebble/ca.crt')}E\nupdate-ca-certificates >/dev/null 2>&1")
    on(
        AUTHORITY,
        "systemd-run --quiet --unit pebble-names pebble-challtestsrv -defaultIPv6 '' -http01 '' -https01 '' -tlsalpn01 '' "
        f"-doh '' -dns01 :8053 -management :8055 -defaultIPv4 {addresses[PROXY]}",
    )
    start_authority()
    yield f"https://{addresses[AUTHORITY]}:14000/dir"
    on(AUTHORITY, "systemctl stop pebble pebble-names 2>/dev/null || true; rm -rf /root/pebble")
    on(PROXY, f"rm {root}; update-ca-certificates --fresh >/dev/null 2>&1")


@pytest.fixture(scope="module")
def configured(request, authority, tmp_path_factory) -> Iterator[Callable[..., str]]:
    """Configures the cache with such a certificate; in the end the site has its own again."""
    key = tmp_path_factory.mktemp("acme") / "eab.key"
    key.write_text(f"{HMAC_KEY}\n")

    def run(**changes) -> str:
        account = {"email": "ops@example.org", "eab_key_id": KEY_ID, "eab_hmac_key": str(key)}
        tls = {"mode": "acme", "directory": authority, "names": NAMES[1:], **account, **changes}
        variables = json.dumps({"cache_tls": tls, "cache_server_name": NAMES[0]})
        command = ["ansible-playbook", "playbooks/configure/cache.yml", "--limit", "cache,localhost", "-e", variables]
        return run_ansible(request, command)

    yield run
    on(
        PROXY,
        "rm -rf /etc/letsencrypt; rm -f /etc/ssl/certs/imaging-repository.pem /etc/ssl/private/imaging-repository.key",
    )
    subprocess.run(["rm", "-f", "state/molecule/acme"], check=True)
    run_ansible(request, ["ansible-playbook", "playbooks/configure/cache.yml"])


def served(host) -> x509.Certificate:
    """The certificate that visitors get, once the workers that began before a reload take no new ones."""
    time.sleep(2)
    return x509.load_pem_x509_certificate(host.check_output("python3 -c %s", SERVED).encode() + b"\n")


def test_the_first_certificate_is_for_all_names_and_asked_for_once(host, configured) -> None:
    process = host.service("nginx").systemd_properties["MainPID"]
    configured()
    certificate = served(host)
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert sorted(names.get_values_for_type(x509.DNSName)) == sorted(NAMES)
    assert "Pebble" in certificate.issuer.rfc4514_string()
    assert "changed=0" in configured()
    assert served(host).serial_number == certificate.serial_number
    assert host.service("nginx").systemd_properties["MainPID"] == process
    assert host.file("/etc/ssl/private/imaging-repository.key").mode == 0o600
    assert host.service("certbot.timer").is_enabled and host.service("certbot.timer").is_running
    # The key of the account is not for everybody.
    assert host.file("/etc/letsencrypt/imaging-repository.ini").mode == 0o600


def test_a_renewal_is_served_without_a_restart_or_a_run(host, configured) -> None:
    before, process = served(host), host.service("nginx").systemd_properties["MainPID"]
    # What the timer does once it is time.
    print(host.check_output("certbot renew --force-renewal --no-random-sleep-on-renew 2>&1"))
    assert served(host).serial_number != before.serial_number
    assert host.service("nginx").systemd_properties["MainPID"] == process


def test_a_name_that_does_not_lead_here_yet_is_proved_by_the_name_server(host, configured, authority, tmp_path) -> None:
    hook = tmp_path / "dns"
    hook.write_text(HOOK.replace("ADDRESS", authority.split("/")[2].split(":")[0]))
    before = served(host)
    # Port 80 of the name is somebody else's.
    on(
        AUTHORITY,
        "python3 - <<'E'\nimport urllib.request\nurllib.request.urlopen('http://127.0.0.1:8055/set-default-ipv4', b'{\"ip\": \"127.0.0.1\"}')\nE",
    )
    said = configured(names=["elsewhere.example.org"])
    assert "gave no certificate" in " ".join(said.split()), said
    assert served(host).serial_number == before.serial_number
    configured(names=["elsewhere.example.org"], dns_hook=str(hook))
    names = served(host).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert "elsewhere.example.org" in names.get_values_for_type(x509.DNSName)


def test_an_authority_that_is_down_leaves_the_old_certificate(host, configured) -> None:
    configured()
    before = served(host)
    # For good: it forgets its accounts when it ends.
    on(AUTHORITY, "systemctl stop pebble")
    assert host.run("certbot renew --force-renewal --no-random-sleep-on-renew").rc != 0
    assert served(host).serial_number == before.serial_number
    # A new name cannot be had now: that is said, and the site goes on.
    said = configured(names=["new.example.org"])
    assert "gave no certificate for images.example.org, new.example.org" in " ".join(said.split()), said
    assert served(host).serial_number == before.serial_number
    # Nor does a proxy that is made anew need the authority.
    on(
        PROXY,
        "rm -rf /etc/letsencrypt /etc/ssl/certs/imaging-repository.pem /etc/ssl/private/imaging-repository.key",
    )
    configured()
    assert served(host).serial_number == before.serial_number
