# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""One systemd container with two loop devices for all tests on real devices; needs root and Docker.

The loop devices stay attached throughout, so that no other process of the machine can take them; a test gets a blank
device by emptying the file behind it.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

MIB = 1024**2
GIB = 1024**3
SIZE_BYTES = 400 * MIB
REPOSITORY = Path(__file__).parents[2]
LIBRARY = "/opt/storage-test"
DATA = {"name": "data", "device": "/dev/disk/by-id/imaging-repository-data", "mount": "/srv/data"}
OTHER = {"name": "other", "device": "/dev/disk/by-id/imaging-repository-other", "mount": "/srv/other"}

NOTES = "/var/lib/imaging-repository/storage"
RUNNER = f"""
import sys
sys.dont_write_bytecode = True
sys.path.insert(0, '{LIBRARY}')
from ansible.module_utils import basic
basic._ANSIBLE_ARGS, basic._ANSIBLE_PROFILE = sys.stdin.buffer.read(), 'modern'
from ansible_collections.imaging.repository.plugins.modules import storage_volumes
storage_volumes.main()
"""


def shell(*command: str, check: bool = True, **options) -> subprocess.CompletedProcess:
    """Runs a command on this machine."""
    result = subprocess.run(command, capture_output=True, text=True, check=False, **options)
    assert not check or result.returncode == 0, f"{command}: {result.stdout}{result.stderr}"
    return result


@dataclass
class Loop:
    """A loop device of this machine and the file behind it."""

    name: str
    file: Path
    path: str = ""
    inside: str = field(init=False)

    def __post_init__(self) -> None:
        self.inside = f"/dev/disk/by-id/imaging-repository-{self.name}"
        self.file.touch()
        os.truncate(self.file, SIZE_BYTES)
        self.path = shell("losetup", "--find", "--show", str(self.file)).stdout.strip()

    def resize(self, size_bytes: int) -> None:
        """Gives the device another size, as a provider does that enlarges a volume."""
        os.truncate(self.file, size_bytes)
        shell("losetup", "--set-capacity", self.path)

    def blank(self) -> None:
        """Makes the device blank again."""
        shell("blockdev", "--flushbufs", self.path)
        self.resize(0)
        self.resize(SIZE_BYTES)
        shell("blockdev", "--flushbufs", self.path)

    def write(self, offset: int, data: bytes) -> None:
        """Writes bytes to the device."""
        with open(self.path, "r+b") as device:
            device.seek(offset)
            device.write(data)
            os.fsync(device.fileno())

    def checksum(self) -> str:
        """Checksum of every byte of the device, past the cache."""
        shell("blockdev", "--flushbufs", self.path)
        return shell("sha256sum", str(self.file)).stdout.split()[0]


