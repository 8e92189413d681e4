# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The one place that talks to the Docker engine: networks, containers, and the package cache of all sites."""

from __future__ import annotations

import contextlib
import io
import json
import os
import stat
import tarfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from .devices import PRIVATE, SiteError, loops, private_directory
from .plan import (
    PACKAGES_NAME,
    PACKAGES_PORT,
    SITE_LABEL,
    SPECIFICATION_LABEL,
    Found,
    FoundHost,
    FoundNetwork,
    Host,
    Want,
    packages_address,
    specification_label,
)

try:
    import docker  # type: ignore[import-untyped]
    from docker.errors import APIError, DockerException, ImageNotFound, NotFound  # type: ignore[import-untyped]

    HAS_DOCKER = True
except ImportError:
    HAS_DOCKER = False

# What systemd needs of a container. It is no wall: SYS_ADMIN without filters of system calls, and the machine's control
# groups, writable, let root of a container become root of this machine (docs/start.md says so).
CONTAINER: dict[str, Any] = {
    "detach": True,
    "cap_add": ["SYS_ADMIN", "NET_ADMIN"],
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "tmpfs": {"/run": "", "/run/lock": "", "/tmp": "mode=1777"},
    "stop_signal": "SIGRTMIN+3",
}

BOOT_SECONDS = 180
PACKAGES_USER, PACKAGES_FOLDER = "apt-cacher-ng", "packages"


@contextlib.contextmanager
def sentences() -> Iterator[None]:
    """Turn what the library of Docker raises into a sentence."""
    try:
        yield
    except DockerException as error:
        raise SiteError(
            f"the Docker engine does not answer as expected: {error}; is it running, and may this user use it "
            "(docker info)?"
        ) from None


def connect() -> Any:
    """Return a connection to the Docker engine of this machine."""
    return docker.from_env()


def find(client: Any, want: Want, directory: Path) -> Found:
    """Return what is there."""
    attached = loops()
    files = sorted((directory / "volumes").glob("*.img"))
    hosts: dict[str, FoundHost] = {}
    for summary in client.api.containers(all=True):
        labels, name = summary.get("Labels") or {}, summary["Names"][0].lstrip("/")
        site = labels.get(SITE_LABEL)
        if site == want["name"] or name in {host["name"] for host in want["hosts"]}:
            hosts[name] = {
                "site": site,
                "running": summary["State"] == "running",
                "memory_bytes": client.api.inspect_container(name)["HostConfig"]["Memory"],
                "specification": json.loads(labels.get(SPECIFICATION_LABEL, "{}")),
            }
    network: FoundNetwork | None = None
    for summary in client.api.networks(names=[want["name"]]):
        if summary["Name"] == want["name"]:
            network = {
                "site": (summary.get("Labels") or {}).get(SITE_LABEL),
                "cidr": ((summary["IPAM"].get("Config") or [{}])[0]).get("Subnet"),
            }
    try:
        packages = client.api.inspect_container(PACKAGES_NAME)
        connected = packages["State"]["Running"] and want["name"] in packages["NetworkSettings"]["Networks"]
    except NotFound:
        connected = None
    return {
        "network": network,
        "packages": connected,
        "hosts": hosts,
        "volumes": {str(file): {"bytes": file.stat().st_size, "loop": attached.get(str(file))} for file in files},
    }


def make_network(client: Any, want: Want) -> None:
    """Make a bridge of the site's own."""
    pool = docker.types.IPAMPool(subnet=want["cidr"])
    try:
        client.networks.create(
            want["name"],
            labels={SITE_LABEL: want["name"]},
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
        )
    except APIError as error:
        raise SiteError(
            f"site.docker.network.cidr: {want['cidr']} was refused ({error.explanation}); "
            "choose a range that no other network of this machine uses"
        ) from None


def make_packages(client: Any, want: Want, image: str, directory: Path) -> None:
    """Make the package cache, one for all sites, and let the network of this one reach it."""
    store = directory.parent / PACKAGES_FOLDER
    if not store.exists():
        private_directory(store)
    try:
        container = client.containers.get(PACKAGES_NAME)
    except NotFound:
        container = client.containers.create(
            image,
            [
                "/usr/sbin/apt-cacher-ng",
                "-c",
                "/etc/apt-cacher-ng",
                "ForeGround=1",
                "CacheDir=/packages",
                "LogDir=/tmp",
                "PidFile=/tmp/apt-cacher-ng.pid",
                "SocketPath=/tmp/apt-cacher-ng.socket",
                f"Port:{PACKAGES_PORT}",
            ],
            name=PACKAGES_NAME,
            hostname=PACKAGES_NAME,
            detach=True,
            user=PACKAGES_USER,
            volumes={str(store): {"bind": "/packages", "mode": "rw"}},
        )
    own_packages(container, store)
    store.chmod(PRIVATE)
    container.start()
    container.reload()
    if want["name"] not in container.attrs["NetworkSettings"]["Networks"]:
        client.networks.get(want["name"]).connect(container, ipv4_address=packages_address(want["cidr"]))


