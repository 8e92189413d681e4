# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Vars plugin that offers the secrets of a site and the policies of its image servers to every play."""

from __future__ import annotations

DOCUMENTATION = r"""
name: site
short_description: Secrets of a site and policies of its image servers, for every play
version_added: 0.2.0
description:
  - Offers what is in the secrets file of the site, which the role C(secrets) makes. Secrets that are made in the middle
    of a run are there from the next task on. A secret that the site gives itself is left to the site.
  - Offers C(image_server_policies), a dictionary of the C(roles/image_server_<driver>/meta/policy.yml) of each driver
    of the site.
  - Offers nothing where the inventory has no site, e.g. because its file is wrong.
  - C(ansible-inventory) does not ask this plugin, so that it prints no secret.
author: The imaging.repository authors (@imaging-repository)
options:
  stage:
    description: When the plugin is asked; see the fragment C(vars_plugin_staging) of Ansible.
    type: str
    choices: [all, task, inventory]
    default: task
notes:
  - The file is the variable C(secrets_file) of all hosts, which may be set in a site file or by C(-e), and
    C(state/<site>/secrets.yml) without it. A relative path means the repository.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml
from ansible.errors import AnsibleError
from ansible.inventory.group import InventoryObjectType
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.vars import BaseVarsPlugin
from ansible.template import Templar
from ansible.utils.vars import load_extra_vars

Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
REPOSITORY = Path(__file__).resolve().parents[2]
NO_VARIABLES: dict[str, Any] = {}


class VarsModule(BaseVarsPlugin):  # type: ignore[misc]
    """Offers variables of the group `all`."""

    # Ansible then asks one instance for the whole run.
    is_stateless = True

    def __init__(self) -> None:
        super().__init__()
        self._secrets_file: tuple[Any, Any, str] = (None, None, "")
        # What the secrets file was when it was read, and what was in it.
        self._read: tuple[Any, dict[str, Any]] = (None, NO_VARIABLES)
        self._policies: dict[str, Any] = {}
        # Of which site's variables and which secrets the last answer was made, and the answer.
        self._offered: tuple[Any, int, Any, dict[str, Any]] = (None, 0, None, NO_VARIABLES)

    def get_vars(self, loader: DataLoader, path: str, entities: Any, cache: bool = True) -> dict[str, Any]:
        """Return the variables of all hosts; nothing for other groups and for single hosts.

        Ansible asks several times for each task and host: what is here may cost microseconds.
        """
        entity = entities[0] if isinstance(entities, list) and entities else entities
        if not entity or entity.name != "all" or entity.base_type is not InventoryObjectType.GROUP:
            return NO_VARIABLES
        site = entity.vars
        if "site_state_directory" not in site:
            return NO_VARIABLES
        secrets = self._secrets(loader, site)
        if self._offered[0] is not site or self._offered[1] != len(site) or self._offered[2] is not secrets:
            kept = {name: value for name, value in secrets.items() if name not in site}
            answer = {**kept, "image_server_policies": self._image_server_policies(site)}
            self._offered = (site, len(site), secrets, answer)
        return self._offered[3]

    def _secrets(self, loader: DataLoader, site: Mapping[str, Any]) -> dict[str, Any]:
        """Return what is in the secrets file now."""
        path = self._path(loader, site)
        try:
            status = os.stat(path)
        except (FileNotFoundError, NotADirectoryError):
            self._read = (None, NO_VARIABLES)
            return NO_VARIABLES
        except OSError as error:
            raise AnsibleError(f"secrets: {path} cannot be read: {error.strerror}") from None
        seen = (path, status.st_ino, status.st_mtime_ns, status.st_size)
        if self._read[0] != seen:
            self._read = (seen, read_secrets(loader, path))
        return self._read[1]

    def _path(self, loader: DataLoader, site: Mapping[str, Any]) -> str:
        """Return the secrets file as an absolute path."""
        extra = load_extra_vars(loader)
        given = extra["secrets_file"] if "secrets_file" in extra else site.get("secrets_file")
        state = site["site_state_directory"]
        if self._secrets_file[:2] != (given, state) or not self._secrets_file[2]:
            text = given
            if isinstance(given, str) and "{" in given:
                text = Templar(loader, variables={**site, **extra}).template(given)
            if text is not None and not isinstance(text, str):
                raise AnsibleError(
                    f"secrets_file: {text!r} is no path; write the path of a file, e.g. vault/secrets.yml"
                )
            self._secrets_file = (given, state, secrets_path(text, state))
        return self._secrets_file[2]

    def _image_server_policies(self, site: Mapping[str, Any]) -> dict[str, Any]:
        drivers = site["site_drivers"]
        for driver in drivers:
            if driver not in self._policies:
                self._policies[driver] = read_policy(driver)
        return {str(driver): self._policies[driver] for driver in drivers}


def secrets_path(given: str | None, state_directory: str) -> str:
    """Return the path of the secrets file; `given` is what the site says, relative to the repository or absolute."""
    if not given:
        return os.path.join(state_directory, "secrets.yml")
    return os.path.join(REPOSITORY, os.path.expanduser(given))


def read_secrets(loader: DataLoader, path: str) -> dict[str, Any]:
    """Return the content of a secrets file. No message quotes it."""
    try:
        content = loader.load_from_file(path, cache="none", unsafe=True, trusted_as_template=True)
    except AnsibleError as error:
        raise AnsibleError(f"secrets: {path} {problem(path, error)}") from None
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise AnsibleError(f"secrets: {path} does not hold names and values; restore it from its copy")
    return {str(name): value for name, value in content.items()}


def problem(path: str, error: AnsibleError) -> str:
    """Return why a secrets file could not be read. Ansible's own message may quote a line of it."""
    try:
        with open(path, "rb") as stream:
            start = stream.read(14)
    except OSError as reason:
        return f"cannot be read: {reason.strerror}"
    if start == b"$ANSIBLE_VAULT":
        return "is encrypted by ansible-vault and cannot be decrypted; pass --ask-vault-pass with the right password"
    return "is not valid YAML; restore it from its copy"


def read_policy(driver: str) -> Any:
    """Return the policy of an image server."""
    file = REPOSITORY / "roles" / f"image_server_{driver}" / "meta" / "policy.yml"
    shown = file.relative_to(REPOSITORY)
    try:
        return yaml.load(file.read_bytes(), Loader=Loader)
    except OSError as error:
        raise AnsibleError(
            f"site.image_server: {shown} cannot be read: {error.strerror}; see docs/drivers.md"
        ) from None
    except yaml.YAMLError as error:
        raise AnsibleError(f"site.image_server: {shown} is not valid YAML: {error}") from None
