# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the module packages makes of the words of dpkg and apt; molecule/base installs with it."""

from __future__ import annotations

from plugins.action.packages import seen
from plugins.module_utils.packages import apt_problem, missing, waiting


def test_only_what_is_installed_is_not_missing():
    known = "nginx installed\nsshfs config-files\nxfsprogs half-configured\n"
    assert missing(["xfsprogs", "nginx", "sshfs", "vips", "vips"], known) == ["sshfs", "vips", "xfsprogs"]
    assert missing(["nginx", "nginx=1.26.3-3"], known) == []
    assert missing(["vips=8.16.1-1"], known) == ["vips=8.16.1-1"]


def test_another_apt_is_waited_for(monkeypatch):
    monkeypatch.setattr("plugins.module_utils.packages.LOCK_PAUSE_SECONDS", 0.01)
    locked = (100, "E: Could not get lock /var/lib/apt/lists/lock. It is held by process 9 (unattended-upgr)")
    answers = [locked, locked, (0, "done")]
    assert waiting(lambda: answers.pop(0), 5) == (0, "done")
    assert waiting(lambda: locked, 0.05) == locked
    assert waiting(lambda: (100, "E: Unable to locate package vips"), 5)[0] == 100


def test_problems_are_sentences():
    assert apt_problem("", "W: old list\nE: Unable to locate package vips\n") == "Unable to locate package vips"
    out = "The following packages have unmet dependencies:\n a : Depends: b (>= 2) but 1 is to be installed\n"
    assert apt_problem(out, "E: Unable to correct problems, you have held broken packages.\n") == (
        "Unable to correct problems, you have held broken packages.; a : Depends: b (>= 2) but 1 is to be installed"
    )
    assert apt_problem("one\n\ntwo\n", "") == "one; two" and apt_problem("", "") == "apt-get says nothing"


def test_a_host_is_asked_unless_preflight_has_seen_every_package_in_this_run():
    here = {"preflight_installed_packages": ["nginx", "logrotate"]}
    assert seen(["nginx"], here) and seen(["logrotate", "nginx"], here)
    assert not seen(["nginx", "vips"], here) and not seen(["nginx=1.26.3-3"], here)
    assert not seen(["nginx"], {}) and not seen(["nginx"], {"preflight_installed_packages": None})
    # What is no list is the module's to refuse.
    assert not seen("nginx", here) and not seen(None, here)
