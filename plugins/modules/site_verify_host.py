#!/usr/bin/python
# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Ansible module site_verify_host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: site_verify_host
short_description: Checks one host of a site from inside, without changing anything
version_added: 0.1.0
description:
  - Checks what a host of the site is for - its volumes, its image server, its share, its database, its cache - and
    returns one result per check. It never fails itself; M(imaging.repository.site_verify) puts the results of all hosts
    into the table and fails where one did.
  - Nothing is changed and nothing is filled into the cache.
options:
  name:
    description: How the table calls the host.
    type: str
    required: true
  volumes:
    description: The host's volumes, as the inventory gives them in C(host_volumes).
    type: list
    elements: dict
    default: []
  share:
    description:
      - On a replica C(mount), the mount point of the share, and C(site), the content of its file .imaging-repository.
    type: dict
  image_server:
    description: On an image server C(url) and C(user), for an authenticated request that needs the database.
    type: dict
  database:
    description: On the database host C(name) and C(reader), the role that must not be able to write.
    type: dict
  cache:
    description:
      - On a cache host C(policy), the driver's cache policy, C(image_servers), the URLs of the replicas, C(user), and
        C(minimum_fraction), the fraction of a sample of images that must be cached.
    type: dict
  password:
    description: Password of the C(user) of O(image_server) or O(cache).
    type: str
attributes:
  check_mode:
    support: full
    description: Only reads.
  diff_mode:
    support: none
    description: Only reads.
author: The imaging.repository authors
"""

EXAMPLES = r"""
- name: Check this replica
  imaging.repository.site_verify_host:
    name: replica1
    share: {mount: /srv/images, site: demo}
    image_server: {url: "http://127.0.0.1:8042/system", user: operator}
    password: "{{ vault_image_server_operator_password }}"
"""

RETURN = r"""
checks:
  description: One dictionary C(name), C(ok), C(detail), C(remedy) per check.
  returned: always
  type: list
  elements: dict
instances:
  description: On a cache host, ids of some images, chosen at random.
  returned: always
  type: list
  elements: str
studies:
  description: On a cache host, ids of all studies of the image server.
  returned: always
  type: list
  elements: str
"""

import base64
import json
import random
import subprocess
import urllib.error
import urllib.request

from ansible.module_utils.basic import AnsibleModule

from ..module_utils.cache_warm.keys import Routes
from ..module_utils.cache_warm.zones import Zone, cached
from ..module_utils.cache_zones import DIRECTORY
from ..module_utils.verify import CheckFailed, cached_fraction, check, fill, read_json, sample_offsets

REFRESH_URL = "http://127.0.0.1:8082"
CATALOGUE = "/var/www/gallery/catalogue.json"
SAMPLE_PAGES = 10
SAMPLE_PAGE_SIZE = 100
# How many images of the sample that are not cached are asked for at an image server, to learn whether they can be.
ASKED_IMAGES = 20

# Rights of any kind to write, over every table and sequence, and whether the role is more than a role that reads.
READER_QUERY = """
SELECT json_build_object(
  'exists', EXISTS (SELECT FROM pg_roles WHERE rolname = '{reader}'),
  'tables', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
             WHERE c.relkind IN ('r', 'p') AND n.nspname = 'public'),
  'unreadable', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r
                 WHERE r.rolname = '{reader}' AND c.relkind IN ('r', 'p') AND n.nspname = 'public'
                 AND NOT has_table_privilege(r.oid, c.oid, 'SELECT')),
  'writable', (SELECT count(*) FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace, pg_roles r
               WHERE r.rolname = '{reader}' AND c.relkind IN ('r', 'p', 'v') AND n.nspname = 'public'
               AND has_table_privilege(r.oid, c.oid, 'INSERT, UPDATE, DELETE, TRUNCATE')),
  'creates', (SELECT count(*) FROM pg_namespace n, pg_roles r
              WHERE r.rolname = '{reader}' AND n.nspname NOT LIKE 'pg_%'
              AND has_schema_privilege(r.oid, n.oid, 'CREATE')),
  'super', (SELECT count(*) FROM pg_roles WHERE rolname = '{reader}'
            AND (rolsuper OR rolcreatedb OR rolcreaterole OR rolreplication)))
"""


def run(arguments: list[str], remedy: str, timeout_seconds: float = 5.0) -> str:
    """Return what a command prints, or raise CheckFailed with what it complained about."""
    try:
        done = subprocess.run(arguments, capture_output=True, text=True, timeout=timeout_seconds, check=False, cwd="/")
    except subprocess.TimeoutExpired:
        raise CheckFailed(f"{arguments[0]} did not answer within {timeout_seconds:.0f} s", remedy) from None
    except OSError as error:
        raise CheckFailed(f"{arguments[0]}: {error.strerror}", remedy) from None
    if done.returncode != 0:
        text = (done.stderr or done.stdout).strip().replace("\n", " ")
        raise CheckFailed(text or f"exit status {done.returncode}", remedy)
    return done.stdout


def fetch(
    url: str,
    user: str | None = None,
    password: str | None = None,
    accept: str = "application/json",
    timeout_seconds: float = 5.0,
) -> tuple[int, bytes]:
    """Return (status, body) of a GET; status 0 and the error's text if there is no answer. No proxy is asked."""
    request = urllib.request.Request(url, headers={"Accept": accept})
    if user:
        login = base64.b64encode(f"{user}:{password}".encode()).decode()
        request.add_header("Authorization", f"Basic {login}")
    try:
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        with opener.open(request, timeout=timeout_seconds) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, b""
    except OSError as error:
        return 0, str(getattr(error, "reason", error)).encode()


