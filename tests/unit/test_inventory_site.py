# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The inventory plugin and validate.yml, through the real commands."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from plugins.plugin_utils import features

REPOSITORY = Path(__file__).resolve().parents[2]
HOSTS = ["database", "primary", "replica1", "replica2", "proxy"]


def run(*arguments: str, command: str = "ansible-inventory") -> subprocess.CompletedProcess[str]:
    """Run Ansible as a user does: from the repository, with its ansible.cfg."""
    whole = [str(Path(sys.executable).parent / command), *arguments]
    return subprocess.run(whole, cwd=REPOSITORY, capture_output=True, text=True, check=False)


def inventory(*arguments: str) -> dict[str, Any]:
    """Return the inventory that the arguments make."""
    result = run("--list", *arguments)
    assert result.returncode == 0, result.stderr
    return json.loads(result.stdout)


def problems(listing: dict[str, Any]) -> list[str]:
    """Return the problems as texts; ansible-inventory marks them as not to be evaluated."""
    found = listing["_meta"]["hostvars"]["localhost"]["site_problems"]
    return [line["__ansible_unsafe"] if isinstance(line, dict) else line for line in found]


@pytest.fixture
def write(tmp_path: Path) -> Any:
    """Return a function that writes a site file and returns the argument for it."""

    def write_file(content: Any) -> str:
        file = tmp_path / "site.yml"
        file.write_text(content if isinstance(content, str) else yaml.safe_dump(content), encoding="utf-8")
        return f"-e@{file}"

    return write_file


@pytest.fixture(scope="module")
def demo() -> dict[str, Any]:
    return inventory("-e@vars/demo.yml")


def test_the_groups_hold_the_hosts_in_one_order(demo: dict[str, Any]) -> None:
    assert demo["database"]["hosts"] == ["demo-database"]
    assert demo["image_server"]["children"] == ["image_server_primary", "image_server_replica"]
    assert demo["image_server_replica"]["hosts"] == ["demo-replica1", "demo-replica2"]
    assert demo["cache"]["hosts"] == demo["bastion"]["hosts"] == ["demo-proxy"]
    assert demo["site"]["hosts"] == [f"demo-{name}" for name in HOSTS]


def test_every_host_has_the_variables_of_the_site(demo: dict[str, Any]) -> None:
    for name in ["localhost", *demo["site"]["hosts"]]:
        variables = demo["_meta"]["hostvars"][name]
        assert variables["effective_site"]["name"] == "demo"
        assert variables["site_network_cidr"] == "172.30.77.0/24"
        assert variables["site_url"] == "https://localhost:8443"
        assert variables["site_state_directory"] == str(REPOSITORY / "state" / "demo")
        assert variables["site_problems"] == []


def test_what_follows_from_the_features_is_said_once(demo: dict[str, Any]) -> None:
    hosts = demo["_meta"]["hostvars"]
    variables = hosts["demo-replica1"]
    assert variables["site_drivers"] == variables["host_drivers"] == ["orthanc"]
    assert variables["host_features"] == ["base", "storage", "image_server", "share", "image_server_orthanc"]
    assert all(set(names) <= set(variables["host_features"]) for names in variables["host_verbs"].values())
    assert hosts["demo-database"]["host_drivers"] == []
    assert variables["site_users"] == {"postgres": 951, "orthanc": 952, "share": 953}
    assert "vault_database_reader_password" in variables["site_secrets"]
    assert {port["port"] for port in variables["site_ports"]} >= {22, 5432, 8042}
    assert variables["site_firewall"]["hosts"]["proxy"] == ["site", "cache", "bastion", "public"]
    assert variables["site_firewall"]["groups"]["image_server_replica"] == [
        {"protocol": "tcp", "port": 8042, "sources": ["cache"]}
    ]
    assert (variables["site_bastion"], variables["site_spread"]) == ("proxy", ["image_server_replica"])


