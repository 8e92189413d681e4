# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The feature of docs/adding-a-feature.md, in a copy of the repository: one folder, and all the rest follows."""

from __future__ import annotations

import http.server
import json
import re
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.module_utils import site as site_file
from plugins.plugin_utils import features

from .conftest import REPOSITORY, Tree, configure_line, manual

PAGE = "adding-a-feature.md"
FILES = manual(PAGE)
DEMO = yaml.safe_load((REPOSITORY / "vars" / "demo.yml").read_text(encoding="utf-8"))["site"]
LAB = {"name": "lab", "hosts": [{"name": "greeter", "groups": ["greeter"]}]}


@pytest.fixture(scope="module")
def tree(copy: Tree) -> Tree:
    """Add the feature as the page says: its files, and one line of configure.yml."""
    for name, content in FILES.items():
        assert not (copy.path / name).exists(), f"{name} is not the feature's own"
        copy.write(name, content)
    configure = copy.path / "playbooks" / "configure.yml"
    hooks = "# hooks/after.yml"
    before, mark, after = configure.read_text(encoding="utf-8").partition(hooks)
    configure.write_text(f"{before}{configure_line(PAGE)}\n{mark}{after}", encoding="utf-8")
    copy.write("vars/lab.yml", yaml.safe_dump({"site": LAB}))
    return copy


@pytest.fixture(scope="module")
def schema(tree: Tree) -> site_file.Schema:
    found = features.read(tree.path)
    assert found.problems == []
    return found.schema


def effective(schema: site_file.Schema, **more: Any) -> dict[str, Any]:
    assert schema.problems(DEMO, {**LAB, **more}) == []
    return schema.effective(DEMO, {**LAB, **more})


def site_variables(tree: Tree, *arguments: str) -> dict[str, Any]:
    result = tree.run("ansible-inventory", "--list", "-e@vars/lab.yml", *arguments)
    assert result.returncode == 0, result.stderr
    listing: dict[str, Any] = json.loads(result.stdout)
    return listing


def test_the_feature_is_its_folder_its_playbook_and_its_page() -> None:
    assert {name.split("/greeter")[0] for name in FILES} == {"roles", "playbooks/configure", "docs"}


def test_nothing_else_of_the_repository_names_the_greeter(copy: Tree) -> None:
    result = copy.run("git", "grep", "--cached", "-il", "greeter", "--", ":!tests", ":!*README.md", f":!docs/{PAGE}")
    # The example of a name in a message.
    assert result.stdout.split() == ["plugins/module_utils/site/feature_schema.py"]


# --- The site file ---


def test_its_keys_are_read(schema: site_file.Schema) -> None:
    assert effective(schema)["greeter"] == {"text": "Hello", "port": 8099, "open": True}
    assert effective(schema, greeter={"text": "Bonjour"})["greeter"]["text"] == "Bonjour"


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ({"greeter": {"prot": 8099}}, "site.greeter.prot: unknown key; did you mean port?"),
        ({"greter": {}}, "site.greter: unknown key; did you mean greeter?"),
        ({"greeter": {"port": 80}}, "site.greeter.port: 80 is too small; write 1024 or more"),
        (
            {"hosts": [{"name": "greeter", "groups": ["greter"]}]},
            "site.hosts[0] (greeter).groups[0]: 'greter' is not one of database, greeter, "
            "image_server_primary, image_server_replica, cache, bastion; write greeter",
        ),
        (
            {"hosts": [{"name": "replica", "groups": ["image_server_replica", "greeter"]}]},
            "site.hosts: replica1, replica2 are in the group greeter, which takes one host; leave one in it",
        ),
        (
            {"hosts": [{"name": "database", "groups": ["database", "greeter"]}], "greeter": {"port": 5432}},
            "site.hosts[0] (database).groups: port 5432 is that of PostgreSQL and of the greeter; "
            "put them on two hosts",
        ),
    ],
)
def test_its_mistakes_are_reported(schema: site_file.Schema, content: dict[str, Any], expected: str) -> None:
    assert schema.problems(DEMO, {"name": "lab", **content}) == [expected]


def test_the_other_keys_are_as_they_were(schema: site_file.Schema) -> None:
    known = features.read().schema
    assert set(schema.site.keys) - set(known.site.keys) == {"greeter"}
    assert known.problems(DEMO, {"name": "lab", "greeter": {}})[0].startswith("site.greeter: unknown key")


# --- The inventory ---


def test_the_inventory_has_its_group_and_its_variables(tree: Tree) -> None:
    listing = site_variables(tree)
    hosts = listing["_meta"]["hostvars"]
    assert hosts["localhost"]["site_problems"] == []
    assert listing["greeter"]["hosts"] == ["lab-greeter"]
    own = hosts["lab-greeter"]
    assert own["host_features"] == ["base", "storage", "greeter"]
    assert "greeter" in own["host_verbs"]["preflight"] and "greeter" in own["host_verbs"]["verify"]
    assert "greeter" not in hosts["lab-database"]["host_features"]
    assert own["site_users"]["greeter"] == 961
    assert "python3" in own["host_packages"]
    assert "vault_greeter_seal" in own["site_secrets"]
    assert {port["port"]: port["description"] for port in own["site_ports"]}[8099] == "the greeter"


