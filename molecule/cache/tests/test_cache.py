# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What the public, the monitors and the warm engine meet at the proxy.

Everything is asked from the proxy itself, through its public port 443 and its loopback ports, against the image
servers of the site with the images that are loaded there.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from proxy import LOOPBACK, PUBLIC, REFRESH, ask, ask_many, cache_status, forget, image_server_addresses, run_ansible

testinfra_hosts = ["ansible://cache"]


@contextmanager
def unreachable(host, addresses: list[str]) -> Iterator[None]:
    """Image servers that the proxy cannot reach, and a proxy that knows nothing of it yet."""
    try:
        for address in addresses:
            host.check_output(f"ip route add unreachable {address}")
        time.sleep(1)
        yield
    finally:
        for address in addresses:
            host.run(f"ip route del unreachable {address}")
        # A reload forgets which servers have failed.
        host.check_output("systemctl reload nginx")
        time.sleep(1)


def test_second_visitor_is_served_from_the_cache(host, thumbnail) -> None:
    first, second = ask_many(host, [{"path": f"{thumbnail}?width=256"}] * 2)
    assert (first["status"], second["status"]) == (200, 200)
    assert (cache_status(first), cache_status(second)) == ("MISS", "HIT")
    assert first["checksum"] == second["checksum"]


def test_entry_depends_on_known_arguments_only(host, thumbnail) -> None:
    ask(host, f"{thumbnail}?width=256")
    same = ask_many(
        host,
        [
            {"path": f"{thumbnail}?utm_source=mail&width=256"},
            {"path": f"{thumbnail}?width=256&a=1&&b"},
            {"path": f"/{thumbnail}?width=256"},
            {"path": f"{thumbnail}?width=256", "headers": {"Accept": "image/png", "Cookie": "session=1"}},
            {"path": f"{thumbnail}?width=256", "method": "HEAD"},
        ],
    )
    assert [(answer["status"], cache_status(answer)) for answer in same] == [(200, "HIT")] * len(same)
    assert {answer["headers"]["content-type"] for answer in same} == {"image/jpeg"}
    assert cache_status(ask(host, f"{thumbnail}?width=512")) == "MISS"


def test_order_of_arguments_does_not_matter(host, instances) -> None:
    forget(host)
    one, other, third = ask_many(
        host,
        [
            {"path": "/instances?since=1&limit=2"},
            {"path": "/instances?limit=2&since=1"},
            {"path": "/instances?limit=1&since=1"},
        ],
        LOOPBACK,
    )
    assert (cache_status(other), one["checksum"]) == ("HIT", other["checksum"])
    assert len(json.loads(one["text"])) == 2 and len(json.loads(third["text"])) == 1


def test_image_format_is_not_the_browsers_choice(host, thumbnail) -> None:
    for accept in ("image/png", "*/*", "text/html,application/xhtml+xml"):
        forget(host)
        answer = ask(host, f"{thumbnail}?width=256", headers={"Accept": accept})
        assert (cache_status(answer), answer["headers"]["content-type"]) == ("MISS", "image/jpeg")
        assert answer["text"].startswith("\xff\xd8\xff")


def test_errors_are_never_kept(host, instances) -> None:
    missing = "/instances/" + "-".join(["00000000"] * 5)
    answers = ask_many(host, [{"path": f"{missing}/preview"}, {"path": missing}] * 2, LOOPBACK)
    assert {(answer["status"] >= 400, cache_status(answer)) for answer in answers} == {(True, "MISS")}


def test_parallel_visitors_of_a_missing_entry_cost_one_fetch(host, thumbnail) -> None:
    mark = f"lock{time.time_ns()}"
    answers = ask_many(host, [{"path": f"{thumbnail}?width=1024&{mark}"}] * 20, parallel=20)
    assert {answer["status"] for answer in answers} == {200}
    time.sleep(1.5)
    lines = [json.loads(line) for line in host.check_output(f"grep {mark} /var/log/nginx/access.log").splitlines()]
    assert len(lines) == 20
    assert len([line for line in lines if line["upstream"]]) == 1