def test_paths_of_the_site_file_mean_the_repository(write: Any) -> None:
    tls = {"mode": "provided", "certificate": "LICENSE", "key": str(REPOSITORY / "README.md"), "names": []}
    site = inventory(write({"site": {"name": "lab", "public": {"tls": tls}}}))["_meta"]["hostvars"]["lab-proxy"]
    assert site["effective_site"]["public"]["tls"] == {**tls, "certificate": str(REPOSITORY / "LICENSE")}
    assert site["effective_site"]["manifests"] == [str(REPOSITORY / "samples/manifest.yml")]
    # What is in them stops the verbs that make something, and no other.
    (line, _key) = (line["__ansible_unsafe"] if isinstance(line, dict) else line for line in site["site_file_problems"])
    assert line.startswith(f"site.public.tls.certificate: {REPOSITORY}/LICENSE holds no certificate in PEM"), line


def test_a_container_is_reached_without_any_call(demo: dict[str, Any]) -> None:
    variables = demo["_meta"]["hostvars"]["demo-database"]
    assert variables["ansible_connection"] == "community.docker.docker"
    assert variables["ansible_host"] == "demo-database"
    assert variables["host_name"] == "database"
    assert variables["host_address"] == "172.30.77.16"
    assert variables["host_memory_mib"] == 768
    assert variables["host_volumes"] == [
        {
            "name": "db",
            "gib": 2,
            "mount": "/var/lib/postgresql",
            "file_system": "xfs",
            "device": "/dev/disk/by-id/imaging-repository-db",
        }
    ]


def test_localhost_uses_this_python(demo: dict[str, Any]) -> None:
    variables = demo["_meta"]["hostvars"]["localhost"]
    assert variables["ansible_connection"] == "local"
    assert variables["ansible_python_interpreter"] == sys.executable


def test_an_override_says_only_what_differs(write: Any) -> None:
    listing = inventory(write({"site": {"name": "lab", "hosts": [{"name": "replica", "count": 3}]}}))
    assert problems(listing) == []
    assert listing["image_server_replica"]["hosts"] == ["lab-replica1", "lab-replica2", "lab-replica3"]
    assert listing["_meta"]["hostvars"]["lab-proxy"]["host_address"] == "172.30.77.64"


STATIC = {
    "name": "clinic",
    "provider": "static",
    "static": {"user": "debian", "bastion": "proxy", "network": {"cidr": "10.0.0.0/24", "private": True}},
    "public": {"name": "images.example.org"},
    "hosts": [
        {"name": "database", "address": "10.0.0.10", "volumes": [{"name": "db", "device": "/dev/disk/by-id/a"}]},
        {"name": "primary", "address": "10.0.0.11", "volumes": [{"name": "data", "device": "/dev/disk/by-id/b"}]},
        {"name": "replica", "address": "10.0.0.12"},
        {
            "name": "proxy",
            "address": "192.0.2.80",
            "private_address": "10.0.0.13",
            "volumes": [{"name": "cache", "device": "/dev/disk/by-id/c"}],
        },
    ],
}


def test_static_servers_are_reached_through_the_bastion(write: Any) -> None:
    hosts = inventory(write({"site": STATIC}))["_meta"]["hostvars"]
    assert hosts["clinic-database"]["ansible_host"] == "10.0.0.10"
    assert hosts["clinic-database"]["ansible_user"] == "debian"
    assert hosts["clinic-database"]["ansible_ssh_common_args"] == "-o ProxyJump=debian@192.0.2.80"
    assert hosts["clinic-database"]["host_volumes"] == [
        {"name": "db", "mount": "/var/lib/postgresql", "file_system": "xfs", "device": "/dev/disk/by-id/a"}
    ]
    assert hosts["clinic-proxy"]["ansible_host"] == "192.0.2.80"
    assert hosts["clinic-proxy"]["host_address"] == "10.0.0.13"
    assert "ansible_ssh_common_args" not in hosts["clinic-proxy"]
    assert hosts["localhost"]["site_url"] == "https://images.example.org"
    assert hosts["localhost"]["effective_site"]["public"]["address"] == "192.0.2.80"


