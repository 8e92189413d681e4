# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The primary writes, replicas only read; without database or share a replica is down, and comes back by itself."""

from __future__ import annotations

import base64
import json
import re
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

import pytest
import testinfra
import yaml
from pydicom.data import get_testdata_file

testinfra_hosts = ["ansible://image_server_replica"]
REPOSITORY = Path(__file__).parents[3]
INVENTORY = str(REPOSITORY / "molecule/inventory")
SECRETS = yaml.safe_load((REPOSITORY / "state/molecule/secrets.yml").read_text())
POLICY = yaml.safe_load((REPOSITORY / "roles/image_server_orthanc/meta/policy.yml").read_text())
HEALTH = POLICY["health_path"]
ROUTES = POLICY["routes"]
NUMBERS = "systemctl show --property=MainPID,NRestarts orthanc.service"
PASSWORDS = {
    "operator": SECRETS["vault_image_server_operator_password"],
    "cache": SECRETS["vault_image_server_cache_password"],
}


def patient(host, path: str, *arguments, **named) -> tuple[int, bytes]:
    """The same, asked again on 503: after the database was down each connection of Orthanc fails once more."""
    for _ in range(10):
        answer = request(host, path, *arguments, **named)
        if answer[0] != 503:
            break
        time.sleep(1)
    return answer


def login(host) -> str:
    """The only user of an image server."""
    return "operator" if "image_server_primary" in host.ansible.get_variables()["group_names"] else "cache"


def request(
    host, path: str, user: str | None = "", method: str = "GET", data: bytes | None = None, accept: str = "*/*"
) -> tuple[int, bytes]:
    """Status (0 without an answer) and body of a request to the image server of a host, by default as its own user."""
    user = login(host) if user == "" else user
    address = host.ansible.get_variables()["host_address"]
    question = urllib.request.Request(f"http://{address}:8042{path}", data, {"Accept": accept}, method=method)
    if user:
        question.add_header("Authorization", "Basic " + base64.b64encode(f"{user}:{PASSWORDS[user]}".encode()).decode())
    try:
        with urllib.request.urlopen(question, timeout=10) as answer:
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def seconds_until(host, healthy: bool) -> float:
    """Seconds until the health URL answers 200 (or does not); at most 60."""
    start = time.monotonic()
    while (request(host, HEALTH)[0] == 200) is not healthy and time.monotonic() - start < 60:
        time.sleep(0.5)
    return time.monotonic() - start


def recover(host) -> None:
    """Wait until what an earlier test broke is over: each connection of Orthanc has failed once and works again."""
    assert seconds_until(host, healthy=True) < 60
    for _ in range(10):
        request(host, HEALTH)
    assert request(host, HEALTH)[0] == 200


def one(group: str):
    return testinfra.get_hosts([f"ansible://{group}"], ansible_inventory=INVENTORY)[0]


@pytest.fixture(scope="module")
def primary():
    return one("image_server_primary")


@pytest.fixture(scope="module")
def image(primary):
    """An image that the primary imported: its ids, as Orthanc told them."""
    file = Path(get_testdata_file("CT_small.dcm")).read_bytes()
    status, answer = patient(primary, "/instances", method="POST", data=file)
    assert status == 200
    yield json.loads(answer)
    assert patient(primary, f"/instances/{json.loads(answer)['ID']}", method="DELETE")[0] == 200


def test_a_replica_serves_what_the_primary_imported(host, image):
    path = f"/instances/{image['ID']}"
    assert patient(host, path, "cache")[0] == 200
    assert patient(host, f"{path}/file", "cache")[1] == Path(get_testdata_file("CT_small.dcm")).read_bytes()
    status, thumbnail = patient(host, f"{path}/rendered?width=256", "cache", accept="image/jpeg")
    assert status == 200
    assert thumbnail.startswith(b"\xff\xd8")


