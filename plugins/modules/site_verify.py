#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module site_verify."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_verify
short_description: Checks a site from outside, as its visitors see it
version_added: 0.1.0
description:
  - Runs on the controller. Asks the public address for pages, images and metadata, tries what the public must not be
    able to do, looks at TLS and HTTP/2, adds the results of M(imaging.repository.site_verify_host), prints them as a
    table and fails where one check did.
  - Only reads. One thumbnail of an unusual size may become cached by it.
options:
  url:
    description: The public address, e.g. V(https://localhost:8443), without a slash in the end.
    type: str
    required: true
  http_url:
    description: The address that must redirect to O(url).
    type: str
    required: true
  address:
    description: Where to connect instead of what the name in O(url) resolves to, while the name stays in use for TLS.
    type: str
    default: ""
  authority:
    description: File with the certificate authority to trust; the machine's own authorities by default.
    type: path
  minimum_certificate_days:
    description: How long the certificate must still be valid.
    type: int
    default: 14
  timeout_seconds:
    description: How long one answer may take.
    type: int
    default: 10
  policy:
    description: The driver's cache policy; C(verify) and C(forbidden_paths) of it are used.
    type: dict
    required: true
  hosts:
    description:
      - By the name of each host what M(imaging.repository.site_verify_host) returned there; a result without C(checks)
        is that of a host that did not answer.
    type: dict
    default: {}
  report_file:
    description: Where the report is kept as JSON, on the controller; not written in check mode.
    type: path
attributes:
  check_mode:
    support: full
    description: Checks and prints the same, but a failed check is no failure, because the site may not be deployed yet.
  diff_mode:
    support: none
    description: Only reads.
requirements: ["httpx[http2]"]
author: The imaging.repository authors
"""

EXAMPLES = r"""
- name: Check the site
  imaging.repository.site_verify:
    url: https://localhost:8443
    http_url: http://localhost:8080
    authority: state/demo/ca/ca.crt
    policy: "{{ image_server_orthanc_policy }}"
  delegate_to: localhost
"""

RETURN = r"""
checks:
  description: One dictionary C(name), C(ok), C(detail), C(remedy) per check, those from outside first.
  returned: always
  type: list
  elements: dict
table:
  description: The checks as aligned lines.
  returned: always
  type: str
summary:
  description: One line.
  returned: always
  type: str
  sample: "verified: 27 checks passed"
"""

import contextlib
import itertools
import json
import os
import random
import socket
import ssl
import time
import traceback
import warnings

from ansible.module_utils.basic import AnsibleModule, missing_required_lib

from ..module_utils.verify import (
    CheckFailed,
    catalogue_problem,
    check,
    fill,
    missing_headers,
    read_json,
    summary,
    table,
)

try:
    import httpx

    IMPORT_ERROR = None
except ImportError:
    httpx = None
    IMPORT_ERROR = traceback.format_exc()

SEE_NGINX = "see /var/log/nginx/error.log on the cache host"


def milliseconds(answer) -> str:
    return f"{1000 * answer.elapsed.total_seconds():.0f} ms"


class Public:
    """The site as its visitors see it."""

    def __init__(self, parameters: dict, instances: list[str], studies: list[str]):
        self.instances = instances
        self.all_studies = studies
        self.parameters = parameters
        self.policy = parameters["policy"]
        self.paths = self.policy["verify"]
        self.url = httpx.URL(parameters["url"])
        self.host = self.url.host
        self.port = self.url.port or 443
        self.address = parameters["address"] or self.host
        self.timeout_seconds = parameters["timeout_seconds"]
        self.catalogue: dict = {}
        self.certificate: dict = {}
        self.client = self._client(self._context(trust_all=True))

    def _context(self, trust_all: bool) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=None if trust_all else self.parameters["authority"] or None)
        if trust_all:
            # Only the check of the certificate fails by an untrusted one; the others still say what they see.
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        return context

    def _client(self, context: ssl.SSLContext):
        return httpx.Client(http2=True, verify=context, timeout=self.timeout_seconds, trust_env=False)

    def request(self, method: str, path: str, base: str = "", headers: dict | None = None):
        url = httpx.URL((base or self.parameters["url"]) + path)
        name = url.host if url.port is None else f"{url.host}:{url.port}"
        try:
            return self.client.request(
                method,
                url.copy_with(host=self.address),
                headers={"Host": name, **(headers or {})},
                extensions={"sni_hostname": self.host},
            )
        except httpx.ReadTimeout:
            raise CheckFailed(
                f"{path} is not answered within {self.timeout_seconds} s", "see the journals of the image servers"
            ) from None

    def get(self, path: str, content: str, headers: dict | None = None):
        """GET a path that must answer 200 with a media type that begins with `content`."""
        answer = self.request("GET", path, headers=headers)
        if answer.status_code != 200:
            raise CheckFailed(f"{path} answers {answer.status_code}", SEE_NGINX)
        found = answer.headers.get("content-type", "")
        if not found.startswith(content):
            raise CheckFailed(f"{path} is {found or 'of no type'}, not {content}", SEE_NGINX)
        return answer

    # --- TLS ---
    def check_certificate(self) -> str:
        context = self._context(trust_all=False)
        try:
            with (
                socket.create_connection((self.address, self.port), self.timeout_seconds) as plain,
                context.wrap_socket(plain, server_hostname=self.host) as secured,
            ):
                self.certificate = secured.getpeercert()
        except ssl.SSLCertVerificationError as error:
            raise CheckFailed(
                f"not trusted: {error.verify_message}",
                "run configure.yml, or correct site.public.tls and site.public.name",
            ) from None
        issuer = {key: value for part in self.certificate["issuer"] for key, value in part}
        return f"for {self.host}, issued by {issuer.get('commonName') or issuer.get('organizationName', 'nobody')}"

    def check_days(self) -> str:
        if not self.certificate:
            raise CheckFailed("not looked at, because it is not trusted", "see the check of the certificate")
        days = int((ssl.cert_time_to_seconds(self.certificate["notAfter"]) - time.time()) // 86400)
        if days < self.parameters["minimum_certificate_days"]:
            raise CheckFailed(f"{days} days left", "run configure.yml to renew it, or provide a new one")
        return f"{days} days left"

    def check_old_tls(self) -> str:
        context = self._context(trust_all=True)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = ssl.TLSVersion.TLSv1
            context.maximum_version = ssl.TLSVersion.TLSv1_1
        # Without this it would be this machine that refuses.
        context.set_ciphers("ALL:@SECLEVEL=0")
        try:
            with (
                socket.create_connection((self.address, self.port), self.timeout_seconds) as plain,
                context.wrap_socket(plain, server_hostname=self.host) as secured,
            ):
                raise CheckFailed(
                    f"{secured.version()} is accepted", "run configure.yml: nginx offers TLS 1.2 and 1.3 only"
                )
        except ssl.SSLError as error:
            if error.reason == "NO_PROTOCOLS_AVAILABLE":
                return "cannot be tried: this machine's OpenSSL does not speak it"
        except ConnectionResetError:
            pass
        return "refused"

    def check_http2(self) -> str:
        version = self.request("GET", "/").http_version
        if version != "HTTP/2":
            raise CheckFailed(f"{version} was negotiated", "run configure.yml: nginx listens with http2")
        return "negotiated"

    def check_redirect(self) -> str:
        answer = self.request("GET", "/index.html?a=1", base=self.parameters["http_url"])
        wanted = self.parameters["url"] + "/index.html?a=1"
        if answer.status_code not in (301, 308) or answer.headers.get("location") != wanted:
            location = answer.headers.get("location", "none")
            raise CheckFailed(
                f"answers {answer.status_code}, location {location}; wanted {wanted}", "run configure.yml"
            )
        return f"{answer.status_code} to {self.parameters['url']}"

    # --- Pages ---
    def check_home(self) -> str:
        started = time.monotonic()
        answer = self.get("/", "text/html")
        return f"{len(answer.content)} bytes in {1000 * (time.monotonic() - started):.0f} ms"

    def check_headers(self) -> str:
        answer = self.request("GET", "/")
        missing = missing_headers({name.lower(): value for name, value in answer.headers.items()})
        if missing:
            raise CheckFailed("missing or weak: " + ", ".join(missing), "run configure.yml")
        if any(character.isdigit() for character in answer.headers.get("server", "")):
            raise CheckFailed(f"the version of the server is told: {answer.headers['server']}", "run configure.yml")
        return "content policy, no sniffing, referrer; no version told"

    def check_catalogue(self) -> str:
        remedy = "run load.yml, which writes the gallery's catalogue"
        self.catalogue = read_json(self.get("/catalogue.json", "application/json").content, "catalogue.json", remedy)
        problem = catalogue_problem(self.catalogue, self.all_studies)
        if problem:
            self.catalogue = self.catalogue if isinstance(self.catalogue, dict) else {}
            raise CheckFailed(problem, remedy)
        return f"all {len(self.all_studies)} studies"

    def studies(self) -> list[dict]:
        return [study for study in self.catalogue.get("studies", []) if isinstance(study, dict) and study.get("id")]

    def check_thumbnails(self) -> str:
        """The pictures of the front page: warmed, so each must come from the cache."""
        pictures = [study["thumbnail"] for study in self.studies() if study.get("thumbnail")][:20]
        if not pictures:
            raise CheckFailed("the catalogue names none", "run load.yml")
        statuses = [self.get(path, "image/").headers.get("x-cache-status", "") for path in pictures]
        late = [path for path, status in zip(pictures, statuses, strict=False) if status != "HIT"]
        if late:
            raise CheckFailed(
                f"{len(late)} of {len(pictures)} did not come from the cache, e.g. {late[0]}", "run warm.yml"
            )
        return f"{len(pictures)} from the cache"

    # --- Images ---
    def any_instance(self) -> str:
        if not self.instances:
            raise CheckFailed("not tried, because no image is known", "see the checks of the cache host; run load.yml")
        return random.choice(self.instances)

    def check_miss_and_hit(self) -> str:
        """An image that no visitor has seen before and no warm fetches is rendered, and cached from then on."""
        self.any_instance()
        paths = [
            fill(template, instance=instance) for instance in self.instances for template in self.paths["uncached"]
        ]
        refused = 0
        for path in random.sample(paths, min(12, len(paths))):
            first = self.request("GET", path)
            if first.status_code == 415:
                # An image in an encoding that the image server does not decode; the next one.
                refused += 1
                continue
            if first.status_code != 200:
                raise CheckFailed(f"{path} answers {first.status_code}", "see the image servers' journals")
            second = self.get(path, "image/")
            statuses = [answer.headers.get("x-cache-status", "none") for answer in (first, second)]
            if statuses[1] != "HIT":
                raise CheckFailed(f"{path}: {', then '.join(statuses)}", SEE_NGINX)
            if statuses[0] == "MISS":
                return f"MISS in {milliseconds(first)}, then HIT in {milliseconds(second)}"
        if refused == min(12, len(paths)):
            raise CheckFailed(f"all {refused} images that were tried answer 415", "see the image servers' journals")
        return "HIT; all that were tried had been seen before"

    def check_metadata(self) -> str:
        path = fill(self.paths["metadata"], instance=self.any_instance())
        content = read_json(self.get(path, "application/json").content, path, SEE_NGINX)
        if not isinstance(content, dict) or not content:
            raise CheckFailed(f"{path} is empty", "is the image damaged? load it again")
        return f"{len(content)} attributes of an image"

    def check_tile(self) -> str:
        study = next(study for study in self.studies() if study.get("whole_slide"))
        children = fill(self.paths["series"], study=study["id"])
        for series in read_json(self.get(children, "application/json").content, children, SEE_NGINX)[:20]:
            path = fill(self.paths["tile"], series=series["ID"] if isinstance(series, dict) else series)
            answer = self.request("GET", path)
            if answer.status_code == 200 and answer.headers.get("content-type", "").startswith("image/"):
                return f"{len(answer.content)} bytes of {study.get('title') or study['id']}"
        raise CheckFailed(f"no series of {study['id']} answers with a tile", "see the image servers' journals")

    def check_test(self) -> str:
        # No visitor's cache and none of ours may answer this.
        answer = self.get("/test", "image/", headers={"Cache-Control": "no-cache"})
        return f"{len(answer.content)} bytes through the whole stack in {milliseconds(answer)}"

    # --- What the public must not be able to do ---
    def check_forbidden(self) -> str:
        study = next((study["id"] for study in self.studies()), "none")
        instance = (self.instances or ["none"])[0]
        paths = [fill(path, instance=instance, study=study) for path in self.policy["forbidden_paths"]]
        answered = {path: self.request("GET", path).status_code for path in paths}
        open_paths = [
            f"{path} answers {status}" for path, status in answered.items() if status not in (401, 403, 404, 405)
        ]
        if open_paths:
            raise CheckFailed(
                "; ".join(open_paths[:5]),
                "correct the routes of the image server's cache policy, then run configure.yml",
            )
        return f"{len(paths)} paths refused"

    def check_methods(self) -> str:
        path = fill(self.paths["metadata"], instance=(self.instances or ["none"])[0])
        allowed = [
            f"{method} {target} answers {status}"
            for method in ("POST", "PUT", "DELETE", "PATCH")
            for target in ("/", path)
            for status in [self.request(method, target).status_code]
            if status != 405
        ]
        if allowed:
            raise CheckFailed("; ".join(allowed), "run configure.yml")
        return "POST, PUT, DELETE, PATCH refused with 405"

    def checks(self) -> list[dict]:
        """Run all checks in the order of the table. Where nobody answers, the rest is not tried."""
        ordered = [
            ("home page", self.check_home),
            ("certificate", self.check_certificate),
            ("certificate's end", self.check_days),
            ("TLS 1.1", self.check_old_tls),
            ("HTTP/2", self.check_http2),
            ("redirect from HTTP", self.check_redirect),
            ("security headers", self.check_headers),
            ("gallery lists", self.check_catalogue),
            ("thumbnails of the front page", self.check_thumbnails),
            ("a new size of an image", self.check_miss_and_hit),
            ("metadata", self.check_metadata),
            ("whole-slide tile", self.check_tile),
            ("monitor's /test", self.check_test),
            ("administration", self.check_forbidden),
            ("writing", self.check_methods),
        ]
        results = []
        for name, function in ordered:
            if name == "whole-slide tile" and not any(study.get("whole_slide") for study in self.studies()):
                # A site without slides has no tile to ask for.
                continue
            results.append(
                check(
                    name,
                    function,
                    (httpx.HTTPError, OSError, KeyError, TypeError, AttributeError),
                    "do the cache host and its published port answer? " + SEE_NGINX,
                )
            )
            if name == "home page" and not results[0]["ok"] and "Connect" in results[0]["detail"]:
                results[0]["remedy"] = (
                    f"is the cache host up and {self.address}:{self.port} open? "
                    "The other checks from outside were not tried"
                )
                break
        return results


def host_checks(hosts: dict) -> list[dict]:
    """Return the checks of all hosts; a failed one for a host that returned none."""
    checks = []
    for name, result in hosts.items():
        # What the connection complained about says more than that no result came back.
        found = str(result.get("module_stderr") or result.get("msg") or "was not asked").strip().splitlines()[-1]
        checks += result.get("checks") or [
            {"name": f"{name}: answers", "ok": False, "detail": found, "remedy": "is the host up? run site.yml"}
        ]
    return checks


def write_report(path: str, report: dict) -> None:
    """Keep the report; a reader sees the old one or the new one."""
    temporary = f"{path}.new"
    with open(temporary, "w", encoding="utf-8") as stream:
        json.dump(report, stream, indent=2)
        stream.write("\n")
    os.replace(temporary, path)


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "url": {"type": "str", "required": True},
            "http_url": {"type": "str", "required": True},
            "address": {"type": "str", "default": ""},
            "authority": {"type": "path"},
            "minimum_certificate_days": {"type": "int", "default": 14},
            "timeout_seconds": {"type": "int", "default": 10},
            "policy": {"type": "dict", "required": True},
            "hosts": {"type": "dict", "default": {}},
            "report_file": {"type": "path"},
        },
        supports_check_mode=True,
    )
    if httpx is None:
        module.fail_json(msg=missing_required_lib("httpx[http2]"), exception=IMPORT_ERROR)
    parameters = module.params
    authority = parameters["authority"]
    if authority and not os.path.exists(authority):
        if not module.check_mode:
            module.fail_json(msg=f"authority: {authority} does not exist; run configure.yml, which makes it")
        parameters["authority"] = None
    results = parameters["hosts"].values()
    public = Public(
        parameters,
        list(itertools.chain.from_iterable(result.get("instances", []) for result in results)),
        next((result["studies"] for result in results if result.get("studies")), []),
    )
    checks = public.checks() + host_checks(parameters["hosts"])
    failed = [entry for entry in checks if not entry["ok"]]
    result = {"changed": False, "checks": checks, "table": table(checks), "summary": summary(checks)}
    if parameters["report_file"] and not module.check_mode:
        with contextlib.suppress(FileNotFoundError):
            write_report(
                parameters["report_file"],
                {
                    "url": parameters["url"],
                    "passed": len(checks) - len(failed),
                    "failed": len(failed),
                    "summary": result["summary"],
                    "checks": checks,
                },
            )
    if failed and not module.check_mode:
        details = "; ".join(f"{entry['name']}: {entry['detail']}" for entry in failed)
        module.fail_json(msg=f"{result['summary']}: {details}", **result)
    module.exit_json(**result)


if __name__ == "__main__":
    main()
