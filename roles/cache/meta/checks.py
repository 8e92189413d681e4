# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What must fit together in the certificate of a site."""

from __future__ import annotations

import datetime
import re
from typing import Any

ACME_ONLY = ("eab_key_id", "eab_hmac_key", "dns_hook", "from")


def acme(site: dict[str, Any], report: Any) -> None:
    """Refuse what an authority could not check, and keys that only make sense with one."""
    public = site["public"]
    tls, path = public["tls"], "site.public.tls"
    if tls["mode"] != "acme":
        for key in ACME_ONLY:
            if key in tls:
                report.problem(
                    f"{path}.{key}", f"is given although mode is {tls['mode']}; write mode: acme, or remove it"
                )
        return
    if not re.fullmatch(r"https://\S+", tls.get("directory", "")):
        report.problem(
            f"{path}.directory", f"'{tls['directory']}' is no https address; write that of the authority's directory"
        )
    if ("eab_key_id" in tls) != ("eab_hmac_key" in tls):
        missing = "eab_hmac_key" if "eab_key_id" in tls else "eab_key_id"
        report.problem(f"{path}.{missing}", "is missing; an account that is bound to another one needs both")
    if "dns_hook" not in tls and public["http_port"] != 80:
        text = f"{public['http_port']} is no port at which an authority asks; write 80, or give tls.dns_hook"
        report.problem("site.public.http_port", text)
    if public.get("name") == "localhost":
        report.problem("site.public.name", "'localhost' is no name that an authority can check; write the public one")


def cors(site: dict[str, Any], report: Any) -> None:
    """Refuse origins that no browser sends."""
    for origin in site["public"]["cors"]:
        if origin != "*" and not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:\d+)?", origin):
            text = f"'{origin}' is no origin; write for example https://viewer.example.org, without a path, or \"*\" for all"
            report.problem("site.public.cors", text)


def redirects(site: dict[str, Any], report: Any) -> None:
    """Refuse what is no path, and what two entries send to different places."""
    seen: set[str] = set()
    for entry in site["public"]["redirects"]:
        path, target = entry.get("from", ""), entry.get("to", "")
        if not re.fullmatch(r"/[^\s'\"$\\\\]*", path):
            report.problem(
                "site.public.redirects", f"'{path}' is no path; write for example /webclient/?show=project-101"
            )
        if not re.fullmatch(r"(/|https?://)[^\s'\"$\\\\]*", target):
            report.problem(
                "site.public.redirects", f"'{target}' is no path and no address; write for example /study/0a1b2c3d"
            )
        if path in seen:
            report.problem("site.public.redirects", f"'{path}' is sent to two places; leave one of them")
        seen.add(path)


CHECKS = (
    (redirects, frozenset({"public", "redirects", "from", "to"})),
    (cors, frozenset({"public", "cors"})),
    (acme, frozenset({"public", "tls", "mode", "directory", "name", "http_port", *ACME_ONLY})),
)


def certificate(site: dict[str, Any]) -> list[str]:
    """Return what is wrong with a certificate that the site gives."""
    tls = site["public"]["tls"]
    if tls["mode"] != "provided":
        return []
    # Only here: the library takes longer to load than the rest of the inventory.
    from ansible_collections.imaging.repository.plugins.module_utils.certificate import problems

    names = [site["public"]["name"], *tls["names"]]
    return problems(tls["certificate"], tls["key"], names, datetime.datetime.now(datetime.UTC))


FILE_CHECKS = (certificate,)
