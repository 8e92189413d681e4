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
  - What a site can be made of it reads from the features, C(roles/*/meta/feature.yml). From them follow for each host
    C(host_features), C(host_verbs), C(host_packages) and C(host_drivers), and for all hosts C(site_drivers),
    C(site_secrets), C(site_users), C(site_ports), C(site_firewall), C(site_spread) and C(site_bastion).
  - Paths of the site file mean the repository; in C(effective_site) they are absolute.
  - Never fails on a wrong site file, or on a wrong folder of a feature. It then offers only C(localhost) with
    C(site_problems), and the role C(site), first in every verb, reports them.
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
import stat
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml
from ansible import constants
from ansible.errors import AnsibleError
from ansible.plugins.inventory import BaseInventoryPlugin
from ansible.template import trust_as_template
from ansible.utils.vars import load_extra_vars
from ansible_collections.imaging.repository.plugins.module_utils.openstack.wanted import SITE
from ansible_collections.imaging.repository.plugins.module_utils.site import (
    absolute,
    one_of,
    paths,
    resolved_paths,
)
from ansible_collections.imaging.repository.plugins.plugin_utils import features
from ansible_collections.imaging.repository.plugins.plugin_utils.site_hosts import (
    REPOSITORY,
    host_variables,
    known,
    site_variables,
)

NAME = "imaging.repository.site"
DEMO = "demo"
NO_SITE = "site: no site file given; pass -e @vars/<site>.yml"
# Not longer than an operator waits for a verb to begin: what needs the cloud asks it again, with more patience.
CLOUD_PATIENCE_SECONDS = 5


class InventoryModule(BaseInventoryPlugin):
    """Offers the hosts of one site."""

    NAME = NAME

    def verify_file(self, path: str) -> bool:
        """Accept files named site.yml, whatever stands before that."""
        return super().verify_file(path) and path.endswith("site.yml")

    def parse(self, inventory: Any, loader: Any, path: str, cache: bool = True) -> None:
        """Fill the inventory from the site file."""
        super().parse(inventory, loader, path, cache)
        self._read_config_data(path)
        found = features.read()
        self.schema = found.schema
        # A feature that is not sound makes problems of the site that are none.
        self.problems: list[str] = [*found.problems, *settings_problems()]
        self._offer_groups()
        content = {} if self.problems else self._given(path)
        if "site" in content:
            # An empty `site:` is a mapping without keys: the message then names the first key to write.
            overrides = {} if content["site"] is None else content["site"]
            base = self._base(overrides)
            self.problems += self.schema.problems(base, overrides)
            self._offer_variables(content)
            site = self.schema.effective(base, overrides)
            self.problems += self._missing_files(site)
            if not self.problems:
                resolved = resolved_paths(self.schema.site, site, str(REPOSITORY))
                # Not among the problems: a certificate that has ended must not keep anybody from looking or removing.
                inventory.set_variable("all", "site_file_problems", features.file_problems(self.schema, resolved))
                self._offer_hosts(resolved)
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
                self.problems.append(f"site.base: there is no vars/{name}.yml; {one_of(name, site_files())}")
                name = DEMO
            else:
                layers[name] = self._read(file, f"vars/{name}.yml")
                name = base_name(layers[name].get("site"))
        base: Any = None
        for name, layer in reversed(layers.items()):
            if "site" in layer and layer["site"] != site:
                self.problems += [f"vars/{name}.yml {line}" for line in self.schema.file_problems(layer["site"])]
                self._check_variables(layer, f"vars/{name}.yml ")
                self._offer_variables(layer)
            base = self.schema.merged(base, layer.get("site"))
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
            self.problems += [file + line for line in self.schema.variable_problems(content, role_variables())]

    def _missing_files(self, site: dict[str, Any]) -> list[str]:
        """Return one line for each file that a site names and this machine does not have."""
        return [
            f"{path}: '{file}' does not exist; write a path from {REPOSITORY} or an absolute one"
            for path, field, file in paths(self.schema.site, site, "site")
            if field.exists and not Path(absolute(file, str(REPOSITORY))).exists()
        ]

    def _offer_variables(self, content: dict[str, Any]) -> None:
        for name, value in content.items():
            if name != "site" and isinstance(name, str) and name.isidentifier():
                self.inventory.set_variable("all", name, value)

    def _offer_groups(self) -> None:
        self.inventory.add_group("site")
        # playbooks/provision.yml puts the hosts here that only a real run would make; plays leave them out.
        self.inventory.add_group("unprovisioned")
        for name in self.schema.groups:
            self.inventory.add_group(name)
        for name, group in self.schema.groups.items():
            self.inventory.add_child(group.parent, name)
        self.inventory.add_host("localhost")
        self.inventory.set_variable("localhost", "ansible_connection", trusted("local"))
        self.inventory.set_variable("localhost", "ansible_python_interpreter", trusted(sys.executable))

    def _offer_hosts(self, site: dict[str, Any]) -> None:
        cloud = self._ask_cloud(site) if site["provider"] == "openstack" else {}
        for name, value in site_variables(self.schema, site, cloud).items():
            self.inventory.set_variable("all", name, trusted(value))
        for host in site["hosts"]:
            full_name = f"{site['name']}-{host['name']}"
            self.inventory.add_host(full_name, group="site")
            for group in host["groups"]:
                self.inventory.add_child(group, full_name)
            for name, value in host_variables(self.schema, site, host, cloud).items():
                self.inventory.set_variable(full_name, name, trusted(value))

    def _ask_cloud(self, site: dict[str, Any]) -> dict[str, Any]:
        """Return what a cloud knows of a site, as known() does, or `{"problem": sentence}`."""
        # Only here: the library takes longer to import than the rest of the inventory to make.
        from ansible_collections.imaging.repository.plugins.module_utils.openstack import cloud as openstack_cloud

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


def settings_problems() -> list[str]:
    """Return why the repository's ansible.cfg is not in use: without it the plays have no secrets and hosts no speed."""
    settings = REPOSITORY / "ansible.cfg"
    if NAME in constants.VARIABLE_PLUGINS_ENABLED:
        return []
    if REPOSITORY.stat().st_mode & stat.S_IWOTH:
        return [
            f"ansible: {settings} is ignored, because everybody may write to {REPOSITORY}; take that from others "
            f"(chmod o-w {shlex.quote(str(REPOSITORY))})"
        ]
    return [
        f"ansible: {settings} is not in use; run this in its folder (cd {shlex.quote(str(REPOSITORY))}), or say "
        f"export ANSIBLE_CONFIG={shlex.quote(str(settings))}"
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
            specification = yaml.load(file.read_bytes(), Loader=features.Loader)
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