# Every public route, with what a visitor may ask of it. {instance}, {series}, {study}: ids.
PUBLIC = [
    *(f"/instances/{{instance}}/rendered{query}" for query in ("", "?width=256", "?width=512", "?width=1024")),
    "/instances/{instance}/preview",
    "/instances/{instance}",
    "/instances/{instance}/tags",
    "/instances/{instance}/simplified-tags",
    "/series/{series}",
    "/studies/{study}",
    "/wsi/pyramids/{series}",
    "/wsi/tiles/{series}/0/0/0",
    "/studies/{study}/series",
    "/studies/{study}/instances?expand",
    "/series/{series}/instances",
]
# Images that no other test or site has: the files of pydicom's own tests, among them colour JPEG 2000 and JPEG-LS.
PICTURES = sorted(Path(get_testdata_file("CT_small.dcm")).parent.glob("*.dcm"))


def route_of(path: str) -> dict:
    return next(route for route in ROUTES if re.search(f"(?:{route['match']})\\Z", path))


def test_no_picture_of_any_kind_ends_an_image_server(host, primary, image):
    """A visitor's GET must never end an image server: every public route is asked about every picture."""
    if host.backend.host != one("image_server_replica").backend.host:
        pytest.skip("one replica is asked; all are alike")
    known = {name: "-".join(["0" * 8] * 5) for name in ("instance", "series", "study")}
    asked = {route_of(path.format(**known).partition("?")[0])["name"] for path in PUBLIC}
    assert asked == {route["name"] for route in ROUTES if route["public"]}, "a public route is not asked here"

    images = []
    for file in PICTURES:
        status, answer = patient(primary, "/instances", method="POST", data=file.read_bytes())
        if status == 200 and json.loads(answer)["ID"] != image["ID"]:
            images.append((file.name, json.loads(answer)))
        elif status == 0:
            # What an operator sends can need more memory than there is; it is about what a visitor can do.
            recover(primary)
    before = primary.run(NUMBERS).stdout, host.run(NUMBERS).stdout
    try:
        drawn = set()
        for name, picture in images:
            ids = {"instance": picture["ID"], "series": picture["ParentSeries"], "study": picture["ParentStudy"]}
            for path in (path.format(**ids) for path in PUBLIC):
                accept = route_of(path.partition("?")[0])["request_headers"]["Accept"]
                status, answer = patient(host, path, "cache", accept=accept)
                assert status in (200, 400, 404, 415, 500), f"{name}: {path} is answered {status}"
                if path.endswith("width=256") and status == 200:
                    drawn.add(name)
        # Colour JPEG 2000 is not only survived but drawn.
        assert "GDCMJ2K_TextGBR.dcm" in drawn
        assert (primary.run(NUMBERS).stdout, host.run(NUMBERS).stdout) == before, "a server was started again"
    finally:
        for _name, picture in images:
            patient(primary, f"/instances/{picture['ID']}", method="DELETE")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_a_replica_refuses_to_write(host, image, method):
    for path in (f"/instances/{image['ID']}", "/instances", "/tools/shutdown", "/tools/reset"):
        assert patient(host, path, "cache", method, b"x")[0] == 403
    assert patient(host, f"/instances/{image['ID']}")[0] == 200


def test_the_primary_keeps_what_the_loader_says_about_a_study(host, primary, image):
    path = f"/studies/{image['ParentStudy']}/metadata"
    for name in ("Title", "Description", "Licence", "Source"):
        assert patient(primary, f"{path}/{name}", method="PUT", data=b"said")[0] == 200
        assert patient(host, f"{path}/{name}")[1] == b"said"


def test_nobody_comes_in_without_a_password_or_by_the_wrong_door(host, primary):
    assert request(host, "/system", None)[0] == 401
    assert request(primary, "/system", None)[0] == 401
    assert request(primary, "/system", "cache")[0] == 401
    assert request(host, "/system", "operator")[0] == 401
    assert request(host, "/app/explorer.html")[0] == 404


def test_no_file_of_a_replica_opens_the_primary(host):
    found = host.run("grep -rlF %s /etc /var/lib/orthanc /usr/local /run/imaging-repository", PASSWORDS["operator"])
    assert (found.rc, found.stdout) == (1, "")


def test_passwords_are_readable_to_the_service_only(host):
    configuration = host.file("/etc/orthanc/site.json")
    assert (configuration.user, configuration.group, configuration.mode) == ("root", "orthanc", 0o640)