def findmnt(mount: str, remedy: str) -> dict:
    """Return findmnt's entry for a mount point, sizes in bytes, or raise CheckFailed."""
    try:
        text = run(
            ["findmnt", "--json", "--bytes", "--output=FSTYPE,OPTIONS,SIZE,AVAIL", "--mountpoint", mount], remedy
        )
    except CheckFailed as failure:
        detail = f"{mount} is not mounted" if failure.detail == "exit status 1" else failure.detail
        raise CheckFailed(detail, remedy) from None
    return json.loads(text)["filesystems"][0]


def check_volume(host: str, volume: dict) -> str:
    remedy = f"findmnt and systemctl list-units --type=mount on {host}, then run configure.yml"
    mounted = findmnt(volume["mount"], remedy)
    if mounted["fstype"] != volume.get("file_system", "xfs"):
        raise CheckFailed(f"{volume['mount']} is {mounted['fstype']}, not {volume.get('file_system', 'xfs')}", remedy)
    if "rw" not in mounted["options"].split(","):
        raise CheckFailed(f"{volume['mount']} is mounted read-only", f"see the kernel's messages on {host}")
    # While the volume is busy some kernels count in other units; None is rare and no reason to fail.
    free, size = int(mounted["avail"] or 0), int(mounted["size"] or 1)
    if free < size // 50:
        raise CheckFailed(
            f"{volume['mount']} is full: {free / 2**20:.0f} MiB free", "raise the volume's gib and run site.yml"
        )
    return f"{volume['mount']}, {mounted['fstype']}, {free / 2**30:.1f} of {size / 2**30:.1f} GiB free"


def check_share(host: str, share: dict) -> str:
    remedy = f"see journalctl -u '*.mount' on {host}; is the primary up?"
    mounted = findmnt(share["mount"], remedy)
    # A share whose other side is gone hangs: cat is killed, this module is not.
    site = run(["timeout", "--signal=KILL", "3", "cat", f"{share['mount']}/.imaging-repository"], remedy).strip()
    if site != share["site"]:
        raise CheckFailed(f"{share['mount']} belongs to site {site or '(no name)'}, not {share['site']}", remedy)
    if "ro" not in mounted["options"].split(","):
        raise CheckFailed(f"{share['mount']} is mounted writable", "run configure.yml: a replica must only read")
    return f"{share['mount']}, {mounted['fstype']}, read-only"


def check_image_server(host: str, image_server: dict, password: str) -> str:
    status, body = fetch(image_server["url"], image_server["user"], password)
    if status != 200:
        found = f"{image_server['url']} answers {status}" if status else f"{image_server['url']}: {body.decode()}"
        raise CheckFailed(found, f"journalctl -p warning on {host}; are the database and the share well?")
    version = read_json(body, image_server["url"], "is another program on this port?").get("Version", "")
    return f"answers with its database, version {version}".removesuffix(", version ")


def psql(database: str, query: str, remedy: str) -> str:
    return run(
        [
            "runuser",
            "--user",
            "postgres",
            "--",
            "psql",
            "--no-psqlrc",
            "--tuples-only",
            "--no-align",
            "--set=ON_ERROR_STOP=1",
            f"--dbname={database}",
            f"--command={query}",
        ],
        remedy,
    ).strip()


def check_database(host: str, database: dict) -> str:
    query = (
        "SELECT split_part(current_setting('server_version'), ' ', 1) || ', '"
        " || pg_size_pretty(pg_database_size(current_database()))"
    )
    return "PostgreSQL " + psql(database["name"], query, f"systemctl status 'postgresql@*' on {host}")


def check_reader(database: dict) -> str:
    remedy = "run configure.yml, which sets the rights of the database's roles"
    reader = database["reader"]
    rights = json.loads(psql(database["name"], READER_QUERY.format(reader=reader.replace("'", "''")), remedy))
    if not rights["exists"]:
        raise CheckFailed(f"the role {reader} does not exist", remedy)
    wrong = [
        text
        for key, text in (
            ("writable", "may write to {} tables"),
            ("creates", "may create in {} schemas"),
            ("unreadable", "may not read {} tables"),
            ("super", "has administrator's rights"),
        )
        for text in [text.format(rights[key])]
        if rights[key]
    ]
    if wrong:
        raise CheckFailed(f"{reader} " + ", ".join(wrong), remedy)
    return f"{reader} reads {rights['tables']} tables and writes none"


