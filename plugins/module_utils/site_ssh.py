# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The SSH keys of a site on a cloud: what is made, and what a new server is told about itself.

Pure functions: the module site_ssh reads and writes the files.
"""

from __future__ import annotations

import json

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey


def new_key() -> str:
    """Return a new ed25519 private key as OpenSSH keeps it, without a passphrase."""
    encoded = Ed25519PrivateKey.generate().private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.OpenSSH, serialization.NoEncryption()
    )
    return encoded.decode()


def public_key(private: str) -> str:
    """Return the public key of a private one, `ssh-ed25519 AAAA...`; ValueError where it is no such key."""
    try:
        key = serialization.load_ssh_private_key(private.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        # The library's own words could quote the key.
        key = None
    if not isinstance(key, Ed25519PrivateKey):
        raise ValueError("is no ed25519 key without a passphrase")
    encoded = key.public_key().public_bytes(serialization.Encoding.OpenSSH, serialization.PublicFormat.OpenSSH)
    return encoded.decode()


def user_data(private: str, public: str, bastion: bool) -> str:
    """Return what cloud-init does at the first boot of a server, cloud-config as YAML.

    The server gets its host key, so that the first connection already knows it. JSON is YAML, and quotes what has to
    be quoted. See https://docs.cloud-init.io/en/latest/reference/modules.html (ssh, update_etc_hosts, write_files).
    """
    content: dict[str, object] = {
        "ssh_deletekeys": True,
        "ssh_keys": {"ed25519_private": private, "ed25519_public": public},
        # The roles install what is needed; a boot that upgrades takes minutes and ends with another system each time.
        "package_update": False,
        "package_upgrade": False,
        # Sudo looks up the name of its host at every command.
        "manage_etc_hosts": "localhost",
    }
    if bastion:
        # All hosts are reached through it at once; the usual limit drops connections above ten.
        content["write_files"] = [
            {"path": "/etc/ssh/sshd_config.d/imaging-repository-bastion.conf", "content": "MaxStartups 200\n"}
        ]
    return f"#cloud-config\n{json.dumps(content, indent=2)}\n"
