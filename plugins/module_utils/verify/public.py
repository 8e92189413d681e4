# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The site as its visitors see it. What is asked for comes from the policies of its image servers."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

try:
    import httpx

    HAS_HTTPX = True
except ImportError:
    HAS_HTTPX = False

from .lines import CheckFailed, Line, check
from .policy import catalogue_problem, fill, missing_headers, read_json, studies_of
from .tls import Certificate, context, ipv6_addresses

SEE_NGINX = "see /var/log/nginx/error.log on the cache host"
SEE_IMAGE_SERVERS = "see the journals of the image servers"
TRIED_IMAGES = 12
FRONT_PAGE_PICTURES = 20
REFUSALS = (401, 403, 404, 405)


@dataclass(frozen=True)
class Settings:
    """Where the site is and what is asked of it."""

    url: str
    http_url: str
    address: str = ""
    authority: str | None = None
    minimum_certificate_days: int = 14
    timeout_seconds: float = 10


@dataclass
class Driver:
    """One image server software of the site: its policy, and ids that exist."""

    name: str
    policy: Mapping[str, Any]
    instances: Sequence[str] = ()
    studies: Sequence[str] = ()
    paths: Mapping[str, Any] = field(init=False)

    def __post_init__(self) -> None:
        self.paths = self.policy.get("verify", {})

    def any_instance(self) -> str:
        """Return an image; there may be none."""
        if not self.instances:
            raise CheckFailed("not tried, because no image is known", "see the checks of the cache host; run load.yml")
        return random.choice(self.instances)


def milliseconds(answer: Any) -> str:
    """Return how long an answer took."""
    return f"{1000 * answer.elapsed.total_seconds():.0f} ms"


