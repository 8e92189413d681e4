# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The firewall of one host on disk and in the kernel: loaded on trial, kept once it is confirmed, loaded at boot."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

from . import files
from .nftables import TABLE

RULES = Path("/etc/imaging-repository/firewall.nft")
UNIT = "imaging-repository-firewall.service"
UNIT_FILE = Path("/etc/systemd/system") / UNIT
REVERT = "imaging-repository-firewall-revert"
# What is on trial, what was before it, and how the kernel lists what was loaded last. All of it ends with the boot.
RUN = Path("/run/imaging-repository-firewall")
TRIAL, BEFORE, LISTING = RUN / "trial.nft", RUN / "before.nft", RUN / "listing"
NFT = "/usr/sbin/nft"
UNIT_TEXT = f"""\
[Unit]
Description=Firewall of the image repository
Documentation=file:{RULES}
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target
# An administrator's own rules begin with the removal of all tables: ours follow them.
After=local-fs.target nftables.service
PartOf=nftables.service
ReloadPropagatedFrom=nftables.service

[Service]
Type=oneshot
RemainAfterExit=yes
RuntimeDirectory={RUN.name}
RuntimeDirectoryPreserve=yes
ExecStart={NFT} --file {RULES}
ExecStartPost=/bin/sh -c '{NFT} --stateless list table {TABLE} > {LISTING}'
ExecReload={NFT} --file {RULES}
ExecReload=/bin/sh -c '{NFT} --stateless list table {TABLE} > {LISTING}'
# It loads rules, and may do no more.
CapabilityBoundingSet=CAP_NET_ADMIN
NoNewPrivileges=yes
ProtectHome=yes
ProtectSystem=strict
ProtectClock=yes
ProtectControlGroups=yes
ProtectHostname=yes
ProtectKernelLogs=yes
ProtectKernelModules=yes
ProtectProc=invisible
PrivateDevices=yes
IPAddressDeny=any
LockPersonality=yes
MemoryDenyWriteExecute=yes
RestrictAddressFamilies=AF_NETLINK
RestrictNamespaces=yes
RestrictRealtime=yes
RestrictSUIDSGID=yes
SystemCallArchitectures=native
SystemCallFilter=@system-service
UMask=0077

[Install]
WantedBy=sysinit.target
"""
# Other firewalls, and what switches them off.
OTHERS = {"ufw": "ufw disable", "firewalld": "systemctl disable --now firewalld"}


class FirewallError(Exception):
    """A sentence for the user: what is wrong and what to do."""


def run(*command: str) -> subprocess.CompletedProcess[str]:
    """Return a command that has ended, whatever it returned."""
    return subprocess.run(command, capture_output=True, text=True, check=False)


def must(*command: str) -> str:
    """Return the output of a command. Raises FirewallError where it fails."""
    done = run(*command)
    if done.returncode:
        words = " ".join((done.stderr or done.stdout).split())
        raise FirewallError(f"firewall: {' '.join(command)} failed: {words}; nothing else was changed")
    return done.stdout


def read(path: Path) -> str:
    """Return the text of a file, "" where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return ""


def others() -> list[str]:
    """Return the names of other firewalls that are at work on this host."""
    return [name for name in OTHERS if run("systemctl", "is-active", "--quiet", name).returncode == 0]


def refusal(names: list[str]) -> str:
    """Return the sentence that refuses to work beside other firewalls."""
    remedies = " and ".join(OTHERS[name] for name in names)
    return (
        f"firewall: {' and '.join(names)} works on this host, and two firewalls close what the other one opens; "
        f"switch it off ({remedies}), or set static_hosts_firewall: false and open the ports of the site yourself"
    )


def operator() -> tuple[str, int] | None:
    """Return the address from which this program was started by SSH and the port of this host; None without SSH.

    sudo drops the variable that says so, therefore the programs above this one are asked.
    """
    pid = os.getpid()
    while pid > 1:
        try:
            environment = Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
            status = Path(f"/proc/{pid}/status").read_text(encoding="utf-8", errors="replace")
        except OSError:
            return None
        for variable in environment:
            if variable.startswith(b"SSH_CONNECTION="):
                client, _client_port, _server, port = variable.decode("ascii").partition("=")[2].split()
                return client.removeprefix("::ffff:"), int(port)
        pid = next(int(line.split()[1]) for line in status.splitlines() if line.startswith("PPid:"))
    return None


def listing() -> str:
    """Return the table as the kernel lists it; "" where it has none."""
    if not shutil.which(NFT):
        return ""
    done = run(NFT, "--stateless", "list", "table", *TABLE.split())
    return "" if done.returncode else done.stdout


def is_in_place(text: str) -> bool:
    """Return whether these rules are loaded, as they were loaded, and will be at the next boot."""
    loaded = listing()
    return (
        read(RULES) == text
        and loaded != ""
        and loaded == read(LISTING)
        and read(UNIT_FILE) == UNIT_TEXT
        and run("systemctl", "is-enabled", "--quiet", UNIT).returncode == 0
    )


def try_out(text: str, seconds: int) -> None:
    """Load rules; unless confirm() follows in time, the host returns to those that it had."""
    RUN.mkdir(mode=0o755, exist_ok=True)
    files.write(TRIAL, text, mode=0o600)
    must(NFT, "--check", "--file", str(TRIAL))
    files.write(BEFORE, f"table {TABLE}\ndelete table {TABLE}\n{listing()}", mode=0o600)
    _stop_revert()
    must(
        "systemd-run",
        "--quiet",
        "--collect",
        f"--unit={REVERT}",
        f"--on-active={seconds}",
        "--timer-property=AccuracySec=100ms",
        "/bin/sh",
        "-c",
        f"{NFT} --file {BEFORE} && rm -f {TRIAL}",
    )
    must(NFT, "--file", str(TRIAL))


def confirm() -> None:
    """Keep the rules that are on trial. Raises FirewallError where the host has returned to those before."""
    text = read(TRIAL)
    still = run("systemctl", "is-active", "--quiet", f"{REVERT}.timer").returncode == 0
    if not text or not still:
        raise FirewallError(
            "firewall: the new rules were not confirmed in time, and the host has returned to those before; "
            "run this again, with a larger static_hosts_firewall_revert_seconds on a slow network"
        )
    RULES.parent.mkdir(mode=0o755, exist_ok=True)
    files.write(RULES, text, mode=0o644, durable=True)
    files.write(UNIT_FILE, UNIT_TEXT, mode=0o644)
    must("systemctl", "daemon-reload")
    must("systemctl", "enable", "--quiet", UNIT)
    _stop_revert()
    must("systemctl", "restart", UNIT)
    TRIAL.unlink(missing_ok=True)


def _stop_revert() -> None:
    run("systemctl", "stop", f"{REVERT}.timer", f"{REVERT}.service")
    run("systemctl", "reset-failed", f"{REVERT}.timer", f"{REVERT}.service")
