# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the warm is tested against: a real nginx of its own, and an image server that misbehaves on purpose.

The nginx has its own prefix, configuration, ports on loopback and process id file below pytest's directory; the
machine's own is not touched. Its configuration is roles/cache/templates/nginx.conf.j2 without what visitors see of it.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import tempfile
import time

import pytest

from .image_server import ImageServer
from .rendered_nginx import RenderedNginx, free_ports

REPOSITORY = pathlib.Path(__file__).parents[2]
# The processes of nginx are another user's, who must get to pytest's directories. Each other start of pytest on the machine
# closes those of this user below the usual root.
os.environ["PYTEST_DEBUG_TEMPROOT"] = TEMPORARY = tempfile.mkdtemp(prefix="imaging-repository-warm-")
CONFIGURATION = """
worker_processes 2;
pid {prefix}/nginx.pid;
error_log {prefix}/error.log warn;
{user}
events {{ worker_connections 512; }}
http {{
    access_log {prefix}/access.log;
    client_body_temp_path {prefix}/temporary; fastcgi_temp_path {prefix}/temporary; uwsgi_temp_path {prefix}/temporary;
    scgi_temp_path {prefix}/temporary; proxy_temp_path {prefix}/temporary;
    upstream image_servers {{ server 127.0.0.1:{upstream} max_fails=0; keepalive 32; keepalive_timeout 500ms; }}
    proxy_http_version 1.1;
    proxy_pass_request_headers off;
    proxy_set_header Connection '';
    proxy_set_header Accept $header_accept;
    proxy_connect_timeout 2s;
    proxy_read_timeout {read_timeout_seconds}s;
    proxy_cache_path {zone} levels=1:2 keys_zone=images:4m max_size={max_size_mib}m inactive=365d manager_sleep=50ms;
    map $server_port $refresh {{ default 0; {refresh} 1; }}
    proxy_cache_bypass $refresh;
    proxy_cache_lock on;
    proxy_cache_use_stale error timeout invalid_header updating http_500 http_502 http_503 http_504;
    proxy_cache_background_update on;
    proxy_ignore_headers Cache-Control Expires Set-Cookie Vary X-Accel-Expires;
    add_header X-Cache-Status $upstream_cache_status always;
    server {{
        listen 127.0.0.1:{port};
        listen 127.0.0.1:{refresh};
        keepalive_requests 100000;
        uninitialized_variable_warn off;
        location / {{ return 404; }}
        location ~ '^/images/[^/]+\\z' {{
            set $header_accept image/jpeg;
            proxy_pass http://image_servers$uri;
            proxy_cache images;
            proxy_cache_key $uri;
            proxy_cache_valid 200 365d;
        }}
        location ~ '^/images\\z' {{
            proxy_pass http://image_servers$uri$is_args$args;
        }}
    }}
}}
"""
ROUTES = [
    {
        "name": "image",
        "match": "^/images/[^/]+$",
        "zone": "images",
        "valid": "365d",
        "arguments": [],
        "argument_patterns": {},
        "request_headers": {"Accept": "image/jpeg"},
    }
]


def until(condition, seconds: float = 20.0):
    """Wait until `condition()` is true and return what it returned; fail after `seconds`."""
    end = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.02)


class Nginx:
    """A cache of its own in `prefix`."""

    def __init__(self, prefix: pathlib.Path, upstream: int, zone: pathlib.Path | None = None, **options):
        self.prefix = prefix
        self.zone = zone or prefix / "zone"
        self.port, self.refresh_port = free_ports(2)
        for directory in (prefix / "temporary", self.zone):
            directory.mkdir(parents=True, exist_ok=True)
        # As root, workers would be nobody, who may not write below pytest's directory.
        options = {"read_timeout_seconds": 20, "max_size_mib": 500, **options}
        (prefix / "nginx.conf").write_text(
            CONFIGURATION.format(
                prefix=prefix,
                upstream=upstream,
                zone=self.zone,
                port=self.port,
                refresh=self.refresh_port,
                user="user root;" if os.geteuid() == 0 else "",
                **options,
            )
        )
        self.start()

    def _run(self, *arguments: str) -> None:
        subprocess.run(
            [
                "/usr/sbin/nginx",
                "-p",
                self.prefix,
                "-c",
                self.prefix / "nginx.conf",
                "-e",
                self.prefix / "error.log",
                *arguments,
            ],
            check=True,
            capture_output=True,
        )

    def start(self) -> None:
        self._run()
        self.pid = int(until(lambda: (self.prefix / "nginx.pid").exists() and (self.prefix / "nginx.pid").read_text()))

    def reload(self) -> None:
        os.kill(self.pid, signal.SIGHUP)

    def stop(self) -> None:
        os.kill(self.pid, signal.SIGTERM)
        until(lambda: not (self.prefix / "nginx.pid").exists())

    def close(self) -> None:
        if (self.prefix / "nginx.pid").exists():
            self.stop()

    def keys(self) -> set[str]:
        """Return the keys of all files in the zone."""
        found = set()
        for path in self.zone.glob("?/??/" + "?" * 32):
            with contextlib.suppress(FileNotFoundError):
                found.add(path.read_bytes()[:1024].partition(b"\nKEY: ")[2].partition(b"\n")[0].decode())
        return found