class Public:
    """The checks from outside."""

    def __init__(self, settings: Settings, drivers: Sequence[Driver]):
        self.settings = settings
        self.drivers = drivers
        url = httpx.URL(settings.url)
        self.host = url.host
        self.port = url.port or 443
        self.address = settings.address or self.host
        self.catalogue: Any = {}
        self.certificate = Certificate(self.host, self.address, self.port, settings.authority, settings.timeout_seconds)
        # Only the check of the certificate fails by an untrusted one; the others still say what they see.
        self.client = httpx.Client(
            http2=True, verify=context(None, trust_all=True), timeout=settings.timeout_seconds, trust_env=False
        )

    def request(self, method: str, path: str, base: str = "", headers: Mapping[str, str] | None = None) -> Any:
        """Ask the address of the site for a path."""
        url = httpx.URL((base or self.settings.url) + path)
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
                f"{path} is not answered within {self.settings.timeout_seconds:.0f} s", SEE_IMAGE_SERVERS
            ) from None

    def get(self, path: str, content: str, headers: Mapping[str, str] | None = None) -> Any:
        """Ask for a path that must answer 200 with a media type that begins with `content`."""
        answer = self.request("GET", path, headers=headers)
        if answer.status_code != 200:
            raise CheckFailed(f"{path} answers {answer.status_code}", SEE_NGINX)
        found = answer.headers.get("content-type", "")
        if not found.startswith(content):
            raise CheckFailed(f"{path} is {found or 'of no type'}, not {content}", SEE_NGINX)
        return answer

    def get_json(self, path: str) -> Any:
        """Return the content of a JSON page."""
        return read_json(self.get(path, "application/json").content, path, SEE_NGINX)

    # --- TLS and HTTP ---
    def check_http2(self) -> str:
        version = self.request("GET", "/").http_version
        if version != "HTTP/2":
            raise CheckFailed(f"{version} was negotiated", "run configure.yml: nginx listens with http2")
        return "negotiated"

    def check_redirect(self) -> str:
        answer = self.request("GET", "/index.html?a=1", base=self.settings.http_url)
        wanted = self.settings.url + "/index.html?a=1"
        if answer.status_code not in (301, 308) or answer.headers.get("location") != wanted:
            location = answer.headers.get("location", "none")
            raise CheckFailed(
                f"answers {answer.status_code}, location {location}; wanted {wanted}", "run configure.yml"
            )
        return f"{answer.status_code} to {self.settings.url}"

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
        studies = {driver.name: driver.studies for driver in self.drivers}
        self.catalogue = read_json(self.get("/catalogue.json", "application/json").content, "catalogue.json", remedy)
        problem = catalogue_problem(self.catalogue, studies)
        if problem:
            raise CheckFailed(problem, remedy)
        return f"all {sum(map(len, studies.values()))} studies"

    def check_thumbnails(self) -> str:
        """The pictures of the front page: warmed, so each must come from the cache."""
        studies = (study for driver in self.drivers for study in studies_of(self.catalogue, driver.name))
        pictures = list(dict.fromkeys(study["thumbnail"] for study in studies if study.get("thumbnail")))
        pictures = pictures[:FRONT_PAGE_PICTURES]
        if not pictures:
            raise CheckFailed("the catalogue names none", "run load.yml")
        statuses = [self.get(path, "image/").headers.get("x-cache-status", "") for path in pictures]
        late = [path for path, status in zip(pictures, statuses, strict=True) if status != "HIT"]
        if late:
            raise CheckFailed(
                f"{len(late)} of {len(pictures)} did not come from the cache, e.g. {late[0]}", "run warm.yml"
            )
        return f"{len(pictures)} from the cache"

    def check_test(self, path: str = "/test") -> str:
        # No visitor's cache and none of ours may answer this.
        answer = self.get(path, "image/", headers={"Cache-Control": "no-cache"})
        return f"{len(answer.content)} bytes through the whole stack in {milliseconds(answer)}"

    # --- Images of one driver ---
    def check_miss_and_hit(self, driver: Driver) -> str:
        """An image that no visitor has seen before and no warm fetches is drawn, and cached from then on."""
        driver.any_instance()
        paths = [fill(path, instance=instance) for instance in driver.instances for path in driver.paths["uncached"]]
        tried = random.sample(paths, min(TRIED_IMAGES, len(paths)))
        refused = 0
        for path in tried:
            first = self.request("GET", path)
            if first.status_code in driver.policy.get("cannot_draw", ()):
                # An image that the image server cannot draw; the next one.
                refused += 1
                continue
            if first.status_code != 200:
                raise CheckFailed(f"{path} answers {first.status_code}", SEE_IMAGE_SERVERS)
            second = self.get(path, "image/")
            statuses = [answer.headers.get("x-cache-status", "none") for answer in (first, second)]
            if statuses[1] != "HIT":
                raise CheckFailed(f"{path}: {', then '.join(statuses)}", SEE_NGINX)
            if statuses[0] == "MISS":
                return f"MISS in {milliseconds(first)}, then HIT in {milliseconds(second)}"
        if refused == len(tried):
            raise CheckFailed(f"none of the {refused} images that were tried can be drawn", SEE_IMAGE_SERVERS)
        return "HIT; all that were tried had been seen before"

    def check_metadata(self, driver: Driver) -> str:
        path = fill(driver.paths["metadata"], instance=driver.any_instance())
        content = self.get_json(path)
        if not isinstance(content, dict) or not content:
            raise CheckFailed(f"{path} is empty", "is the image damaged? load it again")
        return f"{len(content)} attributes of an image"

    def slides(self, driver: Driver) -> list[dict[str, Any]]:
        """Return the studies of the catalogue that are whole slides."""
        return [study for study in studies_of(self.catalogue, driver.name) if study.get("whole_slide")]

    def check_tile(self, driver: Driver) -> str:
        study = self.slides(driver)[0]
        members = next(iter(driver.policy.get("study_members", ())), None)
        # Without levels below a study its own id is that of the slide.
        series = self.get_json(fill(members["path"], id=study["id"]))[members["field"]] if members else [study["id"]]
        for one in series[:20]:
            answer = self.request("GET", fill(driver.paths["tile"], study=study["id"], series=one))
            if answer.status_code == 200 and answer.headers.get("content-type", "").startswith("image/"):
                return f"{len(answer.content)} bytes of {study.get('title') or study['id']}"
        raise CheckFailed(f"no part of {study['id']} answers with a tile", SEE_IMAGE_SERVERS)

    # --- What the public must not be able to do ---
    def check_forbidden(self, driver: Driver) -> str:
        study, instance = ((list(ids) or ["none"])[0] for ids in (driver.studies, driver.instances))
        paths = [fill(path, instance=instance, study=study) for path in driver.policy["forbidden_paths"]]
        answered = {path: self.request("GET", path).status_code for path in paths}
        open_paths = [f"{path} answers {status}" for path, status in answered.items() if status not in REFUSALS]
        if open_paths:
            raise CheckFailed(
                "; ".join(open_paths[:5]),
                "correct the routes of the image server's cache policy, then run configure.yml",
            )
        return f"{len(paths)} paths refused"

    def check_methods(self) -> str:
        pages = ["/"] + [
            fill(driver.paths["metadata"], instance=(list(driver.instances) or ["none"])[0])
            for driver in self.drivers
            if "metadata" in driver.paths
        ]
        allowed = [
            f"{method} {target} answers {status}"
            for method in ("POST", "PUT", "DELETE", "PATCH")
            for target in pages
            for status in [self.request(method, target).status_code]
            if status != 405
        ]
        if allowed:
            raise CheckFailed("; ".join(allowed), "run configure.yml")
        return "POST, PUT, DELETE, PATCH refused with 405"

    def _ordered(self) -> Iterator[tuple[str, Callable[[], str]]]:
        """Yield names and checks in the order of the table. Of several drivers each has lines of its own."""
        certificate, days = self.certificate, self.settings.minimum_certificate_days
        yield "home page", self.check_home
        yield "certificate", certificate.check
        yield "certificate's end", lambda: certificate.check_days(days)
        # A site whose name has no such address has no such line.
        ipv6 = ipv6_addresses(self.host)
        if ipv6:
            yield "IPv6", lambda: certificate.check_ipv6(ipv6)
        yield "TLS 1.1", certificate.check_old_versions
        yield "HTTP/2", self.check_http2
        yield "redirect from HTTP", self.check_redirect
        yield "security headers", self.check_headers
        yield "gallery lists", self.check_catalogue
        yield "thumbnails of the front page", self.check_thumbnails
        for driver in self.drivers:
            suffix = f" ({driver.name})" if len(self.drivers) > 1 else ""
            if "uncached" in driver.paths:
                yield f"a new size of an image{suffix}", lambda driver=driver: self.check_miss_and_hit(driver)  # type: ignore[misc]
            if "metadata" in driver.paths:
                yield f"metadata{suffix}", lambda driver=driver: self.check_metadata(driver)  # type: ignore[misc]
            # A site without slides has no tile to ask for.
            if "tile" in driver.paths and self.slides(driver):
                yield f"whole-slide tile{suffix}", lambda driver=driver: self.check_tile(driver)  # type: ignore[misc]
            yield f"administration{suffix}", lambda driver=driver: self.check_forbidden(driver)  # type: ignore[misc]
        yield "monitor's /test", self.check_test
        for driver in self.drivers if len(self.drivers) > 1 else ():
            path = f"/test/{driver.name}"
            yield f"monitor's {path}", lambda path=path: self.check_test(path)  # type: ignore[misc]
        yield "writing", self.check_methods

    def lines(self) -> list[Line]:
        """Run all checks. Where nobody answers, the rest is not tried."""
        results: list[Line] = []
        for name, function in self._ordered():
            line = check(
                name,
                function,
                (httpx.HTTPError, OSError, LookupError, TypeError, AttributeError),
                "do the cache host and its published port answer? " + SEE_NGINX,
            )
            results.append(line)
            if name == "home page" and not line["ok"] and "Connect" in line["detail"]:
                line["remedy"] = (
                    f"is the cache host up and {self.address}:{self.port} open? "
                    "The other checks from outside were not tried"
                )
                break
        return results
