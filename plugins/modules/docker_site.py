#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: docker_site
short_description: Makes the hosts of a site exist as systemd containers on this machine
version_added: 0.1.0
description:
  - Makes the network, the volumes and the hosts of a site with C(site.provider=docker) exist, in one call.
  - Volumes are sparse files on loop devices that appear as block devices in the containers. A device is found by its
    file, never by its number, so that everything is attached again after a reboot of the machine.
  - Nothing that exists is replaced or made smaller. Where the site file asks for that, nothing at all is written and
    all such places are reported.
  - A container that the engine of another site shares, C(imaging-repository-packages), caches Debian packages.
options:
  site:
    description: The effective site, as the inventory gives it.
    type: dict
    required: true
  state:
    description: V(absent) removes all containers and the network of the site.
    type: str
    choices: [present, absent]
    default: present
  image:
    description: Docker image of a Debian 13 with systemd. Used for new hosts only.
    type: str
  replace_hosts:
    description: Short names of hosts whose container is thrown away and made anew. Their volumes stay.
    type: list
    elements: str
    default: []
  destroy_volumes:
    description: With O(state=absent), removes the volumes and all data on them as well.
    type: bool
    default: false
attributes:
  check_mode:
    description: Reads only; returns the plan.
    support: full
  diff_mode:
    description: Shows the plan, a line a resource.
    support: full
requirements:
  - docker (Python) >= 7.1
  - root, for loop devices
author:
  - The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Make the hosts of the site exist
  imaging.repository.docker_site:
    site: "{{ effective_site }}"
    image: imaging-repository-host:1

- name: Show what would be removed
  imaging.repository.docker_site:
    site: "{{ effective_site }}"
    state: absent
  check_mode: true
"""

RETURN = r"""
plan:
  description: One step a resource.
  returned: always
  type: list
  elements: dict
  contains:
    kind: {description: "network, packages, volume or host.", type: str}
    name: {description: Name of the resource., type: str}
    action: {description: "keep, create, change, refuse, unknown or remove.", type: str}
    detail: {description: What is changed or why it is refused., type: str}
table:
  description: The plan for people.
  returned: always
  type: str
missing_hosts:
  description: Inventory names of hosts that do not run yet, which is possible in check mode only.
  returned: always
  type: list
  elements: str
"""

import fcntl
import json
import os
import socket
import struct
import subprocess
import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.imaging.repository.plugins.module_utils import docker_site, plan

try:
    import docker
    from docker.errors import APIError, DockerException, NotFound

    HAS_DOCKER = True
except ImportError:
    HAS_DOCKER = False

# What systemd needs of a container, and not the whole machine as with --privileged.
CONTAINER = {
    "detach": True,
    "cap_add": ["SYS_ADMIN", "NET_ADMIN"],
    "security_opt": ["seccomp=unconfined", "apparmor=unconfined"],
    "tmpfs": {"/run": "", "/run/lock": "", "/tmp": "mode=1777"},
    "stop_signal": "SIGRTMIN+3",
}
BOOT_SECONDS = 60


class SiteError(Exception):
    """A sentence for the user: what is wrong and what to do."""


def losetup(*arguments: str) -> str:
    """Output of losetup(8), the one tool that works on loop devices by their file."""
    done = subprocess.run(["losetup", *arguments], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SiteError(
            f"losetup {' '.join(arguments)} failed: {done.stderr.strip()}; "
            "run as root on a machine whose kernel has loop devices"
        )
    return done.stdout


def loops() -> dict[str, str]:
    """Attached loop devices: file -> device."""
    listed = json.loads(losetup("--json", "--list", "--output", "NAME,BACK-FILE") or '{"loopdevices": []}')
    return {entry["back-file"]: entry["name"] for entry in listed["loopdevices"] if entry["back-file"]}


def find(client, want: dict, directory: Path) -> dict:
    """What is there; the shape is that of docker_site.plan()."""
    attached = loops()
    files = sorted((directory / "volumes").glob("*.img"))
    hosts = {}
    for summary in client.api.containers(all=True):
        labels, name = summary.get("Labels") or {}, summary["Names"][0].lstrip("/")
        site = labels.get(docker_site.SITE_LABEL)
        if site == want["name"] or name in {host["name"] for host in want["hosts"]}:
            hosts[name] = {
                "site": site,
                "running": summary["State"] == "running",
                "memory_bytes": client.api.inspect_container(name)["HostConfig"]["Memory"],
                "specification": json.loads(labels.get(docker_site.SPECIFICATION_LABEL, "{}")),
            }
    network = None
    for summary in client.api.networks(names=[want["name"]]):
        if summary["Name"] == want["name"]:
            network = {
                "site": (summary.get("Labels") or {}).get(docker_site.SITE_LABEL),
                "cidr": ((summary["IPAM"].get("Config") or [{}])[0]).get("Subnet"),
            }
    try:
        packages = client.api.inspect_container(docker_site.PACKAGES_NAME)
        connected = packages["State"]["Running"] and want["name"] in packages["NetworkSettings"]["Networks"]
    except NotFound:
        connected = None
    return {
        "network": network,
        "packages": connected,
        "hosts": hosts,
        "volumes": {str(file): {"bytes": file.stat().st_size, "loop": attached.get(str(file))} for file in files},
    }


def check_ports(want: dict, steps: list[dict]) -> None:
    """Refuses a published port that another program holds, before anything is made."""
    starting = {step["name"] for step in steps if step["kind"] == "host" and step["action"] in ("create", "change")}
    for host in want["hosts"]:
        for port in host["specification"]["ports"].values() if host["name"] in starting else ():
            with socket.socket() as listener:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    listener.bind(("127.0.0.1", port))
                except OSError:
                    # A running container that is replaced or given more memory holds its own port.
                    if not any(step["name"] == host["name"] and step["action"] == "change" for step in steps):
                        raise SiteError(
                            f"site.public: port {port} of this machine is in use; stop what listens there "
                            f"(ss -ltnp 'sport = {port}') or choose another https_port or http_port"
                        ) from None


def check_disk(want: dict, found: dict, directory: Path) -> None:
    """Refuses volumes that could never be filled: a full disk below a file system damages what is on it."""
    parent = next(path for path in (directory, *directory.parents) if path.exists())
    free = os.statvfs(parent)
    free_bytes = free.f_bavail * free.f_frsize
    growth = sum(
        max(0, volume["bytes"] - found["volumes"].get(volume["file"], {"bytes": 0})["bytes"])
        for volume in want["volumes"]
    )
    if growth > free_bytes:
        raise SiteError(
            f"site.docker.directory: {directory} has {free_bytes / docker_site.GIB:.1f} GiB free, the new "
            f"volumes may take {growth / docker_site.GIB:.1f} GiB; free some space, make the volumes "
            "smaller, or choose another directory"
        )


def make_network(client, want: dict) -> None:
    """A bridge of the site's own."""
    pool = docker.types.IPAMPool(subnet=want["cidr"])
    try:
        client.networks.create(
            want["name"],
            labels={docker_site.SITE_LABEL: want["name"]},
            ipam=docker.types.IPAMConfig(pool_configs=[pool]),
        )
    except APIError as error:
        raise SiteError(
            f"site.docker.network.cidr: {want['cidr']} was refused ({error.explanation}); "
            "choose a range that no other network of this machine uses"
        ) from None


