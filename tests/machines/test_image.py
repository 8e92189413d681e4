# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The image that playbooks/image.yml built, started by QEMU as a cloud starts it, without a cloud."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.machines.commands import run

SERIAL = "0123456789abcdef0123"
BOOT_SECONDS = 600
FIRMWARE = {"bios": (), "uefi": ("-bios", "/usr/share/ovmf/OVMF.fd")}


class Machine:
    """A virtual machine with a disk of 8 GiB of the image, a cloud-init seed and a blank disk with a serial number."""

    def __init__(self, image: Path, directory: Path, firmware: tuple[str, ...]):
        self.directory = directory
        with socket.socket() as listener:
            listener.bind(("127.0.0.1", 0))
            self.port = listener.getsockname()[1]
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", str(image), "-F", "qcow2", str(directory / "root"), "8G")
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(directory / "key"))
        key = (directory / "key.pub").read_text().strip()
        (directory / "user-data").write_text(f'#cloud-config\nssh_authorized_keys: ["{key}"]\n')
        (directory / "meta-data").write_text("instance-id: i-1\nlocal-hostname: trial\n")
        run("mkfs.vfat", "-n", "CIDATA", "-C", str(directory / "seed"), "1024")
        run("mcopy", "-i", str(directory / "seed"), str(directory / "user-data"), str(directory / "meta-data"), "::")
        (directory / "data").touch()
        (directory / "console").touch()
        os.truncate(directory / "data", 100 * 1024**2)
        self.started = time.monotonic()
        self.process = subprocess.Popen(
            [
                "qemu-system-x86_64",
                "-accel",
                "tcg,thread=multi",
                "-smp",
                "2",
                "-m",
                "768",
                "-display",
                "none",
                "-serial",
                f"file:{directory / 'console'}",
                *firmware,
                "-drive",
                f"file={directory / 'root'},if=none,id=root,cache=unsafe",
                "-device",
                "virtio-blk-pci,drive=root,bootindex=0",
                "-drive",
                f"file={directory / 'seed'},if=virtio,format=raw,readonly=on",
                "-drive",
                f"file={directory / 'data'},if=none,id=data,format=raw",
                "-device",
                f"virtio-blk-pci,drive=data,serial={SERIAL}",
                "-nic",
                f"user,model=virtio-net-pci,hostfwd=tcp:127.0.0.1:{self.port}-:22",
            ],
            stdin=subprocess.DEVNULL,
        )

    def ssh(self, command: str, check: bool = True) -> str:
        """The output of a command, run by the user of the image."""
        return run(
            "ssh",
            "-i",
            str(self.directory / "key"),
            "-p",
            str(self.port),
            "-o",
            "ConnectTimeout=10",
            "-o",
            "StrictHostKeyChecking=no",
            "-o",
            f"UserKnownHostsFile={self.directory / 'known'}",
            "-o",
            "LogLevel=ERROR",
            "-o",
            "BatchMode=yes",
            "debian@127.0.0.1",
            command,
            check=check,
        )

    def wait(self) -> float:
        """Waits until cloud-init has done its work and returns the seconds since the start."""
        while "done" not in self.ssh("cloud-init status", check=False):
            console = (self.directory / "console").read_text(errors="replace")[-3000:]
            assert time.monotonic() - self.started < BOOT_SECONDS, console
            assert self.process.poll() is None, console
            time.sleep(2)
        return time.monotonic() - self.started

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


@pytest.fixture(scope="module", params=FIRMWARE)
def machine(request, image_file: Path, tmp_path_factory) -> Iterator[Machine]:
    """The machine, booted with each kind of firmware."""
    machine = Machine(image_file, tmp_path_factory.mktemp(request.param), FIRMWARE[request.param])
    try:
        print(f"\n{request.param}: cloud-init done {machine.wait():.0f} s after the start")
        yield machine
    finally:
        machine.stop()


def test_its_user_may_do_what_ansible_needs(machine: Machine):
    assert machine.ssh("sudo -n /usr/bin/python3 -c 'import apt; print(__import__(\"os\").geteuid())'").strip() == "0"


def test_the_root_grew_into_the_disk(machine: Machine):
    assert int(machine.ssh("df --output=size -B1G / | tail -1")) >= 7


def test_a_disk_is_found_by_its_serial_number(machine: Machine):
    device = machine.ssh(f"realpath /dev/disk/by-id/virtio-{SERIAL}").strip()
    assert machine.ssh(f"sudo blockdev --getsize64 {device}").strip() == str(100 * 1024**2)


def test_nothing_failed_and_no_service_of_a_role_runs(machine: Machine):
    assert machine.ssh("systemctl --failed --no-legend").strip() == ""
    services = machine.ssh("systemctl list-units --all --no-legend --plain --state=running,activating --type=service")
    for name in ("nginx", "orthanc", "postgresql"):
        assert name not in services
        assert machine.ssh(f"ls -d /usr/share/doc/{name}*"), f"{name} is not installed"


def test_it_is_a_machine_of_its_own(machine: Machine):
    assert len(machine.ssh("cat /etc/machine-id").strip()) == 32
    assert machine.ssh("hostname").strip() == "trial"
    assert "root@trial" in machine.ssh("cat /etc/ssh/ssh_host_ed25519_key.pub")


def test_it_starts_again(machine: Machine):
    before = machine.ssh("cat /proc/sys/kernel/random/boot_id")
    machine.ssh("sudo systemctl reboot", check=False)
    deadline = time.monotonic() + BOOT_SECONDS
    while machine.ssh("cat /proc/sys/kernel/random/boot_id", check=False).strip() in ("", before.strip()):
        assert time.monotonic() < deadline
        time.sleep(2)
