# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Inventory plugin that makes the hosts of a site out of its site file."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site
short_description: Hosts of an image repository, from its site file
description:
  - Reads C(site) from the extra variables (C(-e @vars/<site>.yml)) or from O(site_file), merges it over its base and
    offers the hosts in their groups, before any of them exists.
  - Never fails on a wrong site file. It then offers only C(localhost) with C(site_problems), and the role C(site),
    first in every verb, reports them.
  - The other variables of the bases and of O(site_file) become variables of all hosts.
  - With provider openstack it asks the cloud for the servers, volumes and addresses of the site. A cloud that does not
    answer is a warning and the variable C(site_cloud_problem); what needs no answer of it goes on.
author: The imaging.repository authors (@imaging-repository)
options:
  plugin:
    description: Marks an inventory file as one for this plugin.
    type: str
    required: true
    choices: [imaging.repository.site]
  site_file:
    description: A site file that holds when the extra variables have no C(site), relative to the inventory file.
    type: str
"""

EXAMPLES = r"""
# inventory/site.yml (any name that ends with site.yml), for: ansible-playbook -e @vars/<site>.yml playbooks/site.yml
plugin: imaging.repository.site
"""

import re
import shlex
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template
from ansible.utils.vars import load_extra_vars
from ansible_collections.imaging.repository.plugins.module_utils import site as schema
from ansible_collections.imaging.repository.plugins.module_utils.openstack_plan import HOST, SITE, VOLUME

# libyaml's reader is ten times as fast; PyYAML may be built without it.
Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
REPOSITORY = Path(__file__).resolve().parents[2]
DEMO = "demo"
DEVICE_LINK = "/dev/disk/by-id/imaging-repository-{}"
NO_SITE = "site: no site file given; pass -e @vars/<site>.yml"
# nova's oldest disks know only so much of the id of their volume.
DISK_ID_LENGTH = 20
# Not longer than an operator waits for a verb to begin: what needs the cloud asks it again, with more patience.
CLOUD_PATIENCE_SECONDS = 5


class InventoryModule(BaseInventoryPlugin):
    """Offers the hosts of one site."""

    NAME = "imaging.repository.site"

    def verify_file(self, path: str) -> bool:
        """Accept files named site.yml, whatever stands before that."""
        return super().verify_file(path) and path.endswith("site.yml")

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory from the site file."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        self.problems: list[str] = []
        self._offer_groups()
        content = self._given(path)
        if "site" in content:
            # An empty `site:` is a mapping without keys: the message then names the first key to write.
            overrides = {} if content["site"] is None else content["site"]
            base = self._base(overrides)
            self.problems += schema.problems(base, overrides)
            self._offer_variables(content)
            site = schema.effective(base, overrides)
            self.problems += missing_files(site)
            if not self.problems:
                self._offer_hosts(site)
        elif not self.problems:
            self.problems = [NO_SITE]
        # Not trusted: a problem may quote a template, which must be printed and not evaluated.
        inventory.set_variable("all", "site_problems", self.problems)

    def _given(self, path: str) -> dict[str, Any]:
        """Return the content of the site file: the extra variables, or else the file of the option."""
        try:
            extra = load_extra_vars(self.loader)
        except AnsibleError as error:
            # Ansible itself stops at this error right after, and shows the line.
            self.problems.append(f"-e: {first_line(error)}; correct the file")
            return {}
        self._check_variables(extra)
        option = self.get_option("site_file")
        if "site" in extra or not option:
            return extra
        content = self._read((Path(path).parent / option).resolve(), option)
        self._check_variables(content)
        return content

    def _base(self, site: Any) -> Any:
        """Return what a site is merged over: its base over the base of that, and so on down to the demo."""
        layers: dict[str, dict[str, Any]] = {}
        name = base_name(site)
        while DEMO not in layers:
            file = REPOSITORY / "vars" / f"{name}.yml"
            if name in layers:
                circle = " -> ".join([*layers, name])
                self.problems.append(f"site.base: {circle} is a circle; let one of them be based on {DEMO}")
                name = DEMO
            elif not file.is_file() and name != DEMO:
                self.problems.append(f"site.base: there is no vars/{name}.yml; {schema.one_of(name, site_files())}")
                name = DEMO
            else:
                layers[name] = self._read(file, f"vars/{name}.yml")
                name = base_name(layers[name].get("site"))
        base: Any = None
        for name, layer in reversed(layers.items()):
            if "site" in layer and layer["site"] != site:
                self.problems += [f"vars/{name}.yml {line}" for line in schema.file_problems(layer["site"])]
                self._check_variables(layer, f"vars/{name}.yml ")
                self._offer_variables(layer)
            base = schema.merged(base, layer.get("site"))
        return base

    def _read(self, file: Path, shown: str) -> dict[str, Any]:
        try:
            content = self.loader.load_from_file(str(file), trusted_as_template=True)
        except AnsibleError as error:
            self.problems.append(f"{shown}: {first_line(error)}; correct the file")
            return {}
        if isinstance(content, dict):
            return content
        self.problems.append(f"{shown}: is no mapping of variables; begin it with site:")
        return {}

    def _check_variables(self, content: dict[str, Any], file: str = "") -> None:
        if set(content) - {"site"}:
            self.problems += [file + line for line in schema.variable_problems(content, role_variables())]

    def _offer_variables(self, content: dict[str, Any]) -> None:
        for name, value in content.items():
            if name != "site" and isinstance(name, str) and name.isidentifier():
                self.inventory.set_variable("all", name, value)

    def _offer_groups(self) -> None:
        self.inventory.add_group("site")
        # playbooks/provision.yml puts the hosts here that only a real run would make; plays leave them out.
        self.inventory.add_group("unprovisioned")
        for name, group in schema.GROUPS.items():
            self.inventory.add_group(name)
            self.inventory.add_child(group.parent, name)
        self.inventory.add_host("localhost")
        self.inventory.set_variable("localhost", "ansible_connection", trusted("local"))
        self.inventory.set_variable("localhost", "ansible_python_interpreter", trusted(sys.executable))

    def _offer_hosts(self, site: dict[str, Any]) -> None:
        cloud = self._ask_cloud(site) if site["provider"] == "openstack" else {}
        for name, value in site_variables(site, cloud).items():
            self.inventory.set_variable("all", name, trusted(value))
        for host in site["hosts"]:
            full_name = f"{site['name']}-{host['name']}"
            self.inventory.add_host(full_name, group="site")
            for group in host["groups"]:
                self.inventory.add_child(group, full_name)
            for name, value in host_variables(site, host, cloud).items():
                self.inventory.set_variable(full_name, name, trusted(value))

    def _ask_cloud(self, site: dict[str, Any]) -> dict[str, Any]:
        """Return what a cloud knows of a site, as known() does, or `{"problem": sentence}`."""
        # Only here: the library takes longer to import than the rest of the inventory to make.
        from ansible_collections.imaging.repository.plugins.module_utils import openstack_cloud

        try:
            if not openstack_cloud.HAS_OPENSTACK:
                raise openstack_cloud.CloudError("openstacksdk is not installed; run pip install -r requirements.txt")
            cloud = openstack_cloud.Cloud(site["openstack"]["cloud"], patience_seconds=CLOUD_PATIENCE_SECONDS)
            result = known(
                site["name"],
                cloud.list("server", name=f"^{site['name']}-"),
                cloud.list("volume", metadata=str({SITE: site["name"]})),
                cloud.list("address"),
            )
        except openstack_cloud.CloudError as error:
            self.display.warning(f"{error}. The hosts of {site['name']} are offered without what the cloud knows")
            return {"problem": str(error)}
        names = [host["name"] for host in site["hosts"]]
        for name in sorted(set(result) - set(names)):
            self.display.warning(
                f"the server {site['name']}-{name} belongs to the site, but its file has no host {name}; it is left "
                "alone. Add the host to the file, or remove the server by hand"
            )
        return {"hosts": result}


def known(
    site_name: str, servers: list[dict[str, Any]], volumes: list[dict[str, Any]], addresses: list[dict[str, Any]]
) -> dict[str, dict[str, Any]]:
    """Return what the inventory needs of a cloud's lists, by the names of the site's hosts.

    Each is `{"address", "floating_ip", "volumes": {name: id}}` with "" for an address that it does not have. The lists
    are those of https://docs.openstack.org/api-ref/: compute, block storage and network.
    """
    floating = {
        (address.get("port_details") or {}).get("device_id"): address["floating_ip_address"] for address in addresses
    }
    hosts = {}
    for server in servers:
        marks = server["metadata"]
        if marks.get(SITE) == site_name and HOST in marks:
            own = [entry["addr"] for entries in server["addresses"].values() for entry in entries]
            public = floating.get(server["id"], "")
            hosts[marks[HOST]] = {
                "address": next((address for address in own if address != public), ""),
                "floating_ip": public,
                "volumes": {},
            }
    for volume in volumes:
        marks = volume["metadata"]
        if marks.get(SITE) == site_name and marks.get(HOST) in hosts and VOLUME in marks:
            hosts[marks[HOST]]["volumes"][marks[VOLUME]] = volume["id"]
    return hosts


def site_variables(site: dict[str, Any], cloud: dict[str, Any]) -> dict[str, Any]:
    """Return the variables that all hosts of an effective site share; `cloud` is what it knows, or {}."""
    if site["provider"] == "openstack":
        addresses = {
            # Never what the public name leads to: until the switch that is another site.
            "site_public_address": openstack_address(site, cloud, lambda host: host["public"])
            or next(host["address"] for host in site["hosts"] if host["public"]),
            "site_bastion_address": openstack_address(site, cloud, lambda host: "bastion" in host["groups"]),
            "site_cloud_problem": cloud.get("problem", ""),
        }
    else:
        addresses = {"site_public_address": site["public"].get("address", "")}
    return addresses | {
        "effective_site": site,
        "site_network_cidr": site[site["provider"]]["network"]["cidr"],
        "site_url": schema.url(site),
        "image_server_driver": site["image_server"]["driver"],
        "site_state_directory": str(REPOSITORY / "state" / site["name"]),
    }


def openstack_address(site: dict[str, Any], cloud: dict[str, Any], wanted: Callable[[dict[str, Any]], bool]) -> str:
    """Return the floating IP of the host that is wanted, or ""."""
    name = next(host["name"] for host in site["hosts"] if wanted(host))
    return cloud.get("hosts", {}).get(name, {}).get("floating_ip", "")


def host_variables(site: dict[str, Any], host: dict[str, Any], cloud: dict[str, Any]) -> dict[str, Any]:
    """Return the variables of one host of an effective site; `cloud` is what it knows, or {}."""
    variables = {"host_name": host["name"], "host_volumes": host["volumes"]}
    if site["provider"] == "docker":
        variables |= {
            "ansible_connection": "community.docker.docker",
            "ansible_host": f"{site['name']}-{host['name']}",
            # Already root: become costs no sudo.
            "ansible_user": "root",
            "host_address": host["address"],
            "host_memory_mib": host["memory_mib"],
            "host_volumes": [{**volume, "device": DEVICE_LINK.format(volume["name"])} for volume in host["volumes"]],
        }
    elif site["provider"] == "openstack":
        server = cloud.get("hosts", {}).get(host["name"], {})
        configuration = REPOSITORY / "state" / site["name"] / "ssh" / "config"
        variables |= {
            # A name of that configuration, which role openstack writes.
            "ansible_host": f"{site['name']}-{host['name']}",
            "ansible_ssh_common_args": f"-F {shlex.quote(str(configuration))}",
            "host_address": server.get("address") or host["address"],
            "host_volumes": [
                openstack_volume(volume, server.get("volumes", {}).get(volume["name"])) for volume in host["volumes"]
            ],
        }
    elif site["provider"] == "static":
        variables |= {
            "ansible_host": host["address"],
            "ansible_user": site["static"]["user"],
            "host_address": host.get("private_address", host["address"]),
        }
        variables |= static_ssh_variables(site, host)
    return variables


def openstack_volume(volume: dict[str, Any], identity: str | None) -> dict[str, Any]:
    """Return a volume with its device; without one while the cloud does not know the volume."""
    return {**volume, "device": f"/dev/disk/by-id/*{identity[:DISK_ID_LENGTH]}*"} if identity else volume


def static_ssh_variables(site: dict[str, Any], host: dict[str, Any]) -> dict[str, Any]:
    """Return how SSH reaches a server that exists: by which configuration, through which host."""
    static, arguments = site["static"], []
    if "ssh_config" in static:
        # ssh hands it on to the connection to the bastion; options of the command line it does not.
        arguments.append(f"-F {shlex.quote(str(REPOSITORY / static['ssh_config']))}")
    bastion = static.get("bastion", host["name"])
    if host["name"] != bastion:
        jump = next(other["address"] for other in site["hosts"] if other["name"] == bastion)
        arguments.append(f"-o ProxyJump={static['user']}@{jump}")
    return {"ansible_ssh_common_args": " ".join(arguments)} if arguments else {}


def missing_files(site: dict[str, Any]) -> list[str]:
    """Return one line for each file that a site names and this machine does not have."""
    tls = site["public"]["tls"]
    files = {f"site.manifests[{index}]": file for index, file in enumerate(site["manifests"])}
    files |= {f"site.public.tls.{key}": tls[key] for key in ("certificate", "key") if key in tls}
    if "ssh_config" in site.get("static", {}):
        files["site.static.ssh_config"] = site["static"]["ssh_config"]
    return [
        f"{path}: '{file}' does not exist; write a path from {REPOSITORY} or an absolute one"
        for path, file in files.items()
        if not (REPOSITORY / file).exists()
    ]


def base_name(site: Any) -> str:
    """Return the name of the file below a site; a name that the schema refuses counts as none."""
    name = site.get("base") if isinstance(site, dict) else None
    return name if isinstance(name, str) and re.fullmatch(r"[a-z][a-z0-9-]{0,63}", name) else DEMO


def site_files() -> list[str]:
    """Return the names of the site files in the repository."""
    return sorted(file.stem for file in (REPOSITORY / "vars").glob("*.yml"))


def role_variables() -> Iterable[str]:
    """Yield the variables of all roles, from their argument specifications."""
    for file in sorted(REPOSITORY.glob("roles/*/meta/argument_specs.yml")):
        try:
            specification = yaml.load(file.read_bytes(), Loader=Loader)
            for entry_point in specification["argument_specs"].values():
                yield from entry_point.get("options") or {}
        except (yaml.YAMLError, AttributeError, KeyError, TypeError):
            # Ansible reports a broken specification when it runs the role.
            continue


def first_line(error: AnsibleError) -> str:
    """Return what an error of Ansible says, without the excerpt of the file."""
    return str(error.message).splitlines()[0].rstrip(".")


def trusted(value: Any) -> Any:
    """Mark texts as Ansible marks those of its own files. The schema refuses templates, so none can hide in them."""
    if isinstance(value, dict):
        return {key: trusted(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [trusted(inner) for inner in value]
    return trust_as_template(value) if isinstance(value, str) else value