def test_a_site_without_it_has_nothing_of_it(tree: Tree) -> None:
    result = tree.run("ansible-inventory", "--list", "-e@vars/demo.yml")
    assert "vault_greeter_seal" not in result.stdout
    assert json.loads(result.stdout)["_meta"]["hostvars"]["localhost"]["site_users"].get("greeter") is None


def test_a_mistake_in_its_folder_is_a_problem_like_those_of_the_site_file(tree: Tree) -> None:
    file = tree.path / "roles/greeter/meta/feature.yml"
    sound = file.read_text(encoding="utf-8")
    wrong = (
        "roles/greeter/meta/feature.yml: groups.greeter.hosts: 'at most on' is not one of any, at most one, exactly "
        "one, none; write at most one"
    )
    assert wrong in " ".join((REPOSITORY / "docs" / PAGE).read_text(encoding="utf-8").split())
    try:
        file.write_text(sound.replace("at most one", "at most on"), encoding="utf-8")
        result = tree.run("ansible-playbook", "-e@vars/lab.yml", "playbooks/validate.yml")
        assert result.returncode == 2 and "Traceback" not in result.stdout + result.stderr
        assert wrong in " ".join(result.stdout.split())
    finally:
        file.write_text(sound, encoding="utf-8")


def test_the_check_of_the_page_reports(schema: site_file.Schema, tree: Tree) -> None:
    text = (REPOSITORY / "docs" / PAGE).read_text(encoding="utf-8")
    code = next(
        block for block in re.findall(r"^```\w*\n(.*?)^```$", text, re.DOTALL | re.MULTILINE) if "CHECKS" in block
    )
    file = tree.write("roles/greeter/meta/checks.py", code)
    features.read.cache_clear()
    try:
        found = features.read(tree.path)
        assert found.problems == []
        hosts = [{"name": "proxy", "groups": ["cache", "bastion", "greeter"]}]
        assert found.schema.problems(DEMO, {"name": "lab", "hosts": hosts}) == [
            "site.hosts[0] (proxy).groups: the greeter is at the public host; give it a host of its own"
        ]
    finally:
        file.unlink()
        features.read.cache_clear()


# --- Who reaches it ---

RULE = {"protocol": "tcp", "port": 8099, "sources": ["cache"]}


def test_its_port_is_open_to_the_cache_as_long_as_the_site_wants(schema: site_file.Schema) -> None:
    assert site_file.firewall(schema, effective(schema))["greeter"] == [RULE]
    elsewhere = site_file.firewall(schema, effective(schema, greeter={"port": 9099}))
    assert elsewhere["greeter"] == [{**RULE, "port": 9099}]
    assert site_file.firewall(schema, effective(schema, greeter={"open": False}))["greeter"] == []


def test_a_cloud_gets_its_security_group(schema: site_file.Schema) -> None:
    from plugins.module_utils.openstack.wanted import wanted

    cloud = {"cloud": "a", "image": "b", "network": {"external": "c"}, "ssh_from": ["198.51.100.0/24"]}
    volumes = {"database": "db", "primary": "data", "proxy": "cache"}
    hosts = [
        {"name": name, "flavor": "m1.large", "volumes": [{"name": volumes[name], "gib": 9}] if name in volumes else []}
        for name in ("database", "primary", "replica", "proxy")
    ]
    site = effective(
        schema,
        provider="openstack",
        openstack=cloud,
        public={"name": "images.example.org", "address": "192.0.2.80"},
        hosts=[*hosts, {"name": "greeter", "groups": ["greeter"], "flavor": "m1.small"}],
    )
    want = wanted(site, site_file.site_firewall(schema, site))
    assert want["security_groups"]["lab-greeter"] == [("tcp", 8099, 8099, "lab-cache", "")]
    greeter = next(host for host in want["hosts"] if host["host"] == "greeter")
    assert greeter["security_groups"] == ["lab", "lab-greeter"]


def test_a_server_that_exists_gets_its_rule(schema: site_file.Schema) -> None:
    from plugins.module_utils import nftables

    devices = {"database": "db", "primary": "data", "proxy": "cache"}
    hosts = [
        {
            "name": name,
            "address": f"10.0.0.{number}",
            "volumes": [{"name": devices[name], "device": f"/dev/disk/by-id/{name}"}] if name in devices else [],
        }
        for number, name in enumerate(("database", "primary", "replica", "proxy"), 10)
    ]
    site = effective(
        schema,
        provider="static",
        static={"network": {"cidr": "10.0.0.0/24", "private": True}},
        public={"name": "images.example.org"},
        hosts=[*hosts, {"name": "greeter", "groups": ["greeter"], "address": "10.0.0.20"}],
    )
    firewall = site_file.site_firewall(schema, site)
    text = nftables.render(nftables.openings(firewall, "greeter", nftables.addresses(site["hosts"])))
    assert "ip saddr 10.0.0.13 tcp dport 8099 accept\n" in text