def make_packages(client, want: dict, image: str, directory: Path) -> None:
    """The package cache, one for all sites, reachable in the network of this one."""
    store = directory.parent / "packages"
    store.mkdir(parents=True, exist_ok=True)
    store.chmod(0o777)
    try:
        container = client.containers.get(docker_site.PACKAGES_NAME)
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
                f"Port:{docker_site.PACKAGES_PORT}",
            ],
            name=docker_site.PACKAGES_NAME,
            hostname=docker_site.PACKAGES_NAME,
            detach=True,
            user="apt-cacher-ng",
            volumes={str(store): {"bind": "/packages", "mode": "rw"}},
        )
    container.start()
    container.reload()
    if want["name"] not in container.attrs["NetworkSettings"]["Networks"]:
        client.networks.get(want["name"]).connect(container, ipv4_address=docker_site.packages_address(want["cidr"]))


def make_volume(volume: dict) -> None:
    """File, loop device and the link that names it; each step only where it is missing."""
    file, link = Path(volume["file"]), Path(volume["link"])
    for parent in (file.parent, link.parent):
        parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    with open(file, "ab") as handle:
        if os.fstat(handle.fileno()).st_size < volume["bytes"]:
            handle.truncate(volume["bytes"])
    file.chmod(0o600)
    device = loops().get(str(file))
    if device is None:
        device = losetup("--find", "--show", str(file)).strip()
    elif device_bytes(device) < volume["bytes"]:
        losetup("--set-capacity", device)
    point(link, device)


def device_bytes(device: str) -> int:
    """Size of a block device: ioctl BLKGETSIZE64 of <linux/fs.h>."""
    with open(device, "rb") as handle:
        return struct.unpack("Q", fcntl.ioctl(handle, 0x80081272, bytes(8)))[0]


def point(link: Path, device: str) -> None:
    """Docker resolves the link when a container starts, so the device may have another number after a reboot."""
    if not link.is_symlink() or os.readlink(link) != device:
        new = link.with_suffix(".new")
        new.unlink(missing_ok=True)
        new.symlink_to(device)
        new.rename(link)


def make_host(client, want: dict, host: dict, image: str, directory: Path) -> None:
    """A container with the host's devices, address and published ports, started."""
    specification = host["specification"]
    packages = directory / "packages.conf"
    packages.write_text(
        f'Acquire::http::Proxy "http://{docker_site.packages_address(want["cidr"])}:{docker_site.PACKAGES_PORT}";\n'
    )
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
                docker_site.SITE_LABEL: want["name"],
                docker_site.SPECIFICATION_LABEL: docker_site.specification_label(specification),
            },
            **settings,
        )
    except docker.errors.ImageNotFound:
        raise SiteError(f"image {image} is not on this machine; role docker_hosts builds it") from None
    start(container)


