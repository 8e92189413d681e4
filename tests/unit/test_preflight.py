# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Questions to a host before anything is written on any."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from pathlib import Path

import pytest
import yaml

from plugins.module_utils.packages import fresh
from plugins.module_utils.preflight import packages, ports, release, users

PROJECT = Path(__file__).parents[2]
DEBIAN_12 = 'PRETTY_NAME="Debian GNU/Linux 12 (bookworm)"\nID=debian\nVERSION_ID="12"\n'
DEBIAN_13 = 'PRETTY_NAME="Debian GNU/Linux 13 (trixie)"\n# ID=x\nID=debian\nVERSION_ID="13"\n'


def test_other_releases_are_refused() -> None:
    assert release.problems(DEBIAN_13, "13") == []
    assert release.problems(DEBIAN_12, "13") == [
        "runs Debian GNU/Linux 12 (bookworm), but this release needs Debian 13; install Debian 13 on it"
    ]
    assert release.problems(DEBIAN_12, "13", "rebuild it")[0].endswith("needs Debian 13; rebuild it")
    assert release.problems('ID="unclosed', "13")[0].startswith("runs no known system")


def test_numbers_that_others_have() -> None:
    wanted = {"postgres": 951, "orthanc": 952}
    assert users.problems(wanted, [users.Entry("root", 0), users.Entry("postgres", 951)], []) == []
    told = users.problems(wanted, [users.Entry("backup2", 951)], [users.Entry("postgres", 113), users.Entry("x", 952)])
    assert told == [
        "the number 951 belongs to user backup2, and the files of postgres on kept volumes have it; "
        "give backup2 another number",
        "group postgres has the number 113, and its files on kept volumes have 951; "
        "remove the package that made it, or give it the number 951",
        "the number 952 belongs to group x, and the files of orthanc on kept volumes have it; give x another number",
    ]


def listener(port: int, address: str = "0.0.0.0", protocol: str = "tcp") -> ports.Listener:
    return ports.Listener(protocol, address, port, "7")


@pytest.mark.parametrize(
    ("found", "wanted", "expected"),
    [
        (listener(8042), {"port": 8042}, True),
        (listener(8043), {"port": 8042}, False),
        (listener(8042, protocol="udp"), {"port": 8042}, False),
        (listener(8042, protocol="udp"), {"port": 8042, "protocol": "udp"}, True),
        (listener(8042, "127.0.0.1"), {"port": 8042}, True),
        (listener(8042, "10.0.0.1"), {"port": 8042}, True),
        (listener(8042, "10.0.0.1"), {"port": 8042, "loopback": True}, False),
        (listener(8042, "::1"), {"port": 8042, "loopback": True}, True),
    ],
)
def test_which_sockets_are_in_the_way(found: ports.Listener, wanted: dict, expected: bool) -> None:
    assert ports.is_in_the_way(found, wanted) is expected


def test_our_own_programs_are_no_problem() -> None:
    wanted = [{"port": 8042, "description": "the image server", "programs": ["a-name-of-twenty-letters"]}]
    for name, unit, told in (("a-name-of-twent", "", 0), ("systemd", "init.scope", 0), ("python3", "x.service", 1)):
        assert len(ports.problems(wanted, [listener(8042)], {"7": ports.Program(name, 123, unit)})) == told
    assert ports.problems(wanted, [listener(8042)], {"7": ports.Program("python3", 123, "x.service")}) == [
        "port 8042 is in use by python3 (pid 123, x.service), and the image server needs it; "
        "stop python3, or let it listen elsewhere"
    ]
    # A feature that names none, and NFS, which listens in the kernel: nobody to stop.
    assert ports.problems([{"port": 8042}], [listener(8042)], {"7": ports.Program("python3", 123, "")}) == []
    assert ports.problems(wanted, [listener(8042)], {}) == []


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6])
def test_listeners_of_this_machine_are_found(family: socket.AddressFamily) -> None:
    with socket.create_server(("::1" if family == socket.AF_INET6 else "127.0.0.1", 0), family=family) as server:
        address, port = server.getsockname()[:2]
        found = [one for one in ports.read_listeners() if one.port == port]
        assert [(one.protocol, one.address) for one in found] == [("tcp", address)]
        program = ports.read_programs({found[0].inode})[found[0].inode]
    assert program.number > 0 and Path(f"/proc/{program.number}/comm").read_text().strip() == program.name