# --- What runs ---


def test_the_playbooks_run_it(tree: Tree) -> None:
    result = tree.run("ansible-playbook", "-e@vars/lab.yml", "--list-tasks", "playbooks/configure.yml")
    assert result.returncode == 0, result.stderr
    assert "imaging.repository.greeter : Run the greeter" in result.stdout


def test_its_secret_is_made(tree: Tree) -> None:
    playbook = tree.write(
        "secrets.yml", "- {hosts: localhost, gather_facts: false, roles: [imaging.repository.secrets]}\n"
    )
    result = tree.run("ansible-playbook", "-e@vars/lab.yml", str(playbook))
    assert result.returncode == 0, result.stdout + result.stderr
    made = yaml.safe_load((tree.path / "state/lab/secrets.yml").read_text(encoding="utf-8"))
    assert len(made["vault_greeter_seal"]) > 20


LINES = """
- hosts: lab-greeter
  gather_facts: false
  vars: {ansible_connection: local, ansible_python_interpreter: "{{ ansible_playbook_python }}"}
  tasks:
    - ansible.builtin.include_role: {name: imaging.repository.greeter, tasks_from: preflight}
    - ansible.builtin.include_role: {name: imaging.repository.greeter, tasks_from: verify}
    # Nothing answers at the port that discards.
    - ansible.builtin.include_role: {name: imaging.repository.greeter, tasks_from: verify}
      vars: {effective_site: {greeter: {port: 9}}}
    - ansible.builtin.copy:
        content: "{{ {'preflight': preflight_lines, 'verify': verify_lines} | to_json }}"
        dest: "{{ playbook_dir }}/lines.json"
        mode: "0600"
"""


@pytest.fixture
def answering() -> Iterator[int]:
    """Answer in the greeter's place."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_port
    server.shutdown()


def test_its_lines_of_preflight_and_verify(tree: Tree, answering: int) -> None:
    playbook = tree.write("lines.yml", LINES)
    site = tree.write("vars/elsewhere.yml", yaml.safe_dump({"site": {**LAB, "greeter": {"port": answering}}}))
    result = tree.run("ansible-playbook", f"-e@{site}", str(playbook))
    assert result.returncode == 0, result.stdout + result.stderr
    found = json.loads((tree.path / "lines.json").read_text(encoding="utf-8"))
    assert found["preflight"] == []
    assert [(line["name"], line["ok"]) for line in found["verify"]] == [
        ("greeter: greeter", True),
        ("greeter: greeter", False),
    ]
    assert found["verify"][1]["remedy"] == "journalctl -u greeter on greeter"


# --- What one reads ---


def test_the_documents_have_it(tree: Tree) -> None:
    result = tree.run("python", "bin/docs")
    assert result.returncode == 0, result.stdout + result.stderr
    changed = tree.run("git", "diff", "--name-only").stdout.split()
    assert sorted(changed) == [
        "docs/features.md",
        "docs/site-file.md",
        "inventory/groups.yml",
        "playbooks/configure.yml",
        "vars/site.schema.json",
    ]
    reference = (tree.path / "docs/site-file.md").read_text(encoding="utf-8")
    assert "### site.greeter" in reference
    assert "| `greeter` | The host that greets. |" in reference
    assert "greeter 961" in (tree.path / "docs/features.md").read_text(encoding="utf-8")
    assert "    greeter:\n" in (tree.path / "inventory/groups.yml").read_text(encoding="utf-8")
    assert "`greeter_text`" in (tree.path / "roles/greeter/README.md").read_text(encoding="utf-8")
    properties = json.loads((tree.path / "vars/site.schema.json").read_text(encoding="utf-8"))["properties"]
    assert properties["site"]["properties"]["greeter"]["properties"]["port"]["maximum"] == 65535
    assert tree.run("python", "bin/docs", "--check").returncode == 0


def test_the_files_of_the_page_follow_the_rules_for_roles(tree: Tree) -> None:
    linted = tree.run("yamllint", *(name for name in FILES if name.endswith(".yml")))
    assert linted.returncode == 0, linted.stdout
    defaults: dict[str, Any] = yaml.safe_load(FILES["roles/greeter/defaults/main.yml"])
    specification = yaml.safe_load(FILES["roles/greeter/meta/argument_specs.yml"])["argument_specs"]["main"]["options"]
    assert {name: option["default"] for name, option in specification.items()} == defaults
    assert Path(tree.path / "roles/greeter/tasks/main.yml").is_file()