def test_log_tells_the_cache_status_of_each_request(host, thumbnail) -> None:
    mark = f"log{time.time_ns()}"
    ask_many(host, [{"path": f"{thumbnail}?width=256&{mark}"}] * 3 + [{"path": f'/system?{mark}"\\'}])
    time.sleep(1.5)
    lines = [json.loads(line) for line in host.check_output(f"grep {mark} /var/log/nginx/access.log").splitlines()]
    assert [(line["route"], line["cache"], line["status"]) for line in lines] == [
        ("thumbnail", "MISS", 200),
        ("thumbnail", "HIT", 200),
        ("thumbnail", "HIT", 200),
        ("", "", 404),
    ]


def test_refresh_port_rewrites_an_entry(host, thumbnail) -> None:
    path = f"{thumbnail}?width=256"
    whole = ask(host, path)
    # What is kept is damaged on the volume, as by a wrong image that was served once.
    file = host.check_output("grep -rlF 'KEY: %s' /var/cache/nginx/thumbnails", path)
    host.check_output(
        "python3 -c %s %s", 'import sys; f = open(sys.argv[1], "r+b"); f.seek(-2, 2); f.write(b"xx")', file
    )
    damaged = ask(host, path, LOOPBACK)
    assert cache_status(damaged) == "HIT" and damaged["checksum"] != whole["checksum"]
    assert cache_status(ask(host, path, REFRESH)) == "BYPASS"
    again = ask(host, path)
    assert (cache_status(again), again["checksum"]) == ("HIT", whole["checksum"])


def test_one_image_server_down_is_not_noticed(host, instances) -> None:
    forget(host)
    addresses = image_server_addresses(host)
    assert len(addresses) >= 2
    with unreachable(host, addresses[:1]):
        answers = ask_many(host, [{"path": f"/instances/{one}/rendered?width=256"} for one in instances], parallel=4)
        assert {answer["status"] for answer in answers} == {200}


def test_entries_stay_visible_while_all_image_servers_are_down(host, instances) -> None:
    forget(host)
    kept = [
        f"/studies/{study}/series" for study in json.loads(ask(host, "/studies?since=0&limit=1", LOOPBACK)["text"])
    ] + [f"/instances/{instances[0]}"]
    assert {answer["status"] for answer in ask_many(host, [{"path": path} for path in kept])} == {200}
    with unreachable(host, image_server_addresses(host)):
        time.sleep(11)
        for path, statuses in zip(kept, ({"STALE", "UPDATING"}, {"HIT"}), strict=False):
            answer = ask(host, path)
            assert (answer["status"], cache_status(answer) in statuses) == (200, True)
        lost = ask(host, f"/instances/{instances[1]}")
        assert lost["status"] in (502, 504) and "Back soon" in lost["text"]
        assert ask(host, "/test")["status"] == 503
        # Addresses, not names: nginx starts while no image server answers.
        host.check_output("systemctl restart nginx")
        assert cache_status(ask(host, kept[1])) == "HIT"
    assert ask(host, f"/instances/{instances[1]}")["status"] == 200


def test_cache_outlives_a_restart(host, thumbnail) -> None:
    ask(host, f"{thumbnail}?width=256")
    host.check_output("systemctl restart nginx")
    assert cache_status(ask(host, f"{thumbnail}?width=256")) == "HIT"


def test_full_volume_costs_the_cache_not_the_visitors(host, instances) -> None:
    forget(host)
    fill = "/var/cache/nginx/fill-of-the-test"
    try:
        host.check_output(
            "python3 -c %s",
            f"""
import errno, os
file = os.open({fill!r}, os.O_WRONLY | os.O_CREAT)
size, step = 0, 1 << 30
while step >= 4096:
    try:
        os.posix_fallocate(file, size, step)
        size += step
    except OSError as error:
        if error.errno != errno.ENOSPC:
            raise
        step //= 2
""",
        )
        paths = [
            {"path": f"/instances/{one}{rest}"} for one in instances[:20] for rest in ("/rendered?width=512", "/tags")
        ]
        answers = ask_many(host, paths)
        assert {answer["status"] for answer in answers} == {200}
        assert all(
            answer["bytes"] == int(answer["headers"].get("content-length", answer["bytes"])) for answer in answers
        )
        assert "No space left" in host.check_output("tail -n 50 /var/log/nginx/error.log")
    finally:
        host.run(f"rm -f {fill}")
    path = paths[0]["path"]
    assert [cache_status(ask(host, path)) for _ in range(3)][-1] == "HIT"