def test_packages_come_through_the_controller_where_the_site_says_so(write: Any) -> None:
    hosts = inventory(write({"site": {**STATIC, "packages": {"proxy": "controller"}}}))["_meta"]["hostvars"]
    assert hosts["clinic-proxy"]["ansible_ssh_common_args"] == "-o RemoteForward=127.0.0.1:3142"
    assert hosts["clinic-database"]["ansible_ssh_common_args"] == (
        "-o RemoteForward=127.0.0.1:3142 -o ProxyJump=debian@192.0.2.80"
    )
    assert hosts["localhost"]["site_packages_proxy"] == "socks5h://127.0.0.1:3142"


def test_what_features_replace_is_said_of_servers_that_exist_only(write: Any) -> None:
    site = {**STATIC, "static": {**STATIC["static"], "takeover": ["/etc/nginx"]}}
    hosts = inventory(write({"site": site}))["_meta"]["hostvars"]
    assert hosts["clinic-proxy"]["host_replaces"] == [{"path": "/etc/nginx", "feature": "cache", "takeover": True}]
    assert hosts["clinic-database"]["host_replaces"] == [
        {"path": "/etc/postgresql", "feature": "database", "takeover": False}
    ]
    site["static"]["takeover"] = ["/etc/ngin"]
    assert problems(inventory(write({"site": site}))) == [
        "site.static.takeover: nothing of a site replaces '/etc/ngin'; did you mean /etc/nginx?"
    ]


def test_static_servers_are_reached_by_the_ssh_configuration_of_the_file(write: Any, tmp_path: Path) -> None:
    configuration = tmp_path / "ssh config"
    configuration.touch()
    site = {**STATIC, "static": {**STATIC["static"], "ssh_config": str(configuration)}}
    hosts = inventory(write({"site": site}))["_meta"]["hostvars"]
    assert hosts["clinic-proxy"]["ansible_ssh_common_args"] == f"-F '{configuration}'"
    assert shlex.split(hosts["clinic-database"]["ansible_ssh_common_args"]) == [
        *("-F", str(configuration)),
        *("-o", f"ProxyCommand=ssh -F '{configuration}' -W [%h]:%p debian@192.0.2.80"),
    ]
    configuration.unlink()
    assert problems(inventory(write({"site": site}))) == [
        f"site.static.ssh_config: '{configuration}' does not exist; write a path from {REPOSITORY} or an absolute one"
    ]


OPENSTACK = {
    "name": "lab",
    "provider": "openstack",
    "openstack": {
        "cloud": "nowhere",
        "image": "b",
        "network": {"external": "c"},
        "ssh_from": ["198.51.100.0/24"],
    },
    "public": {"name": "images.example.org", "address": "192.0.2.80"},
    "hosts": [
        {"name": name, "flavor": "m1.large", "volumes": [{"name": volume, "gib": 9}] if volume else []}
        for name, volume in (("database", "db"), ("primary", "data"), ("replica", ""), ("proxy", "cache"))
    ],
}