class Cache:
    """The checks of a cache host, which read its lists at the refresh port, because those on the other may be old."""

    def __init__(self, host: str, cache: dict, password: str):
        self.host = host
        self.policy = cache["policy"]
        self.routes = Routes(self.policy["routes"])
        self.image_servers = cache["image_servers"]
        self.user = cache["user"]
        self.password = password
        self.minimum_fraction = float(cache["minimum_fraction"])
        self.instances: list[str] = []
        self.studies: list[str] = []

    def page(self, path: str, since: int, limit: int) -> list[str]:
        status, body = fetch(f"{REFRESH_URL}{path}?since={since}&limit={limit}", timeout_seconds=10)
        remedy = f"journalctl -u nginx on {self.host}; do the image servers answer?"
        if status != 200:
            raise CheckFailed(f"the list {path} is {f'answered {status}' if status else body.decode()}", remedy)
        return read_json(body, path, remedy)

    def source(self, name: str) -> dict:
        return next(source for source in self.policy["warm_sources"] if source["name"] == name)

    def read_ids(self) -> None:
        """Read all studies, and images from random places of their list."""
        source, since = self.source("studies"), 0
        while page := self.page(source["list"], since, source["page_size"]):
            self.studies += page
            since += len(page)
        try:
            with open(CATALOGUE, encoding="utf-8") as stream:
                total = sum(study["instances"] for study in json.load(stream)["studies"])
        except (OSError, ValueError, KeyError, TypeError):
            total = 0
        source = self.source("thumbnails")
        for since in sample_offsets(total, SAMPLE_PAGES, SAMPLE_PAGE_SIZE):
            self.instances += self.page(source["list"], since, SAMPLE_PAGE_SIZE)
        random.shuffle(self.instances)

    def check_ids(self) -> str:
        self.read_ids()
        if not self.instances:
            raise CheckFailed("no image is loaded", "run load.yml")
        return f"lists {len(self.studies)} studies through the image servers"

    def check_fraction(self) -> str:
        """Look for the files of a sample of thumbnails: to ask nginx for them would fill the cache."""
        if not self.instances:
            raise CheckFailed("not looked at, because there is no list of images", "run load.yml, then warm.yml")
        template = self.source("thumbnails")["urls"][0]
        absent = [
            path for path in (fill(template, id=instance) for instance in self.instances) if not self.is_cached(path)
        ]
        asked = absent[:ASKED_IMAGES]
        refused = sum(self.cannot_be_cached(path) for path in asked)
        unsupported = round(len(absent) * refused / len(asked)) if asked else 0
        cached = len(self.instances) - len(absent)
        fraction = cached_fraction(cached, len(absent) - unsupported, unsupported)
        text = f"{100 * fraction:.1f} % of {len(self.instances)} images"
        if fraction < self.minimum_fraction:
            raise CheckFailed(f"{text}, wanted {100 * self.minimum_fraction:.0f} %", "run warm.yml")
        return text + (f", {unsupported} cannot be" if unsupported else "")

    def is_cached(self, path: str) -> bool:
        key = self.routes.key(path)
        return key is not None and cached(Zone(key.zone, f"{DIRECTORY}/{key.zone}", 0), key)

    def cannot_be_cached(self, path: str) -> bool:
        """Ask an image server itself, past the cache."""
        url = random.choice(self.image_servers) + path
        return fetch(url, self.user, self.password, accept="image/jpeg")[0] == 415


def main() -> None:
    module = AnsibleModule(
        argument_spec={
            "name": {"type": "str", "required": True},
            "volumes": {"type": "list", "elements": "dict", "default": []},
            "share": {"type": "dict"},
            "image_server": {"type": "dict"},
            "database": {"type": "dict"},
            "cache": {"type": "dict"},
            "password": {"type": "str", "no_log": True},
        },
        supports_check_mode=True,
    )
    parameters = module.params
    host, password = parameters["name"], parameters["password"]
    checks = [
        check(f"{host}: volume {volume['name']}", lambda volume=volume: check_volume(host, volume))
        for volume in parameters["volumes"]
    ]
    if parameters["share"]:
        checks.append(check(f"{host}: share", lambda: check_share(host, parameters["share"])))
    if parameters["image_server"]:
        checks.append(
            check(f"{host}: image server", lambda: check_image_server(host, parameters["image_server"], password))
        )
    if parameters["database"]:
        checks.append(check(f"{host}: database", lambda: check_database(host, parameters["database"])))
        checks.append(check(f"{host}: database role of the replicas", lambda: check_reader(parameters["database"])))
    instances, studies = [], []
    if parameters["cache"]:
        cache = Cache(host, parameters["cache"], password)
        checks.append(check(f"{host}: image servers through the cache", cache.check_ids))
        checks.append(check(f"{host}: images cached", cache.check_fraction))
        instances, studies = cache.instances[:50], cache.studies
    module.exit_json(changed=False, checks=checks, instances=instances, studies=studies)


if __name__ == "__main__":
    main()