def test_maintenance_is_a_page_for_visitors_only(host, thumbnail) -> None:
    host.check_output("touch /etc/nginx/maintenance")
    # Looked for once a second.
    time.sleep(1.1)
    try:
        for path in ("/", f"{thumbnail}?width=256", "/test", "/system"):
            answer = ask(host, path)
            assert (answer["status"], answer["headers"]["retry-after"]) == (503, "60")
            assert "Back soon" in answer["text"] and answer["headers"]["content-type"].startswith("text/html")
        assert ask(host, f"{thumbnail}?width=256", LOOPBACK)["status"] == 200
        assert ask(host, f"{thumbnail}?width=256", REFRESH)["status"] == 200
    finally:
        host.check_output("rm /etc/nginx/maintenance")
    time.sleep(1.1)
    assert ask(host, f"{thumbnail}?width=256")["status"] == 200


def test_test_address_fetches_an_image_each_time(host, instances, request) -> None:
    snippet = "/etc/nginx/snippets/test-images.conf"
    before = host.check_output(f"cat {snippet}")

    def name_image(path: str) -> None:
        text = f"map $uri $test_server {{ default orthanc; }}\nmap $uri $test_path {{ default '{path}'; }}\n"
        host.check_output(f"printf '%%s' %s > {snippet} && systemctl reload nginx && sleep 1", text)

    try:
        # The way of the load verb.
        run_ansible(
            request,
            [
                "ansible",
                "cache",
                "--become",
                "--module-name",
                "ansible.builtin.include_role",
                "--args",
                "name=imaging.repository.cache tasks_from=test_image",
                "--extra-vars",
                json.dumps({"cache_test_paths": {"orthanc": f"/instances/{instances[0]}/rendered?width=256"}}),
            ],
        )
        host.check_output("systemctl reload nginx && sleep 1")
        for path in ("/test", "/test", "/test/orthanc"):
            answer = ask(host, path)
            assert (answer["status"], answer["headers"]["content-type"]) == (200, "image/jpeg")
            assert cache_status(answer) is None and answer["headers"]["cache-control"] == "no-cache"
        # Monitors also ask by HEAD, which an image server may not know.
        answer = ask(host, "/test", method="HEAD")
        assert (answer["status"], answer["headers"]["content-type"], answer["text"]) == (200, "image/jpeg", "")
        assert ask(host, "/test/nosuch")["status"] == 503
        # An image that is gone stands for whatever an image server answers but 200.
        name_image("/instances/" + "-".join(["00000000"] * 5) + "/preview")
        assert [ask(host, "/test", port)["status"] for port in (PUBLIC, LOOPBACK)] == [503, 503]
        # Before the first load.
        name_image("")
        answer = ask(host, "/test")
        assert (answer["status"], answer["text"]) == (503, "no image loaded yet\n")
    finally:
        host.check_output(f"printf '%%s\\n' %s > {snippet} && systemctl reload nginx", before)


def test_broken_configuration_does_not_replace_the_running_one(host, request) -> None:
    before = host.check_output("sha256sum /etc/nginx/nginx.conf")
    output = run_ansible(
        request,
        [
            "ansible-playbook",
            "molecule/cache/converge.yml",
            "--extra-vars",
            json.dumps({"cache_content_security_policy": 'broken" {'}),
        ],
        check=False,
    )
    assert "nginx: configuration file" in output and "test failed" in output
    assert host.check_output("sha256sum /etc/nginx/nginx.conf") == before
    assert ask(host, "/")["status"] in (200, 404)


def test_zones_fit_the_volume(host) -> None:
    volumes = host.ansible.get_variables()["host_volumes"]
    volume_mib = next(volume["gib"] for volume in volumes if volume["mount"] == "/var/cache/nginx") * 1024
    sizes = [int(size) for size in host.check_output(r"grep -oP 'max_size=\K[0-9]+' /etc/nginx/nginx.conf").split()]
    assert 0 < sum(sizes) <= 0.9 * volume_mib
    assert host.check_output("systemctl show nginx --property RequiresMountsFor").endswith("/var/cache/nginx")
