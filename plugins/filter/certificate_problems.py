# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Filter about certificates that users give; what it computes is in module_utils/certificate.py."""

from __future__ import annotations

DOCUMENTATION = r"""
name: certificate_problems
short_description: What is wrong with a certificate, its chain and its key
version_added: 0.1.0
author: The imaging.repository authors (@imaging-repository)
description:
  - Reads the two files on the controller and returns a sentence for each reason why a web server could not serve the names
    with them.
options:
  _input:
    description: C(site.public.tls), with the paths C(certificate) and C(key).
    type: dict
    required: true
  names:
    description: The names and addresses that visitors ask for.
    type: list
    elements: str
    required: true
"""

EXAMPLES = r"""
problems: "{{ effective_site.public.tls | imaging.repository.certificate_problems(['images.example.org']) }}"
"""

RETURN = r"""
_value:
  description: The sentences; none where all is well.
  type: list
  elements: str
"""

import datetime
from collections.abc import Callable, Mapping, Sequence

from ..module_utils.certificate import problems


def certificate_problems(tls: Mapping[str, str], names: Sequence[str]) -> list[str]:
    """Return what is wrong with the files of `tls` at this time."""
    return problems(tls["certificate"], tls["key"], list(names), datetime.datetime.now(datetime.UTC))


class FilterModule:
    """The filter of this file."""

    def filters(self) -> dict[str, Callable]:
        """Return it by its name."""
        return {"certificate_problems": certificate_problems}