@pytest.fixture
def no_clouds(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Let clouds.yaml be one without the cloud of the site, whatever the developer has."""
    file = tmp_path / "clouds.yaml"
    file.write_text("clouds: {embassy: {auth: {auth_url: 'http://127.0.0.1:9/v3', username: a, password: b}}}\n")
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(file))
    return file


def test_hosts_in_a_cloud_exist_before_it_knows_them(write: Any, no_clouds: Path) -> None:
    argument = write({"site": OPENSTACK})
    result = run("--list", argument)
    assert result.returncode == 0, result.stderr
    listing = json.loads(result.stdout)
    assert problems(listing) == []
    assert listing["site"]["hosts"] == ["lab-database", "lab-primary", "lab-replica", "lab-proxy"]
    hosts = listing["_meta"]["hostvars"]
    assert hosts["lab-database"]["host_address"] == "192.168.77.16"
    assert hosts["lab-database"]["ansible_host"] == "lab-database"
    assert hosts["lab-database"]["ansible_ssh_common_args"] == f"-F {REPOSITORY}/state/lab/ssh/config"
    assert "device" not in hosts["lab-database"]["host_volumes"][0]
    assert hosts["localhost"]["site_bastion_address"] == ""
    assert hosts["localhost"]["site_public_address"] == "192.168.77.64"
    assert "it has: embassy" in hosts["localhost"]["site_cloud_problem"]
    assert "Traceback" not in result.stderr and "site.openstack.cloud" in result.stderr


def test_a_cloud_that_does_not_answer_is_a_sentence(write: Any, no_clouds: Path) -> None:
    site = {**OPENSTACK, "openstack": {**OPENSTACK["openstack"], "cloud": "embassy"}}
    result = run("--list", write({"site": site}))
    assert result.returncode == 0 and "Traceback" not in result.stderr, result.stderr
    problem = json.loads(result.stdout)["_meta"]["hostvars"]["lab-proxy"]["site_cloud_problem"]
    assert problem.startswith("cloud embassy: identity does not answer")


def test_a_mistake_in_the_file_asks_no_cloud(write: Any, no_clouds: Path) -> None:
    result = run("--list", write({"site": {**OPENSTACK, "provder": "openstack"}}))
    assert problems(json.loads(result.stdout)) == ["site.provder: unknown key; did you mean provider?"]
    assert "cloud" not in result.stderr


def test_without_a_site_there_is_only_localhost_with_the_remedy() -> None:
    listing = inventory()
    assert problems(listing) == ["site: no site file given; pass -e @vars/<site>.yml"]
    assert list(listing["_meta"]["hostvars"]) == ["localhost"]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("site:\n", "site.name: is missing; write the name of this site, for example idr127"),
        ("site: {name: a}\ndestroy_volume: true\n", "destroy_volume: unknown variable; did you mean destroy_volumes?"),
        ("site: {name: lab, base: dem}\n", "site.base: there is no vars/dem.yml; did you mean demo?"),
        (
            "site: {name: lab, manifests: [nowhere.yml]}\n",
            f"site.manifests[0]: 'nowhere.yml' does not exist; write a path from {REPOSITORY} or an absolute one",
        ),
    ],
)
def test_a_wrong_site_leaves_only_localhost_and_the_problems(write: Any, content: str, expected: str) -> None:
    listing = inventory(write(content))
    assert list(listing["_meta"]["hostvars"]) == ["localhost"]
    assert problems(listing) == [expected]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('site: {name: "{{ 1 / 0 }}"}\n', "site.name: '{{ 1 / 0 }}' is no name of small letters, digits and hyphens"),
        ('site: {name: a, docker: {directory: "{{ 1 / 0 }}"}}\n', "site.docker.directory: '{{ 1 / 0 }}' is a template"),
        ("site: &loop\n  name: lab\n  docker: *loop\n", "site.docker.docker: unknown key; it belongs to site"),
        ("site: {name: lab, hosts: !!set {a, b}}\n", "site.hosts: a value of another kind is not a list"),
        ("site: {name: !!binary aGVsbG8=}\n", "site.name: binary data is no name of small letters"),
        ("site: {name: !vault x}\n", "site.name: a value of another kind is no name of small letters"),
    ],
)
def test_validate_lists_the_problems_and_touches_nothing(write: Any, content: str, expected: str) -> None:
    result = run(write(content), "playbooks/validate.yml", command="ansible-playbook")
    assert result.returncode == 2, result.stdout + result.stderr
    assert "Traceback" not in result.stdout + result.stderr
    assert expected in result.stdout
    assert result.stdout.count(expected) == 1
    assert "changed=0" in result.stdout


def test_validate_names_the_sound_site_in_one_line() -> None:
    result = run("-e@vars/demo.yml", "playbooks/validate.yml", command="ansible-playbook")
    assert result.returncode == 0, result.stdout + result.stderr
    assert "Site demo is sound" in result.stdout


@pytest.mark.parametrize("content", ["site:\n  name: lab\n   provider: [\n", "- a\n", "\x00"])
def test_a_file_that_is_no_yaml_is_named_without_a_trace(write: Any, content: str) -> None:
    argument = write(content)
    result = run("--list", argument)
    assert result.returncode != 0
    assert "Traceback" not in result.stderr
    assert argument[3:] in result.stderr


def test_the_option_site_file_holds_without_extra_variables(tmp_path: Path) -> None:
    (tmp_path / "test-site.yml").write_text("site: {name: lab}\ncache_warm_concurrency: 3\n", encoding="utf-8")
    source = tmp_path / "site.yml"
    source.write_text("plugin: imaging.repository.site\nsite_file: test-site.yml\n", encoding="utf-8")
    listing = inventory(f"-i{source}")
    assert problems(listing) == []
    assert listing["_meta"]["hostvars"]["lab-proxy"]["cache_warm_concurrency"] == 3


@pytest.fixture
def base() -> Iterator[Callable[[str], None]]:
    """Return a function that writes vars/unit-test-base.yml: a base has to stand beside the demo."""
    file = REPOSITORY / "vars" / "unit-test-base.yml"
    yield lambda content: file.write_text(content, encoding="utf-8") and None
    file.unlink(missing_ok=True)


def test_a_base_has_a_base_and_lends_its_variables(write: Any, base: Callable[[str], None]) -> None:
    base("site: {name: older, public: {https_port: 9443}}\ncache_warm_concurrency: 3\n")
    listing = inventory(write("site: {name: lab, base: unit-test-base, public: {http_port: 9080}}"))
    assert problems(listing) == []
    variables = listing["_meta"]["hostvars"]["lab-proxy"]
    assert variables["cache_warm_concurrency"] == 3
    assert variables["effective_site"]["public"]["https_port"] == 9443
    assert variables["effective_site"]["public"]["http_port"] == 9080


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (
            "site: {name: older, base: unit-test-base}\n",
            ["site.base: unit-test-base -> unit-test-base is a circle; let one of them be based on demo"],
        ),
        (
            "site: {name: older, publc: {}}\n",
            ["vars/unit-test-base.yml site.publc: unknown key; did you mean public?"],
        ),
        (
            "site: {name: older}\ndestroy_volume: true\n",
            ["vars/unit-test-base.yml destroy_volume: unknown variable; did you mean destroy_volumes?"],
        ),
        ("- site\n", ["vars/unit-test-base.yml: is no mapping of variables; begin it with site:"]),
        ("site: [\n", None),
    ],
)
def test_a_wrong_base_is_reported(
    write: Any, base: Callable[[str], None], content: str, expected: list[str] | None
) -> None:
    base(content)
    found = problems(inventory(write("site: {name: lab, base: unit-test-base}")))
    assert found == expected if expected else found[0].startswith("vars/unit-test-base.yml: ")


def test_the_scenarios_have_their_own_site() -> None:
    listing = inventory("-imolecule/inventory")
    assert problems(listing) == []
    assert listing["site"]["hosts"] == [f"molecule-{name}" for name in HOSTS]


def test_the_list_of_groups_is_that_of_the_schema() -> None:
    groups = yaml.safe_load((REPOSITORY / "inventory" / "groups.yml").read_text(encoding="utf-8"))
    found: dict[str, str] = {}

    def visit(parent: str, content: Any) -> None:
        for name, inner in ((content or {}).get("children") or {}).items():
            found[name] = parent
            visit(name, inner)

    visit("site", groups["site"])
    assert found == {name: group.parent for name, group in features.read().schema.groups.items()}
