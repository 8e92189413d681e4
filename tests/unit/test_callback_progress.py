# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The compact output, as a real ansible-playbook prints it on three local hosts."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from plugins.plugin_utils import report

REPOSITORY = Path(__file__).resolve().parents[2]
ANSIBLE_PLAYBOOK = Path(sys.executable).parent / "ansible-playbook"
PLAYBOOK = REPOSITORY / "tests" / "unit" / "progress" / "play.yml"


@pytest.fixture
def play(tmp_path):
    """Return a function that runs the play and returns its exit code and what it printed."""

    def run(*options: str, **environment: str) -> tuple[int, str]:
        done = subprocess.run(
            [ANSIBLE_PLAYBOOK, "-i", "a,b,c", "-c", "local", PLAYBOOK, "-e", f"folder={tmp_path}", *options],
            cwd=REPOSITORY,
            env={
                **{name: value for name, value in os.environ.items() if not name.startswith("ANSIBLE_")},
                "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
                "ANSIBLE_INVENTORY_ENABLED": "ansible.builtin.host_list",
                "IMAGING_REPOSITORY_SLOW_SECONDS": "60",
                **environment,
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout

    return run


def test_a_run_in_a_few_lines(play):
    code, output = play()
    assert code == 0, output
    assert "\x1b" not in output
    lines = [re.sub(r"^ *\d+ s", "N s", line) for line in output.splitlines() if "without a change" not in line]
    # The hosts fail in any order.
    harmless = re.findall(r"Fail without harm \((.)\)", output)
    assert sorted(harmless) == ["a", "b", "c"]
    assert lines == [
        "Do things",
        "N s  Change a little - changed a, b, c",
        "name  size",
        "data  4 GiB",
        "N s  Write a file - changed a, b, c",
        *(f"   ...  Fail without harm ({host}): failed, which does no harm here" for host in harmless),
        "Go on, each host by itself",
        "N s  Change freely - changed a, b, c",
        "",
        lines[-1],
    ]
    assert re.fullmatch(r"done in .* s on 3 hosts, changed=9", lines[-1])


def test_failures_are_whole_and_end_the_report(play):
    code, output = play("-e", "wrong=b")
    assert code == 2
    assert "FAILED  Find what is wrong (b)\n" in output
    assert "        site.hosts[0]: is wrong; correct it\n        site.hosts[1]: is wrong as well\n" in output
    assert "at tests/unit/progress/play.yml:" in output
    assert re.search(r"\nstopped after .* s, failed on b, changed=", output)
    assert "{" not in output and "\\n" not in output
    # What a command printed belongs to its failure.
    output = play("-e", "wrong=command")[1]
    assert "to the one" in output and "to the other" in output and "failed on a, b, c" in output


def test_secrets_stay_secret(play):
    code, output = play("-e", "leak=1")
    assert code == 2 and "FAILED  Keep a secret (a)" in output and "hunter2" not in output


def test_a_check_shows_differences(play, tmp_path):
    code, output = play("--check", "--diff", "-e", "text=new")
    assert (
        code == 0
        and "+new" in output
        and "Write a file - would change a, b, c\n" in output
        and "only planned: this was a check" in output
    )
    assert not list(tmp_path.iterdir())


def test_a_long_step_is_named_while_it_runs(play):
    output = play(
        "-e", "pause_seconds=4", IMAGING_REPOSITORY_SLOW_SECONDS="3", IMAGING_REPOSITORY_PATIENCE_SECONDS="2"
    )[1]
    assert "   ...  Take long\n" in output
    assert re.search(r"\n *\d+ s  Take long\n", output)


@pytest.mark.parametrize(("options", "environment"), [(["-v"], {}), ([], {"ANSIBLE_STDOUT_CALLBACK": "default"})])
def test_ansibles_own_output_on_request(play, options, environment):
    output = play(*options, **environment)[1]
    assert "TASK [Change a little]" in output and "PLAY RECAP" in output and "changed: [a] => (item=1)" in output


def test_words():
    one = report.Step("imaging.repository.cache : Install nginx", 0.0, 2.0, ["a"], ["a"])
    two = report.Step("imaging.repository.cache : Write it", 2.0, 3.0, ["a", "b", "c", "d"], ["a", "b", "c", "d"])
    assert report.quick_changes([one]) == "   2 s  cache: Install nginx - changed a"
    assert report.quick_changes([one, two]) == (
        '   3 s  cache: 2 changes, from "Install nginx" to "Write it" - changed 4 hosts'
    )
    one.planned = True
    assert report.slow_step(one, 7) == "   7 s  cache: Install nginx - would change a"
    # Where hosts go on by themselves, an included role has tasks of its own for each.
    twice = report.together([report.Step("x", 1.0, 2.0, ["a"]), two, report.Step("x", 1.5, 4.0, ["b"], ["b"])])
    assert twice == [report.Step("x", 1.0, 4.0, ["a", "b"], ["b"]), two]
    assert report.play_end(20, 0.4) == "" and report.play_end(20, 7.0) == "   7 s  20 steps without a change"
    assert report.done(67, ["localhost", "p"], [], 0, False, "https://x") == (
        "\ndone in 1 min 7 s on 1 host, changed=0\nhttps://x/"
    )
