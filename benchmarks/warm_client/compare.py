# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Runs the clients of benchmarks/warm_client.sh in turns and prints their rates. usage: compare.py ROUNDS"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).parent
REPOSITORY = HERE.parents[1]
URLS = 100_000
# So many files are behind them: directories with more numbers are links to the first.
FILES = 20_000
SIZE_BYTES = 6_000
IN_FLIGHT = 32
GOAL_OF_BARE = 0.85
NGINX = """
worker_processes auto;
pid {directory}/nginx.pid;
{user}
events {{ worker_connections 1024; }}
http {{
    types {{ image/jpeg jpg; }}
    access_log off;
    sendfile on;
    keepalive_requests 1000000;
    client_body_temp_path {directory}/temporary; proxy_temp_path {directory}/temporary;
    fastcgi_temp_path {directory}/temporary; uwsgi_temp_path {directory}/temporary; scgi_temp_path
    {directory}/temporary; server {{
        listen 127.0.0.1:{port};
        root {directory}/www;
        add_header X-Cache-Status HIT;
    }}
}}
"""


def prepare(directory: pathlib.Path) -> int:
    """Make the objects, the lists and the nginx; return its port."""
    (directory / "temporary").mkdir()
    paths = [f"/{number // 100}/{number % 100}.jpg" for number in range(URLS)]
    for path in paths[:FILES]:
        file = directory / f"www{path}"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(b"\xff\xd8" + os.urandom(SIZE_BYTES - 2))
    for number in range(FILES // 100, URLS // 100):
        (directory / f"www/{number}").symlink_to(str(number % (FILES // 100)))
    with socket.socket() as placeholder:
        placeholder.bind(("127.0.0.1", 0))
        port = placeholder.getsockname()[1]
    urls = [f"http://127.0.0.1:{port}{path}\n" for path in paths]
    (directory / "urls").write_text("".join(urls))
    for part in range(4):
        (directory / f"urls-{part}").write_text("".join(urls[part : URLS // 10 : 4]))
    (directory / "urls-few").write_text("".join(urls[: URLS // 250]))
    (directory / "urls-some").write_text("".join(urls[: URLS // 20]))
    (directory / "curl").write_text(
        "".join(f'url = "{url.strip()}"\noutput = /dev/null\n' for url in urls[: URLS // 50])
    )
    (directory / "nginx.conf").write_text(
        NGINX.format(directory=directory, port=port, user="user root;" if os.geteuid() == 0 else "")
    )
    subprocess.run(
        ["/usr/sbin/nginx", "-p", directory, "-c", directory / "nginx.conf", "-e", directory / "error.log"], check=True
    )
    return port


def configure(directory: pathlib.Path, port: int) -> None:
    """Write the configuration of cache-warm."""
    for name in ("state", "run"):
        (directory / name).mkdir()
    url = f"http://127.0.0.1:{port}"
    (directory / "config.json").write_text(
        json.dumps(
            {
                "url": url,
                "refresh_url": url,
                "probe": "/0/0.jpg",
                "concurrency": IN_FLIGHT,
                "routes": [
                    {
                        "name": "thumbnail",
                        "match": r"^/[0-9]+/[0-9]+\.jpg$",
                        "zone": "thumbnails",
                        "valid": "365d",
                        "arguments": [],
                        "argument_patterns": {},
                        "request_headers": {"Accept": "image/jpeg"},
                    }
                ],
                "sources": [{"name": "urls", "kind": "urls", "file": str(directory / "urls")}],
                "state_directory": str(directory / "state"),
                "runtime_directory": str(directory / "run"),
                "metrics_file": str(directory / "run/warm.prom"),
                "processes": int(os.environ.get("PROCESSES", 1)),
            }
        )
    )


def cache_warm(directory: pathlib.Path) -> tuple[float, float]:
    """Return the rates of a first run of cache-warm: of its work, and of the whole command."""
    for path in (directory / "state").iterdir():
        path.unlink()
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "module_utils.cache_warm", "--config", directory / "config.json", "run"],
        check=True,
        cwd=REPOSITORY / "plugins",
        stderr=subprocess.DEVNULL,
    )
    seconds = time.perf_counter() - began
    report = json.loads((directory / "state/report.json").read_text())
    assert report["hit"] == URLS and report["sample"]["hit"] >= 1000, report["summary"]
    return URLS / report["seconds"], URLS / seconds


def script(name: str, urls: pathlib.Path, number: int, *more: str) -> float:
    """Return the rate of a client that fetches a list of `number` URLs and prints its seconds."""
    command = [sys.executable, HERE / name, urls, str(IN_FLIGHT), *more]
    return number / float(subprocess.run(command, check=True, text=True, stdout=subprocess.PIPE).stdout)


def shell(command: str, number: int) -> float:
    """Return the rate of a command that fetches `number` URLs."""
    began = time.perf_counter()
    subprocess.run(["bash", "-c", command], check=True)
    return number / (time.perf_counter() - began)


def main(rounds: int) -> int:
    """Compare; return the exit status."""
    directory = pathlib.Path(tempfile.mkdtemp(prefix="warm-client-"))
    directory.chmod(0o755)
    try:
        configure(directory, prepare(directory))
        wget = (
            "".join(
                f"wget --quiet --output-document=/dev/null --input-file={directory}/urls-{part} & " for part in range(4)
            )
            + "wait"
        )
        clients = {
            "bare loop over libcurl": lambda: script("bare.py", directory / "urls", URLS),
            "cache-warm": lambda: cache_warm(directory),
            "bare loop that is given the headers": lambda: script("bare.py", directory / "urls", URLS, "headers"),
            "aiohttp": lambda: script("with_aiohttp.py", directory / "urls-some", URLS // 20),
            "wget -i, four abreast": lambda: shell(wget, URLS // 10),
            "xargs -P 32 curl": lambda: shell(
                f"xargs --max-procs={IN_FLIGHT} --max-args=1 curl --silent --output /dev/null <{directory}/urls-few",
                URLS // 250,
            ),
            "curl --parallel": lambda: shell(
                f"curl --silent --no-progress-meter --parallel --parallel-max {IN_FLIGHT} --config {directory}/curl "
                f"2>{directory}/curl.log",
                URLS // 50,
            ),
        }
        # Everything is in memory from here on.
        script("bare.py", directory / "urls", URLS)
        rates: dict[str, list[float]] = {}
        for number in range(rounds):
            for name, run in clients.items():
                rate = run()
                if isinstance(rate, tuple):
                    rates.setdefault(f"{name}, whole command", []).append(rate[1])
                    rate = rate[0]
                rates.setdefault(name, []).append(rate)
            print(
                f"round {number + 1} of {rounds}: "
                + ", ".join(f"{name} {rate[-1]:,.0f}/s" for name, rate in rates.items()),
                flush=True,
            )
    finally:
        pid_file = directory / "nginx.pid"
        if pid_file.exists():
            os.kill(int(pid_file.read_text()), signal.SIGTERM)
        shutil.rmtree(directory, ignore_errors=True)
    print("\n| client | URLs per second (median) | of the bare loop |\n| --- | ---: | ---: |")
    bare = rates["bare loop over libcurl"]
    for name, rate in rates.items():
        share = statistics.median(one / of for one, of in zip(rate, bare, strict=True))
        print(f"| {name} | {statistics.median(rate):,.0f} | {share:.2f} |")
    of_bare = statistics.median(one / of for one, of in zip(rates["cache-warm"], bare, strict=True))
    print(f"\nwarm_client_of_bare_loop: {of_bare:.2f} (goal {GOAL_OF_BARE})")
    return 0 if of_bare >= GOAL_OF_BARE else 1


sys.exit(main(int(sys.argv[1])))