@dataclass
class Host:
    """A container with systemd that runs the module as Ansible does."""

    name: str

    def command(self, *command: str, check: bool = True) -> str:
        """Runs a command in the container and returns its output."""
        return shell("docker", "exec", self.name, *command, check=check).stdout.strip()

    def install_module(self) -> None:
        """Puts storage_volumes where Ansible's own loader would: calls then cost 0.3 s instead of 3 s."""
        import ansible

        source = Path(ansible.__file__).parent
        collection = "ansible_collections/imaging/repository/plugins"
        directories = ("ansible", f"{collection}/modules", f"{collection}/module_utils")
        self.command("mkdir", "-p", *(f"{LIBRARY}/{directory}" for directory in directories))
        self.command("touch", f"{LIBRARY}/ansible/__init__.py")
        shell("docker", "cp", "--quiet", str(source / "module_utils"), f"{self.name}:{LIBRARY}/ansible/")
        for name in ("modules/storage_volumes.py", "module_utils/files.py", "module_utils/storage"):
            target = f"{self.name}:{LIBRARY}/{collection}/{name}"
            shell("docker", "cp", "--quiet", str(REPOSITORY / "plugins" / name), target)

    def start_volumes(self, *volumes: dict, check: bool = False, **options) -> subprocess.Popen:
        """Begins a call of storage_volumes."""
        arguments = {
            "volumes": list(volumes),
            "host": "primary",
            "device_timeout_seconds": 0,
            **options,
            "_ansible_check_mode": check,
            "_ansible_diff": True,
        }
        process = subprocess.Popen(
            ["docker", "exec", "--interactive", self.name, "python3", "-c", RUNNER],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        process.stdin.write(json.dumps({"ANSIBLE_MODULE_ARGS": arguments}))
        process.stdin.close()
        process.stdin = None
        return process

    def volumes(self, *volumes: dict, check: bool = False, **options) -> dict:
        """Calls storage_volumes and returns its result, `failed` included."""
        output, error = self.start_volumes(*volumes, check=check, **options).communicate()
        assert "Traceback" not in output + error, output + error
        return json.loads(output)

    def wait(self) -> str:
        """Waits until the container has booted and returns the state of its systemd."""
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            state = self.command("systemctl", "is-system-running", check=False)
            if state in ("running", "degraded"):
                return state
            time.sleep(0.25)
        return state

    def restart(self) -> float:
        """Restarts the container and returns the seconds until it has booted."""
        shell("docker", "restart", "--time", "10", self.name)
        start = time.monotonic()
        assert self.wait() in ("running", "degraded")
        return time.monotonic() - start

    def forget(self) -> None:
        """Removes all that a test left on the host."""
        self.command(
            "sh",
            "-c",
            """
            cd /etc/systemd/system
            for unit in $(grep -ls X-ImagingRepository *.mount) test-*.mount; do
              [ -e "$unit" ] || continue
              systemctl disable --quiet --now "$unit"; rm -f "$unit"
            done
            rm -f test-*.service
            umount --quiet --recursive /srv/data /srv/other /mnt
            rm -rf /srv/data /srv/other /var/lib/imaging-repository
            systemctl daemon-reload; systemctl reset-failed
            """,
            check=False,
        )


def actions(answer: dict) -> list[list[str]]:
    """What was done per volume; fails with the module's sentence."""
    assert not answer.get("failed"), answer["msg"]
    return [volume["actions"] for volume in answer["volumes"]]


def host_image() -> str:
    """The image of the container: named by the environment, or the newest that role docker_hosts built."""
    listed = shell("docker", "images", "--quiet", "imaging-repository-host", check=False).stdout.split()
    image = os.environ.get("IMAGING_REPOSITORY_HOST_IMAGE") or "".join(listed[:1])
    assert image, "no host image: build it with playbooks/image.yml, or name one in IMAGING_REPOSITORY_HOST_IMAGE"
    return image


@pytest.fixture(scope="session")
def machine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Host, Loop, Loop]]:
    """The container and its devices `data` and `other`."""
    if os.geteuid() != 0:
        pytest.skip("loop devices need root")
    directory = tmp_path_factory.mktemp("devices")
    name = f"imaging-repository-storage-{uuid.uuid4().hex[:8]}"
    loops = []
    try:
        loops += [Loop(device, directory / f"{device}.img") for device in ("data", "other")]
        devices = [f"--device={loop.path}:{loop.inside}" for loop in loops]
        shell(
            "docker",
            "run",
            "--detach",
            "--name",
            name,
            "--hostname",
            "primary",
            "--cap-add=SYS_ADMIN",
            "--cap-add=NET_ADMIN",
            "--security-opt=seccomp=unconfined",
            "--security-opt=apparmor=unconfined",
            "--tmpfs=/run",
            "--tmpfs=/run/lock",
            "--tmpfs=/tmp",
            "--volume=/sys/fs/cgroup:/sys/fs/cgroup:rw",
            "--stop-signal=SIGRTMIN+3",
            *devices,
            host_image(),
        )
        host = Host(name)
        host.wait()
        host.command("sh", "-c", "apt-get -q update && apt-get -qy install xfsprogs e2fsprogs")
        host.install_module()
        yield host, loops[0], loops[1]
    finally:
        shell("docker", "rm", "--force", "--volumes", name, check=False)
        for loop in loops:
            shell("losetup", "--detach", loop.path, check=False)


@pytest.fixture
def host(machine: tuple[Host, Loop, Loop]) -> Host:
    """The container, without traces of other tests."""
    machine[0].forget()
    return machine[0]


@pytest.fixture
def data(machine: tuple[Host, Loop, Loop], host: Host) -> Loop:
    """A blank device."""
    machine[1].blank()
    return machine[1]


@pytest.fixture
def other(machine: tuple[Host, Loop, Loop], host: Host) -> Loop:
    """A second blank device."""
    machine[2].blank()
    return machine[2]
