# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The vars plugin: secrets and policies for every play."""

from __future__ import annotations

import time
from pathlib import Path

import pytest
import yaml
from ansible.errors import AnsibleError
from ansible.inventory.group import Group
from ansible.inventory.host import Host
from ansible.parsing.dataloader import DataLoader

from plugins.vars import site as vars_site

PROJECT = Path(__file__).parents[2]


def group(state: Path, **variables: object) -> Group:
    made = Group("all")
    for name, value in {"site_state_directory": str(state), "site_drivers": ["orthanc"], **variables}.items():
        made.set_variable(name, value)
    return made


def offered(plugin: vars_site.VarsModule, entity: object) -> dict:
    return plugin.get_vars(DataLoader(), "inventory", [entity])


def test_secrets_and_policies_are_offered(tmp_path: Path) -> None:
    (tmp_path / "secrets.yml").write_text("vault_a: one\n")
    found = offered(vars_site.VarsModule(), group(tmp_path))
    assert found["vault_a"] == "one"
    policy = yaml.safe_load((PROJECT / "roles/image_server_orthanc/meta/policy.yml").read_text())
    assert found["image_server_policies"] == {"orthanc": policy}


def test_secrets_made_in_the_middle_of_a_run_are_there(tmp_path: Path) -> None:
    plugin, everybody = vars_site.VarsModule(), group(tmp_path)
    assert set(offered(plugin, everybody)) == {"image_server_policies"}
    file = tmp_path / "secrets.yml"
    for secret in ("one", "two"):
        # Replaced at once, as the role secrets does it.
        (tmp_path / "new").write_text(f"vault_a: {secret}\n")
        (tmp_path / "new").replace(file)
        assert offered(plugin, everybody)["vault_a"] == secret
    file.unlink()
    assert "vault_a" not in offered(plugin, everybody)


def test_a_secret_that_the_site_gives_is_left_to_it(tmp_path: Path) -> None:
    (tmp_path / "secrets.yml").write_text("vault_a: one\nvault_b: two\n")
    found = offered(vars_site.VarsModule(), group(tmp_path, vault_a="mine"))
    assert "vault_a" not in found and found["vault_b"] == "two"


def test_the_secrets_file_of_the_site_is_read(tmp_path: Path) -> None:
    (tmp_path / "other.yml").write_text("vault_a: other\n")
    everybody = group(tmp_path / "state", secrets_file=str(tmp_path / "other.yml"))
    assert offered(vars_site.VarsModule(), everybody)["vault_a"] == "other"
    assert vars_site.secrets_path("vault/a.yml", "/s") == str(PROJECT / "vault/a.yml")
    assert vars_site.secrets_path("~/a.yml", "/s") == str(Path.home() / "a.yml")
    assert vars_site.secrets_path(None, "/s") == "/s/secrets.yml"


def test_without_a_site_and_for_single_hosts_nothing_is_offered(tmp_path: Path) -> None:
    plugin = vars_site.VarsModule()
    assert offered(plugin, Group("all")) == {}
    assert offered(plugin, Group("cache")) == {}
    assert offered(plugin, Host("all")) == {}


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('vault_a: "hush\n - [', "is not valid YAML; restore it from its copy"),
        ("[hush]", "does not hold names and values; restore it from its copy"),
        ("$ANSIBLE_VAULT;1.1;AES256\n6162\n", "is encrypted by ansible-vault and cannot be decrypted"),
    ],
)
def test_a_damaged_file_is_a_sentence_that_quotes_nothing(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "secrets.yml").write_text(content)
    with pytest.raises(AnsibleError) as error:
        offered(vars_site.VarsModule(), group(tmp_path))
    assert message in str(error.value) and "hush" not in str(error.value)


def test_a_driver_without_a_policy_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(AnsibleError, match=r"roles/image_server_none/meta/policy\.yml cannot be read"):
        offered(vars_site.VarsModule(), group(tmp_path, site_drivers=["none"]))


def test_asking_again_costs_microseconds(tmp_path: Path) -> None:
    (tmp_path / "secrets.yml").write_text("vault_a: one\n")
    plugin, everybody, loader = vars_site.VarsModule(), group(tmp_path), DataLoader()
    plugin.get_vars(loader, "inventory", [everybody])
    started = time.process_time()
    for _ in range(1000):
        plugin.get_vars(loader, "inventory", [everybody])
    assert time.process_time() - started < 0.1