class Apt:
    """Commands of a host that has some packages and lists others."""

    def __init__(self, installed: Sequence[str], answer: tuple[int, str] = (0, "")):
        self.installed, self.answer, self.asked = installed, answer, []

    def __call__(self, command: Sequence[str]) -> tuple[int, str]:
        self.asked.append(" ".join(command[:2]))
        if command[0] == "dpkg-query":
            return 0, "".join(f"{package} installed\n" for package in self.installed) + "gone config-files\n"
        return self.answer if "--print-uris" in command else (0, "")


def test_apt_is_not_asked_where_all_is_installed() -> None:
    apt = Apt(["nginx"])
    assert packages.problems([], command=apt) == [] and apt.asked == []


def test_what_is_installed_is_what_dpkg_says() -> None:
    apt = Apt(["nginx", "xfsprogs"])
    names = ["nginx=1.26.3-3", "gone", "xfsprogs", "e2fsprogs"]
    assert packages.installed(names, command=apt) == ["nginx=1.26.3-3", "xfsprogs"]
    assert packages.installed([], command=apt) == [] and apt.asked == ["dpkg-query --show"]


def test_lists_are_fetched_where_they_are_old() -> None:
    apt = Apt([])
    assert packages.problems(["nginx", "gone"], command=apt, lists_are_fresh=False) == []
    assert apt.asked == ["apt-get update", "apt-get install"]
    apt = Apt([])
    assert packages.problems(["nginx"], update=False, command=apt, lists_are_fresh=False) == []
    assert apt.asked == []


@pytest.mark.parametrize(
    ("output", "sentences"),
    [
        (
            "Reading package lists...\nE: Unable to locate package a\nE: Package 'b' has no installation candidate\n",
            [
                "package a cannot be installed: no source of apt has it; ",
                "package b cannot be installed: no source of apt",
            ],
        ),
        (
            "The following packages have unmet dependencies:\n a : Depends: c (>= 2) but it is not going to be installed\n"
            "E: Unable to correct problems, you have held broken packages.\n",
            ["package a cannot be installed: Depends: c (>= 2) but it is not going to be installed; let"],
        ),
        (
            "E: Held packages were changed and -y was used without --allow-change-held-packages.\n",
            ["packages a, b cannot be installed: Held packages were changed and -y was used without"],
        ),
        ("", ["packages a, b cannot be installed: apt says nothing"]),
    ],
)
def test_what_apt_says_becomes_sentences(output: str, sentences: list[str]) -> None:
    told = packages.problems(["a", "b"], command=Apt([], (100, output)), lists_are_fresh=True)
    assert len(told) == len(sentences) and all(map(str.startswith, told, sentences)), told


def test_apt_asks_the_proxy_and_the_mirror_of_the_site() -> None:
    asked, read = [], []

    def command(words: Sequence[str]) -> tuple[int, str]:
        asked.append(list(words))
        file = next(word.partition("SourceList=")[2] for word in words if "SourceList=" in word)
        read.append(Path(file).read_text())
        return 0, ""

    apt = packages.Apt({"Acquire::http::Proxy": "http://proxy:3128"}, "Types: deb\n")
    assert packages.problems(["nginx"], command=command, lists_are_fresh=False, apt=apt) == []
    assert [words[-1] for words in asked] == ["--error-on=any", "nginx"] and read == ["Types: deb\n"] * 2
    assert all("--option=Acquire::http::Proxy=http://proxy:3128" in words for words in asked)


def test_who_holds_the_lock_of_apt_is_said() -> None:
    locked = "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 9 (unattended-upgr)\n"
    (line,) = packages.problems(["nginx"], command=lambda _words: (100, locked), lists_are_fresh=False, lock_seconds=0)
    assert "held by process 9 (unattended-upgr); run this again when it has finished" in line


def test_lists_are_fresh_for_some_time(tmp_path: Path) -> None:
    assert not fresh(60, str(tmp_path)) and not fresh(60, str(tmp_path / "none"))
    (tmp_path / "deb.debian.org_dists_trixie_main_binary-amd64_Packages").touch()
    assert fresh(60, str(tmp_path)) and not fresh(-1, str(tmp_path))


def test_features_name_the_packages_that_they_install() -> None:
    """Preflight asks for what meta/feature.yml names; a package that a role installs beyond that is found too late."""
    checked: list[str] = []
    for file in PROJECT.glob("roles/*/tasks/install.yml"):
        feature = file.parents[1] / "meta/feature.yml"
        named = yaml.safe_load(feature.read_text()).get("packages", []) if feature.exists() else []
        for task in yaml.safe_load(file.read_text()):
            wanted = task.get("imaging.repository.packages", {}).get("names", [])
            if isinstance(wanted, list):
                checked += wanted
                assert set(wanted) <= set(named), file
    assert "nginx" in checked
