#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
from __future__ import annotations

DOCUMENTATION = r"""
module: gallery_pages
short_description: Writes what search engines read of a gallery
version_added: 0.2.0
description:
  - Writes a page for each study of the catalogue, C(sitemap.xml) and C(robots.txt), in one call.
  - Each page is the gallery's page for studies, with title, description, licence, source and picture of its study in plain
    HTML and as a U(https://schema.org/Dataset).
  - Pages of studies that are no more in the catalogue are removed. A file that is right is not touched.
options:
  pages:
    description: Directory of the gallery's own pages, with C(study.html) and C(catalogue.json).
    type: path
    required: true
  dest:
    description: Directory that holds the written files, and nothing else.
    type: path
    required: true
  url:
    description: Address of the site, without a slash at its end.
    type: str
    required: true
attributes:
  check_mode:
    support: full
    description: Says how many files would be written and removed. Without the pages, which the run would make, nothing.
  diff_mode:
    support: full
    description: Shows the names of files.
author: The imaging.repository authors (@imaging-repository)
"""

EXAMPLES = r"""
- name: Let search engines find the studies
  imaging.repository.gallery_pages:
    pages: /var/www/gallery
    dest: /var/lib/gallery/public
    url: https://images.example.org
"""

RETURN = r"""
written:
  description: Files that were written, relative to the directory.
  returned: always
  type: list
  elements: str
removed:
  description: Files that were removed.
  returned: always
  type: list
  elements: str
"""

import json
import os
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule

from ..module_utils import files, gallery_pages


def read(path: Path) -> str | None:
    """Return the text of a file, None where there is none."""
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None


def wanted(pages: Path, url: str) -> dict[str, str]:
    """Return the content of each file that shall be there; nothing where the gallery is not."""
    template, catalogue = read(pages / "study.html"), read(pages / "catalogue.json")
    if template is None or catalogue is None:
        return {}
    return dict(gallery_pages.files(template, json.loads(catalogue), url))


def main() -> None:
    """Run the module; see DOCUMENTATION."""
    module = AnsibleModule(
        argument_spec={
            "pages": {"type": "path", "required": True},
            "dest": {"type": "path", "required": True},
            "url": {"type": "str", "required": True},
        },
        supports_check_mode=True,
    )
    dest = Path(module.params["dest"])
    contents = wanted(Path(module.params["pages"]), module.params["url"])
    there = {str(path.relative_to(dest)) for path in dest.rglob("*") if path.is_file()} if contents else set()
    written = [name for name, content in contents.items() if read(dest / name) != content]
    removed = sorted(there - set(contents))
    if not module.check_mode:
        for name in written:
            (dest / name).parent.mkdir(parents=True, exist_ok=True)
            files.write(dest / name, contents[name])
        for name in removed:
            os.unlink(dest / name)
    diff = {
        "before": "".join(f"{name}\n" for name in removed),
        "after": "".join(f"{name}\n" for name in written),
        "before_header": f"{dest} (removed)",
        "after_header": f"{dest} (written)",
    }
    module.exit_json(changed=bool(written or removed), written=written, removed=removed, diff=diff)


if __name__ == "__main__":
    main()