@dataclasses.dataclass
class Result:
    """What a run of cache-warm came to."""

    status: int
    message: str
    report: dict

    def causes(self) -> dict[str, list[str]]:
        """Return the failures: URLs by cause."""
        return {failure["cause"]: sorted(failure["examples"]) for failure in self.report["failures"]}


class Warm:
    """The program, as it is installed: a process of its own with its own directories."""

    def __init__(self, directory: pathlib.Path, nginx: Nginx | RenderedNginx, zone: pathlib.Path):
        self.directory = directory
        self.state = directory / "state"
        self.runtime = directory / "run"
        self.urls = directory / "urls"
        for made in (self.state, self.runtime):
            made.mkdir(parents=True, exist_ok=True)
        self.settings = {
            "url": f"http://127.0.0.1:{nginx.port}",
            "refresh_url": f"http://127.0.0.1:{nginx.refresh_port}",
            "probe": "/images?since=0&limit=1",
            "cannot_draw": [422],
            "routes": ROUTES,
            "zones": [{"name": "images", "directory": str(zone), "max_size_mib": 500}],
            "sources": [{"name": "urls", "kind": "urls", "file": str(self.urls)}],
            "concurrency": 8,
            "attempts": 3,
            "timeout_seconds": 10,
            "sample_minimum": 100,
            "state_directory": str(self.state),
            "runtime_directory": str(self.runtime),
        }

    def pages(self, *names: str) -> None:
        """Name the pages to warm, below /images/."""
        self.urls.write_text("".join(f"/images/{name}\n" for name in names))

    def start(self, *arguments: str, python_path: str = "") -> subprocess.Popen:
        """Start `cache-warm run`, or another command; Python also looks for modules at `python_path`."""
        (self.directory / "config.json").write_text(json.dumps(self.settings))
        return subprocess.Popen(
            [
                sys.executable,
                "-B",
                "-m",
                "module_utils.cache_warm",
                "--config",
                self.directory / "config.json",
                *(arguments or ("run",)),
            ],
            env={**os.environ, "PYTHONPATH": f"{REPOSITORY / 'plugins'}:{python_path}"},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def finish(self, process: subprocess.Popen, seconds: float = 60.0) -> Result:
        """Wait for the end of a run."""
        _, message = process.communicate(timeout=seconds)
        report = self.state / "report.json"
        assert "Traceback" not in message, message
        return Result(process.returncode, message, json.loads(report.read_text()) if report.exists() else {})

    def run(self, *arguments: str, **options) -> Result:
        """Run to the end."""
        return self.finish(self.start(*arguments, **options))

    def status(self) -> dict:
        """Return the status file; empty before the first."""
        with contextlib.suppress(FileNotFoundError):
            return json.loads((self.runtime / "status.json").read_text())
        return {}


@dataclasses.dataclass
class Site:
    """Image server, cache and warm."""

    server: ImageServer
    nginx: Nginx
    warm: Warm

    def wait_for(self, number: int) -> None:
        """Wait until the image server was asked for so many different pages."""
        until(lambda: len(self.server.times) >= number)


def pytest_sessionfinish(exitstatus: int) -> None:
    """What a failure left stays to be looked at."""
    if exitstatus == pytest.ExitCode.OK:
        shutil.rmtree(TEMPORARY)


@pytest.fixture
def make_site(tmp_path):
    """Return a function that makes a site; options are those of Nginx."""
    with contextlib.ExitStack() as stack:

        def make(latency_seconds: float = 0.0, **options) -> Site:
            server = stack.enter_context(ImageServer(latency_seconds))
            nginx = Nginx(tmp_path / "nginx", server.port, **options)
            stack.callback(nginx.close)
            return Site(server, nginx, Warm(tmp_path / "warm", nginx, nginx.zone))

        yield make
    # A zone of thousands of files is no use to anybody.
    shutil.rmtree(tmp_path / "nginx", ignore_errors=True)


@pytest.fixture
def site(make_site):
    """A site with an image server that answers at once."""
    return make_site()


@pytest.fixture
def make_disk(tmp_path):
    """Return a function that makes a small file system at a path: make_disk(path, size) -> grow(size)."""
    mounted = []

    def make(path: pathlib.Path, size: str):
        path.mkdir(parents=True, exist_ok=True)
        made = subprocess.run(
            ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", path], capture_output=True, text=True
        )
        if made.returncode:
            pytest.skip(f"a file system cannot be mounted here: {made.stderr.strip()}")
        mounted.append(path)
        return lambda larger: subprocess.run(["mount", "-o", f"remount,size={larger}", path], check=True)

    yield make
    for path in mounted:
        subprocess.run(["umount", "--lazy", path], check=True)
