# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The two commands: bin/test's lanes, and files that come back to the user who called sudo."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[2]
# No account has this number, and none is needed.
USER = 61234
PARTS = """
  quick  | 1 | | passes
  late   | 1 | | never begins after a failure
  long   | 2 | | takes a second
  hidden | - | | runs only when named
"""
FUNCTIONS = """
quick() { echo "quick said this"; [ ! -e fail ] || false; echo "and that"; }
late() { touch late-ran; }
long() { sleep "${PAUSE:-1}"; touch long-ran; }
hidden() { echo "hidden got ${1:-nothing}"; }
"""


@pytest.fixture
def copy(tmp_path):
    """A repository of nothing but bin/, whose virtual environment is made and whose parts cost nothing."""
    shutil.copytree(REPOSITORY / "bin", tmp_path / "bin")
    script = tmp_path / "bin" / "test"
    text = re.sub(r"(?s)^parts='\n.*?^'", lambda _: f"parts='{PARTS}'", script.read_text(), count=1, flags=re.MULTILINE)
    text = re.sub(r"(?s)^unit\(\).*?(?=^# Makes this machine ready)", lambda _: FUNCTIONS, text, flags=re.MULTILINE)
    script.write_text(text.replace("side_by_side_mib=8192", "side_by_side_mib=1"))
    (tmp_path / "samples").mkdir()
    contents = b""
    for name in ("requirements-test.txt", "requirements.txt", "samples/requirements.txt"):
        (tmp_path / name).write_text(name)
        contents += name.encode()
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    digest = hashlib.sha256(contents).hexdigest()
    for name in ("requirements-test.txt", "requirements.txt"):
        (tmp_path / ".venv" / f"{name}.installed").write_text(f"{digest}  -\n")
    (programs / "dpkg-query").write_text("#!/bin/sh\necho install ok installed\n")
    (programs / "dpkg-query").chmod(0o755)
    return tmp_path


def run(copy: Path, *parts: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run bin/test of the copy."""
    return subprocess.run(
        [copy / "bin" / "test", *parts],
        env={"PATH": os.environ["PATH"], **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )


needs_root = pytest.mark.skipif(os.getuid() != 0, reason="becomes root otherwise; bin/test is run by root")


@needs_root
def test_lanes_run_side_by_side_and_say_the_time_of_each_part(copy):
    done = run(copy, PAUSE="3")
    assert done.returncode == 0, done.stdout
    for part in ("quick", "late", "long"):
        assert re.search(rf"\n== bin/test {part}: \d+ s\n", done.stdout), done.stdout
    assert re.search(r"\n== bin/test: all passed in \d+ s: quick late long\n$", done.stdout)
    ended = re.findall(r"\n== bin/test (\w+): \d+ s", done.stdout)
    assert ended == ["quick", "late", "long"]
    assert done.stdout.index("bin/test long: begins") < re.search(r"late: \d", done.stdout).start()
    assert "said this" not in done.stdout and "said this" in (copy / ".cache/test/quick.log").read_text()


@needs_root
def test_a_failure_is_shown_whole_and_ends_its_lane(copy):
    (copy / "fail").touch()
    done = run(copy)
    assert done.returncode == 1
    assert "quick said this" in done.stdout and "and that" not in done.stdout
    assert "bin/test quick: FAILED after" in done.stdout and "not all passed" in done.stdout
    assert not (copy / "late-ran").exists() and (copy / "long-ran").exists()
    # One part alone, or one lane, prints as it goes.
    done = run(copy, "quick")
    assert done.returncode == 1 and "bin/test quick: FAILED" in done.stdout and "all passed" not in done.stdout


@needs_root
def test_named_parts_with_a_value_and_parts_that_do_not_exist(copy):
    assert "hidden got much\n" in run(copy, "hidden=much").stdout
    done = run(copy, "quick", "quik")
    assert done.returncode == 1 and "there is no part 'quik'" in done.stdout and "said" not in done.stdout


@needs_root
def test_an_interrupted_run_takes_its_lanes_along(copy):
    process = subprocess.Popen([copy / "bin" / "test"], env={"PATH": os.environ["PATH"], "PAUSE": "3"}, cwd=copy)
    deadline = time.monotonic() + 30
    while not (copy / ".cache/test/long.log").exists() and time.monotonic() < deadline:
        time.sleep(0.05)
    process.send_signal(signal.SIGTERM)
    assert process.wait(timeout=30) == 130
    time.sleep(4)
    assert not (copy / "long-ran").exists()


def test_every_part_has_a_function():
    text = (REPOSITORY / "bin" / "test").read_text()
    table = re.search(r"(?s)^parts='\n(.*?)^'", text, re.MULTILINE)[1]
    parts = [line.split("|")[0].strip() for line in table.splitlines()]
    assert len(parts) == len(set(parts)) >= 10
    for part in parts:
        assert re.search(rf"^{part}\(\) \{{", text, re.MULTILINE), part


@needs_root
@pytest.mark.parametrize("failing", [False, True])
def test_what_root_made_belongs_to_the_user_who_called_sudo(copy, failing):
    """sudo says in SUDO_UID who called; the virtual environment, state and caches are that user's in the end."""
    for path in [copy, *copy.rglob("*")]:
        os.chown(path, USER, USER, follow_symlinks=False)
    (copy / "bin" / "test").write_text(
        (copy / "bin" / "test").read_text().replace("quick()", "quick() { made; }\nunused()")
    )
    with (copy / "bin" / "test").open("r+") as script:
        text = script.read()
        made = "made() { mkdir -p state/x; umask 077; echo s >state/x/secrets.yml; ln -s nowhere .venv/link; [ ! -e fail ]; }\n"
        script.seek(0)
        script.write(text.replace("quick() {", made + "quick() {", 1))
    if failing:
        (copy / "fail").touch()
    done = run(copy, "quick", SUDO_UID=str(USER), SUDO_GID=str(USER))
    assert done.returncode == int(failing), done.stdout
    assert (copy / "state/x/secrets.yml").exists()
    assert {path.lstat().st_uid for path in copy.rglob("*")} == {USER}
    # As root without sudo nothing changes hands.
    (copy / "mine").touch()
    run(copy, "late")
    assert (copy / "mine").stat().st_uid == 0


@pytest.fixture
def demo(copy):
    """The copy with a docker that runs, and a deployment that writes its report unless it is a check."""
    report = '{"url": "https://localhost:8443", "passed": 27}'
    programs = {
        ".venv/bin/docker": "true",
        ".venv/bin/ansible-playbook": f"case $* in *--check*) ;; *) mkdir -p state/demo; echo '{report}' >state/demo/verify.json ;; esac",
        "samples/build": "true",
    }
    for name, script in programs.items():
        (copy / name).write_text(f"#!/bin/sh\n{script}\n")
        (copy / name).chmod(0o755)

    def run_demo(*options: str) -> str:
        done = subprocess.run(
            [copy / "bin" / "demo", *options], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False
        )
        assert done.returncode == 0 and "Traceback" not in done.stdout, done.stdout
        return done.stdout

    return run_demo


@needs_root
def test_a_check_of_the_demo_reports_no_verification(demo, copy):
    """On a fresh machine there is no report; later there is one, of an earlier run."""
    assert "verified nothing" in demo("--check")
    assert re.search(r"\ngallery https://localhost:8443/ ready in \d+ s, verified: 27 checks passed\n$", demo())
    os.utime(copy / "state/demo/verify.json", (1, 1))
    checked = demo("--check", "--diff")
    assert "verified nothing" in checked and "27 checks" not in checked
    assert "playbooks/site.yml --check --diff\n" in checked
