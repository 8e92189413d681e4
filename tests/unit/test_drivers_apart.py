# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Nothing outside a driver's role knows its name, its port, its statuses, its URLs or its tags."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
# Where a driver is at home, or where a person reads about one. Tests that load real images need a driver; bin/test names
# the scenarios, inventory/groups.yml is written from what drivers say.
HOME = re.compile(
    r"roles/image_server_orthanc/|molecule/|tests/unit/image_server_orthanc/|samples/|docs/|changelogs/|benchmarks/"
    r"|bin/test$|inventory/groups\.yml$|galaxy\.yml$"
    r"|tests/(browser|machines|warm|cloud|storage|feature|faults)/|vars/|README\.md$|roles/[a-z_]+/README\.md$"
    r"|tests/unit/test_drivers_apart\.py$"
)
WORDS = {
    "the name": r"(?i)orthanc",
    "the port": r"\b8042\b",
    "a status that only it gives": r"\b415\b",
    "a path": r"/(instances|series|studies|wsi|dicom-web)\b",
    "how its lists are paged": r"[?&](since|limit)=",
    "a tag": r"(?i)\bDICOM\b|SOPInstance|StudyInstance|SeriesInstance|MainDicomTags|PhotometricInterpretation|SeriesNumber"
    r"|WindowCenter|BitsStored|NumberOfFrames|simplified-tags",
}
# Unit tests whose samples are a site of the default driver. What is not a test stands here no more; neither does a test
# that needs no such sample any longer.
REMAINING: set[str] = {
    "tests/unit/cache_warm_engine_samples.py",
    "tests/unit/cache_warm_source_samples.py",
    "tests/unit/openstack_samples.py",
    "tests/unit/site_problems.txt",
    "tests/unit/test_cache_entries.py",
    "tests/unit/test_cache_policy.py",
    "tests/unit/test_cache_warm_answers.py",
    "tests/unit/test_cache_warm_engine.py",
    "tests/unit/test_cache_warm_files.py",
    "tests/unit/test_cache_warm_sources.py",
    "tests/unit/test_cache_warm_transport.py",
    "tests/unit/test_features.py",
    "tests/unit/test_inventory_site.py",
    "tests/unit/test_nftables.py",
    "tests/unit/test_nginx_cache_keys.py",
    "tests/unit/test_preflight.py",
    "tests/unit/test_site.py",
    "tests/unit/test_vars_site.py",
    "tests/unit/test_verify.py",
}


def tracked() -> list[str]:
    answer = subprocess.run(["git", "ls-files", "-z"], cwd=REPOSITORY, capture_output=True, text=True)
    if answer.returncode:
        pytest.skip("is no git checkout")
    return [name for name in answer.stdout.split("\0") if name and not HOME.match(name)]


def found() -> dict[str, list[str]]:
    """Return the lines that know a driver, by file."""
    known: dict[str, list[str]] = {}
    for name in tracked():
        path = REPOSITORY / name
        if path.is_symlink() or not path.is_file():
            continue
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        for number, line in enumerate(text.splitlines(), 1):
            known.setdefault(name, []).extend(
                f"{name}:{number}: {what}: {line.strip()[:100]}"
                for what, pattern in WORDS.items()
                if re.search(pattern, line)
            )
    return {name: lines for name, lines in known.items() if lines}


def test_nothing_but_its_role_knows_a_driver():
    wrong = [line for name, lines in found().items() if name not in REMAINING for line in lines]
    assert not wrong, "\n".join(wrong)


def test_the_list_of_what_remains_holds_nothing_that_is_clean():
    assert sorted(REMAINING - set(found())) == []