def test_the_service_has_a_limit_and_logs_to_the_journal(host):
    memory = host.ansible.get_variables()["host_memory_mib"]
    limit = host.check_output("systemctl show --property=MemoryMax --value orthanc.service")
    assert int(limit) == memory * 8 // 10 * 1024**2
    assert "Orthanc has started" in host.check_output("journalctl --unit orthanc.service --quiet --output=cat")


def test_a_replica_without_its_share_is_down_and_comes_back(host, primary):
    recover(host)
    primary.check_output("systemctl stop ssh && (pkill -KILL -u share || true)")
    try:
        assert seconds_until(host, healthy=False) < 15
    finally:
        primary.check_output("systemctl start ssh")
    assert seconds_until(host, healthy=True) < 40


def test_every_connection_to_the_database_is_encrypted():
    database = one("database")
    question = (
        "SELECT usename, ssl, count(*) > 0 FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) "
        "WHERE client_addr IS NOT NULL GROUP BY 1, 2 ORDER BY 1"
    )
    said = database.check_output("runuser -u postgres -- psql --no-psqlrc -tA -c %s", question)
    # The primary may have none at this moment.
    assert "image_server_reader|t|t" in said.splitlines()
    assert {line.split("|")[1] for line in said.splitlines()} == {"t"}
    settings = one("image_server_replica").file("/etc/orthanc/site.json").content_string
    assert "sslmode=verify-full" in settings


def test_a_replica_without_its_database_is_unhealthy_and_comes_back_without_a_restart(host):
    recover(host)
    database = one("database")
    process = host.check_output("systemctl show --property=MainPID --value orthanc.service")
    database.check_output("systemctl stop postgresql@17-main.service")
    try:
        assert seconds_until(host, healthy=False) < 15
    finally:
        database.check_output("systemctl start postgresql@17-main.service")
    assert seconds_until(host, healthy=True) < 40
    assert host.check_output("systemctl show --property=MainPID --value orthanc.service") == process


def test_a_killed_server_comes_back(host):
    host.check_output("systemctl kill --signal=KILL --kill-who=main orthanc.service")
    time.sleep(1)
    assert seconds_until(host, healthy=True) < 40


def test_an_operators_stop_is_respected(host):
    host.check_output("systemctl stop orthanc.service")
    try:
        time.sleep(12)
        assert request(host, "/system")[0] == 0
    finally:
        host.check_output("systemctl start orthanc.service")
    assert request(host, HEALTH)[0] == 200


def test_the_service_is_in_a_sandbox(host):
    overall = host.check_output("systemd-analyze security --no-pager orthanc.service").splitlines()[-1]
    assert float(re.search(r"[0-9.]+", overall.split(":")[1])[0]) <= 4.0, overall


def test_no_memory_of_the_server_can_be_written_and_run(host):
    process = host.check_output("systemctl show --property=MainPID --value orthanc.service")
    assert host.run("grep rwx /proc/%s/maps", process).rc == 1


def test_replicas_are_restarted_one_by_one_and_no_further_after_the_first_failure(host):
    """With a configuration that Orthanc refuses, one replica goes down and the other goes on with the old one."""
    replicas = testinfra.get_hosts(["ansible://image_server_replica"], ansible_inventory=INVENTORY)
    if host.backend.hostname != replicas[0].backend.hostname or len(replicas) < 2:
        pytest.skip("once is enough, with two replicas")
    command = [
        "ansible-playbook",
        f"--inventory={INVENTORY}",
        "--limit=image_server_replica",
        str(REPOSITORY / "molecule/image_server_orthanc/converge.yml"),
    ]
    before = [replica.check_output(NUMBERS) for replica in replicas]
    broken = subprocess.run(
        [*command, "--extra-vars=image_server_orthanc_http_threads=0"], cwd=REPOSITORY, capture_output=True, text=True
    )
    try:
        assert broken.returncode != 0
        assert "was not restarted, because it did not come up on" in broken.stdout + broken.stderr
        after = [replica.check_output(NUMBERS) for replica in replicas]
        assert sum(old == new for old, new in zip(before, after, strict=True)) == len(replicas) - 1
        assert sorted(request(replica, HEALTH)[0] for replica in replicas) == [0] + [200] * (len(replicas) - 1)
    finally:
        mended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert mended.returncode == 0, mended.stdout + mended.stderr
    assert [request(replica, HEALTH)[0] for replica in replicas] == [200] * len(replicas)
