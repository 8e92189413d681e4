# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""SSH servers that would keep a user of the site out."""

from __future__ import annotations

import pytest

from plugins.module_utils.preflight.sshd import problems

INCLUDE = "# Debian's\nInclude /etc/ssh/sshd_config.d/*.conf\nPort 22\n"


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ("port 22\n", []),
        ("allowusers share\nallowusers debian\n", []),
        ("allowusers sh*@10.0.0.0/8\n", []),
        ("denyusers guest\ndenygroups games\n", []),
        ("allowusers debian\nallowusers ops@10.0.0.1\n", ["only the users debian ops@10.0.0.1", "add share to AllowUsers"]),
        ("allowgroups operators\n", ["only the groups operators", "add share to AllowGroups"]),
        ("denyusers *\n", ["keeps the user share out (DenyUsers)"]),
    ],
)  # fmt: skip
def test_who_is_kept_out_is_said(settings, words):
    found = problems("share", settings, INCLUDE)
    assert len(found) == min(len(words), 1) and all(word in found[0] for word in words)


@pytest.mark.parametrize("configuration", ["Port 22\n", "# Include /etc/ssh/sshd_config.d/*.conf\n"])
def test_a_configuration_without_the_folder_is_said(configuration):
    (line,) = problems("share", "", configuration)
    assert "does not include /etc/ssh/sshd_config.d" in line and line.endswith("at its beginning")