def keep_packages_private(client: Any, directory: Path) -> None:
    """Close the folder of the packages where an earlier version left it open to all."""
    store = directory.parent / PACKAGES_FOLDER
    if store.exists() and stat.S_IMODE(store.stat().st_mode) != PRIVATE:
        own_packages(client.containers.get(PACKAGES_NAME), store)
        store.chmod(PRIVATE)


def own_packages(container: Any, store: Path) -> None:
    """Give the folder of the packages to the user of the package cache, whose number the image chose."""
    chunks, _about = container.get_archive("/etc/passwd")
    with tarfile.open(fileobj=io.BytesIO(b"".join(chunks))) as archive:
        entry = archive.extractfile("passwd")
        lines = entry.read().decode().splitlines() if entry else []
    user, group = next((int(f[2]), int(f[3])) for f in (line.split(":") for line in lines) if f[0] == PACKAGES_USER)
    if (store.stat().st_uid, store.stat().st_gid) == (user, group):
        return
    for folder, folders, names in os.walk(store):
        for name in (*folders, *names):
            os.chown(os.path.join(folder, name), user, group, follow_symlinks=False)
    # Last: until then the next run begins again.
    os.chown(store, user, group)


def remove_packages(client: Any) -> None:
    """Remove the package cache: it goes with the last site that used it; the packages themselves stay on disk."""
    try:
        container = client.containers.get(PACKAGES_NAME)
    except NotFound:
        return
    if not set(container.attrs["NetworkSettings"]["Networks"]) - {"bridge"}:
        container.remove(force=True)


def make_host(client: Any, want: Want, host: Host, image: str, directory: Path) -> None:
    """Make a container with the host's devices, address and published ports, started."""
    specification = host["specification"]
    packages = directory / "packages.conf"
    packages.write_text(f'Acquire::http::Proxy "http://{packages_address(want["cidr"])}:{PACKAGES_PORT}";\n')
    settings = dict(CONTAINER)
    if client.info().get("CgroupVersion") == "2":
        settings["cgroupns"] = "host"
    devices = [f"{link}:{device}:rwm" for device, link in specification["devices"].items()]
    if os.path.exists("/dev/fuse"):
        devices.append("/dev/fuse:/dev/fuse:rwm")
    network = client.api.create_networking_config(
        {want["name"]: client.api.create_endpoint_config(ipv4_address=specification["address"])}
    )
    try:
        container = client.containers.create(
            image,
            name=host["name"],
            hostname=host["name"],
            network=want["name"],
            networking_config=network["EndpointsConfig"],
            mem_limit=host["memory_bytes"],
            memswap_limit=host["memory_bytes"],
            devices=devices,
            ports={f"{inside}/tcp": ("127.0.0.1", outside) for inside, outside in specification["ports"].items()},
            volumes={
                "/sys/fs/cgroup": {"bind": "/sys/fs/cgroup", "mode": "rw"},
                str(packages): {"bind": "/etc/apt/apt.conf.d/30packages", "mode": "ro"},
            },
            labels={
                SITE_LABEL: want["name"],
                SPECIFICATION_LABEL: specification_label(specification),
            },
            **settings,
        )
    except ImageNotFound:
        raise SiteError(f"image {image} is not on this machine; role docker_hosts builds it") from None
    start(container)


def start(container: Any) -> None:
    """Start a container; an engine error becomes a sentence."""
    try:
        container.start()
    except APIError as error:
        raise SiteError(f"host {container.name} does not start: {error.explanation}") from None


def wait_for_boot(client: Any, names: list[str]) -> None:
    """Return when systemd of every named host has finished booting."""
    deadline = time.monotonic() + BOOT_SECONDS
    for name in names:
        container = client.containers.get(name)
        while True:
            container.reload()
            if container.status == "exited":
                raise SiteError(
                    f"host {name} stopped at once with status {container.attrs['State']['ExitCode']}; "
                    "with 255 and no log the machine is out of inotify instances: "
                    "sysctl fs.inotify.max_user_instances=1024, or remove other containers"
                )
            try:
                output = container.exec_run(["systemctl", "is-system-running"]).output.decode().strip()
            except APIError:
                output = "starting"
            if output in ("running", "degraded"):
                break
            if time.monotonic() > deadline:
                raise SiteError(
                    f"host {name} did not finish booting in {BOOT_SECONDS} s ({output}); "
                    f"look at: docker exec {name} systemctl list-jobs"
                )
            time.sleep(0.3)


def remove_host(container: Any) -> None:
    """Stop the host's services in order, so that its volumes are left clean, then remove the container."""
    container.stop(timeout=60)
    container.remove(v=True)
