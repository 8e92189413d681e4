# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""A real nginx with the configuration that role cache renders, in a directory of its own and on free ports."""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import yaml

from plugins.module_utils.policy.merge import merged

PROJECT = Path(__file__).parents[2]
ROLE = PROJECT / "roles/cache"
# Every place of the host that the template names, and where it is below the test's directory.
_PLACES = {
    "/var/cache/nginx": "zones",
    "/var/log/nginx": "log",
    "/var/lib/nginx": "lib",
    "/var/www/gallery": "www",
    "/run/nginx.pid": "nginx.pid",
    "/etc/nginx/maintenance": "maintenance",
    "root /etc/nginx;": "root {};",
}


def free_ports(count: int) -> list[int]:
    """Return ports of 127.0.0.1 that nobody uses."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _nginx_version() -> tuple[int, ...]:
    """Return the version of this machine's nginx."""
    said = subprocess.run(["/usr/sbin/nginx", "-v"], capture_output=True, text=True, check=True).stderr
    return tuple(int(part) for part in re.findall(r"nginx/([0-9.]+)", said)[0].split("."))


class Upstream:
    """An image server that answers every request, however strange, with `answer(first line of the request)`."""

    def __init__(self, answer: Callable[[bytes], bytes] = lambda line: b"x"):
        self._answer = answer
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._socket.getsockname()[1]
        self.requests = 0
        # The last request, as it came.
        self.received = b""
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, _ = self._socket.accept()
                threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(OSError):
            data = b""
            while b"\r\n\r\n" not in data:
                part = connection.recv(65536)
                if not part:
                    return
                data += part
            self.requests += 1
            self.received = data
            body = self._answer(data.partition(b"\r\n")[0])
            connection.sendall(
                b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Type: image/jpeg\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(body), body)
            )

    def close(self) -> None:
        self._socket.close()


class RenderedNginx:
    """nginx as role cache configures it for `policy`, before one image server on 127.0.0.1; a context manager.

    `variables` are those of the role that differ. `port` and `refresh_port` are its loopback ports, visitors come to `https_port`; `zones` is where its zones are.
    """

    def __init__(self, directory: Path, policy: dict, upstream_port: int, **variables: object):
        self.directory, self._variables = directory, variables
        self.policy = policy | {"port": upstream_port}
        self.port, self.refresh_port, self.https_port, self.http_port, self._miss_port = free_ports(5)
        self.zones = directory / "zones"
        self._configuration = directory / "nginx.conf"

    def __enter__(self) -> RenderedNginx:
        for name in ("zones", "log", "lib", "www", "snippets", "tls"):
            (self.directory / name).mkdir(parents=True)
        self._render()
        # Its processes are another user's, who must get to the zones.
        for parent in [self.directory, *self.directory.parents]:
            if parent.stat().st_uid == os.getuid() and parent.stat().st_mode & 0o7777 == 0o700:
                parent.chmod(0o711)
        subprocess.run(["/usr/sbin/nginx", "-q", "-t", *self._arguments], check=True, capture_output=True, text=True)
        self.start()
        return self

    def __exit__(self, *_exception) -> None:
        self.stop()

    @property
    def _arguments(self) -> list[str]:
        return ["-c", str(self._configuration), "-e", str(self.directory / "log/error.log")]

    def start(self) -> None:
        """Start the daemon and wait until it answers."""
        subprocess.run(["/usr/sbin/nginx", *self._arguments], check=True)
        for _ in range(200):
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 1):
                return
            time.sleep(0.05)
        raise AssertionError(f"nginx does not answer; see {self.directory}/log/error.log")

    def stop(self) -> None:
        """Stop it and wait until it is gone."""
        pid_file = self.directory / "nginx.pid"
        subprocess.run(["/usr/sbin/nginx", *self._arguments, "-s", "stop"], check=False)
        for _ in range(200):
            if not pid_file.exists():
                return
            time.sleep(0.05)

    def reload(self) -> None:
        """Read the configuration again."""
        subprocess.run(["/usr/sbin/nginx", *self._arguments, "-s", "reload"], check=True)

    def _render(self) -> None:
        """Render the role's own template, and move it from the host's places and ports to the test's."""
        snippets, tls = self.directory / "snippets", self.directory / "tls"
        (snippets / "image-server-logins.conf").write_text("map $image_server $login { default 'Basic eDp5'; }\n")
        (snippets / "test-images.conf").write_text(
            "map $uri $test_server { default ''; }\nmap $uri $test_path { default ''; }\n"
        )
        subprocess.run(
            [
                "openssl",
                "req",
                "-x509",
                "-newkey",
                "ec",
                "-pkeyopt",
                "ec_paramgen_curve:prime256v1",
                "-nodes",
                "-subj",
                "/CN=localhost",
                "-keyout",
                tls / "key.pem",
                "-out",
                tls / "certificate.pem",
            ],
            check=True,
            capture_output=True,
        )
        role = [yaml.safe_load((ROLE / part / "main.yml").read_text(encoding="utf-8")) for part in ("defaults", "vars")]
        variables = (
            role[0]
            | role[1]
            | {
                "site_state_directory": str(self.directory),
                "cache_drained_hosts": [],
                "cache_policy": merged({"orthanc": self.policy}),
                "cache_server_name": "localhost",
                "cache_server_address": "127.0.0.1",
                "cache_url": "https://localhost",
                "cache_https_port": self.https_port,
                "cache_http_port": self.http_port,
                "cache_tls": {"mode": "selfsigned"},
                "cache_image_servers": ["localhost"],
                "cache_cors": ["*"],
                "cache_trusted_proxies": [],
                "cache_http3": False,
                "cache_limits": {"misses_per_second": 10000},
                "preflight_ipv6": False,
                "cache_volume_gib": 0,
                "host_address": "127.0.0.1",
                "_cache_snippets": str(snippets),
                "_cache_certificate": str(tls / "certificate.pem"),
                "_cache_private_key": str(tls / "key.pem"),
                "ansible_python_interpreter": sys.executable,
            }
            | self._variables
        )
        (self.directory / "variables.json").write_text(json.dumps(variables))
        (self.directory / "hosts.yml").write_text("all: {hosts: {localhost: {ansible_connection: local}}}\n")
        rendered = self.directory / "rendered.conf"
        done = subprocess.run(
            [
                Path(sys.executable).with_name("ansible"),
                "localhost",
                "--inventory",
                self.directory / "hosts.yml",
                "--extra-vars",
                f"@{self.directory}/variables.json",
                "--module-name",
                "ansible.builtin.template",
                "--args",
                json.dumps({"src": str(ROLE / "templates/nginx.conf.j2"), "dest": str(rendered)}),
            ],
            cwd=PROJECT,
            env=os.environ | {"ANSIBLE_CONFIG": str(PROJECT / "ansible.cfg")},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        text = rendered.read_text(encoding="utf-8")
        for place, name in _PLACES.items():
            text = text.replace(place, name.format(self.directory) if " " in place else str(self.directory / name))
        for port, own in ((8081, self.port), (8082, self.refresh_port), (8083, self._miss_port)):
            text = re.sub(rf"\b{port}\b", str(own), text)
        if _nginx_version() < (1, 25, 1):
            # The controller's own nginx may be older than that of the hosts.
            text = re.sub(r"( ssl)( default_server;)\n *http2 on;", r"\1 http2\2", text)
        self._configuration.write_text(text, encoding="utf-8")
        shutil.copy(ROLE / "templates/unavailable.html.j2", self.directory / "unavailable.html")