def start(container) -> None:
    """Starts a container; an engine error becomes a sentence."""
    try:
        container.start()
    except APIError as error:
        raise SiteError(f"host {container.name} does not start: {error.explanation}") from None


def wait_for_boot(client, names: list[str]) -> None:
    """Returns when systemd of every named host has finished booting."""
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


def apply(client, want: dict, steps: list[dict], image: str, directory: Path) -> None:
    """Writes what the plan says, in the order in which one thing needs the other."""
    action = {(step["kind"], step["name"]): step["action"] for step in steps}
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    if action["network", want["name"]] == "create":
        make_network(client, want)
    if action["packages", docker_site.PACKAGES_NAME] != "keep":
        make_packages(client, want, image, directory)
    attached = loops()
    for volume in want["volumes"]:
        if action["volume", volume["name"]] in ("create", "change"):
            make_volume(volume)
        else:
            point(Path(volume["link"]), attached[volume["file"]])
    changed = [host for host in want["hosts"] if action["host", host["name"]] != "keep"]
    for host in changed:
        if action["host", host["name"]] == "change":
            container = client.containers.get(host["name"])
            if host["name"] in want["replace"]:
                remove_host(container)
            else:
                container.update(mem_limit=host["memory_bytes"], memswap_limit=host["memory_bytes"])
                start(container)
                continue
        make_host(client, want, host, image, directory)
    wait_for_boot(client, [host["name"] for host in changed])


def remove_host(container) -> None:
    """Stops the host's services in order, so that its volumes are left clean, then removes the container."""
    container.stop(timeout=60)
    container.remove(v=True)


def remove(client, want: dict, steps: list[dict], directory: Path) -> None:
    """Writes the plan of a removal."""
    attached = loops()
    for step in steps:
        if step["kind"] == "host":
            remove_host(client.containers.get(step["name"]))
        elif step["kind"] == "network":
            network = client.networks.get(step["name"])
            for container in network.containers:
                network.disconnect(container, force=True)
            network.remove()
        else:
            if step["name"] in attached:
                losetup("--detach", attached[step["name"]])
            if step["action"] == "remove":
                os.unlink(step["name"])
    for link in (directory / "devices").glob("*"):
        link.unlink()
    remove_packages(client)


def remove_packages(client) -> None:
    """The package cache goes with the last site that used it; the packages themselves stay on disk."""
    try:
        container = client.containers.get(docker_site.PACKAGES_NAME)
    except NotFound:
        return
    if not set(container.attrs["NetworkSettings"]["Networks"]) - {"bridge"}:
        container.remove(force=True)


def run(module: AnsibleModule) -> dict:
    """Lists, plans, and writes unless in check mode."""
    client = docker.from_env()
    parameters = module.params
    directory = Path(parameters["site"]["docker"]["directory"]) / parameters["site"]["name"]
    want = docker_site.wanted(parameters["site"], parameters["replace_hosts"])
    found = find(client, want, directory)
    if parameters["state"] == "absent":
        steps = docker_site.removal(want, found, parameters["destroy_volumes"])
    else:
        steps = docker_site.plan(want, found)
        refused = [f"{step['kind']} {step['name']}: {step['detail']}" for step in steps if step["action"] == "refuse"]
        if refused:
            raise SiteError("nothing was changed:\n" + "\n".join(refused))
        check_ports(want, steps)
        check_disk(want, found, directory)
    changed = plan.writes(steps)
    table = plan.table(steps)
    result = {
        "changed": changed,
        "plan": steps,
        "table": table,
        "missing_hosts": [
            host["name"] for host in want["hosts"] if not found["hosts"].get(host["name"], {}).get("running")
        ],
    }
    if changed:
        result["diff"] = {"before": "", "after": table, "before_header": "now", "after_header": "plan"}
    if not module.check_mode:
        if parameters["state"] == "absent":
            remove(client, want, steps, directory)
        else:
            apply(client, want, steps, parameters["image"], directory)
            result["missing_hosts"] = []
    return result


def main() -> None:
    """Entry point; see DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "site": {"type": "dict", "required": True},
            "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
            "image": {"type": "str"},
            "replace_hosts": {"type": "list", "elements": "str", "default": []},
            "destroy_volumes": {"type": "bool", "default": False},
        },
        required_if=[("state", "present", ["image"])],
        supports_check_mode=True,
    )
    if not HAS_DOCKER:
        module.fail_json(msg=missing_required_lib("docker"))
    try:
        result = run(module)
    except (SiteError, OSError) as error:
        module.fail_json(msg=str(error))
    except DockerException as error:
        module.fail_json(
            msg=f"the Docker engine does not answer as expected: {error}; is it running, and may this "
            "user use it (docker info)?"
        )
    module.exit_json(**result)


if __name__ == "__main__":
    main()
