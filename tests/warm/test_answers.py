# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""What each kind of answer comes to."""

from __future__ import annotations

import itertools
import time

from .conftest import until

GOOD = [
    "image-1",
    "chunked-1",
    "cut-1",
    "cutchunked-1",
    "reset-1",
    "close-1",
    "503x2-1",
    "502x1-1",
    "500x1-1",
    "fakeonce-1",
]
BAD = {
    "HTTP 404": "404-1",
    "HTTP 403": "403-1",
    "HTTP 500": "500-1",
    "HTTP 503": "503-1",
    "answer cut off": "cutalways-1",
    "time-out": "drip-1",
    "HTTP 302, a redirect, which nginx does not keep": "redirect-1",
    "text/html instead of image/jpeg": "html-1",
    "an answer that says it is an image and is none": "fakeimage-1",
    "an empty answer": "empty-1",
    "no route of the cache policy serves it": "nothing/below",
}


def test_outcome_of_each_kind_of_answer(make_site):
    site = make_site(read_timeout_seconds=5)
    site.server.number_of_images = 1
    site.warm.settings |= {"timeout_seconds": 2, "minimum_coverage": 0.99}
    site.warm.pages(*GOOD, *BAD.values(), "422-1")
    result = site.warm.run()
    assert result.causes() == {cause: [f"/images/{name}"] for cause, name in BAD.items()}
    assert (result.report["failed"], result.report["unsupported"]) == (len(BAD), 1)
    assert result.report["unsupported_examples"] == ["/images/422-1"]
    assert result.report["done"] == result.report["total"] == len(GOOD) + len(BAD) + 1
    # The failures matter: they are more than 1 % of all.
    assert result.status == 1 and "is below minimum_coverage 99.00 %" in result.message
    assert {f"/images/{name}" for name in GOOD} <= site.nginx.keys()
    never = ("cutalways-1", "drip-1", "500-1", "503-1", "redirect-1")
    assert not {f"/images/{name}" for name in never} & site.nginx.keys()
    # All that was said to be in the cache was, when it was asked for again.
    assert result.report["sample"]["asked"] == result.report["sample"]["hit"] == len(GOOD)
    # Tried as often as was said, and what is of no use not again. nginx itself asks once per request.
    times = site.server.times
    assert [times[f"/images/{name}-1"] for name in ("404", "redirect", "500", "503")] == [1, 1, 3, 3]
    # Believed after it was refused twice, and the image server was found well twice.
    assert (times["/images/422-1"], times["/images?since=0&limit=1"]) == (2, 2)


def test_report_and_status_are_for_people(site):
    site.warm.settings |= {"metrics_file": str(site.warm.directory / "warm.prom"), "attempts": 1}
    site.warm.pages(*(f"image-{number}" for number in range(200)), "404-1")
    assert site.warm.run().status == 0
    for command, wanted in (("status", "201 of 201 (100.0 %)"), ("report", "/images/404-1")):
        process = site.warm.start(command)
        output, errors = process.communicate()
        assert (process.returncode, errors) == (0, "") and wanted in output
    metrics = (site.warm.directory / "warm.prom").read_text()
    assert 'imaging_repository_cache_warm_pages{outcome="miss"} 200.0\n' in metrics
    assert 'imaging_repository_cache_warm_pages{outcome="failed"} 1.0\n' in metrics
    assert "imaging_repository_cache_warm_running 0.0\n" in metrics
    process = site.warm.start("count")
    assert process.communicate() == ('{"total": 201}\n', "")


def test_a_request_is_that_of_a_visitor(site):
    site.warm.pages("image-1")
    assert site.warm.run().status == 0
    # Forced by nginx, so the same for everybody; nothing of our own reaches the image server.
    assert site.server.headers["Accept"] == "image/jpeg"
    assert "User-Agent" not in site.server.headers and "Accept-Encoding" not in site.server.headers


def test_a_second_run_asks_for_nothing_but_the_sample(site):
    site.warm.pages(*(f"image-{number}" for number in range(400)))
    site.warm.settings["sample_minimum"] = 20
    assert site.warm.run().report["miss"] == 400
    again = site.warm.run().report
    assert (again["skipped"], again["miss"], again["hit"], again["coverage"]) == (400, 0, 0, 1.0)
    assert again["requests"] == again["sample"]["hit"] < 100
    refreshed = site.warm.run("run", "--refresh").report
    assert (refreshed["refreshed"], refreshed["skipped"]) == (400, 0)
    assert all(number == 2 for path, number in site.server.times.items())


def test_rubbish_in_the_list_is_reported_by_number_and_skipped(site):
    site.warm.urls.write_bytes(
        b"# comment\n/images/image-1\n\xff\xfe\n/images/white space\n\nftp://other/\n"
        b"http://anywhere/images/image-2\n/images/" + b"x" * 100_000 + b"\n/images/image-1\n"
    )
    result = site.warm.run()
    assert result.status == 0 and (result.report["miss"], result.report["skipped"]) == (2, 1)
    lines = [problem.partition(": ")[0].rpartition(" ")[2] for problem in result.report["problems"]]
    assert lines == ["3", "4", "6", "8"]


def test_retry_after_is_honoured(site):
    for name in ("429x1after2-1", "429x1afterdate-2"):
        site.server.asked_at.clear()
        site.warm.pages(name, *(f"image-{name}-{number}" for number in range(50)))
        site.warm.settings["concurrency"] = 1
        assert site.warm.run().status == 0
        asked = [when for when, path in site.server.asked_at if path.endswith(name)]
        assert len(asked) == 2 and asked[1] - asked[0] >= 1.8
        # Nobody else was asked for meanwhile either.
        every = sorted(when for when, _ in site.server.asked_at)
        assert max(after - before for before, after in itertools.pairwise(every)) > 1.7


def test_bursts_of_503_lose_nothing_and_slow_the_warm_down(make_site):
    site = make_site(latency_seconds=0.005)
    site.warm.settings |= {"concurrency": 16, "attempts": 6}
    site.warm.pages(*(f"image-{number}" for number in range(1500)))
    process = site.warm.start()
    for _ in range(2):
        site.wait_for(len(site.server.times) + 100)
        site.server.everything = "503"
        until(lambda: site.warm.status().get("concurrency", 99) <= 4)
        site.server.everything = ""
    result = site.warm.finish(process)
    assert (result.status, result.report["failed"], result.report["miss"]) == (0, 0, 1500)
    assert result.report["retries"] > 0


def test_gives_up_when_nobody_answers(site):
    site.server.everything = "503"
    site.warm.settings |= {"attempts": 2}
    site.warm.pages(*(f"image-{number}" for number in range(1000)))
    result = site.warm.run()
    assert result.status == 4 and "50 pages in a row failed, the last one with: HTTP 503" in result.message
    # When they are back, the rest and the failed ones follow.
    site.server.everything = ""
    result = site.warm.run()
    assert (result.status, result.report["resumed"], result.report["failed"]) == (0, True, 0)
    assert len(site.nginx.keys()) == 1000


def test_answer_422_is_not_believed_while_the_database_is_away(site):
    site.server.everything = "422"
    # The probe is answered 503 meanwhile.
    site.server.number_of_images = 1
    site.warm.settings["attempts"] = 6
    site.warm.pages(*(f"image-{number}" for number in range(100)))
    process = site.warm.start()
    until(lambda: site.server.times["/images?since=0&limit=1"] >= 2)
    site.server.everything = ""
    result = site.warm.finish(process)
    assert (result.status, result.report["miss"], result.report["unsupported"]) == (0, 100, 0)


def test_pages_that_nginx_lost_fail_the_run(make_site):
    site = make_site(latency_seconds=0.01)
    site.warm.pages(*(f"image-{number}" for number in range(600)))
    process = site.warm.start()
    site.wait_for(300)
    for path in site.nginx.zone.glob("?/??/*"):
        path.unlink(missing_ok=True)
    result = site.warm.finish(process)
    sample = result.report["sample"]
    assert result.status == 1 and 0 < sample["hit"] < sample["asked"]
    lost = sample["asked"] - sample["hit"]
    assert (
        f"{lost} of {sample['asked']} pages asked again were not answered from the cache ({lost} x MISS"
        in result.message
    )


def test_a_full_zone_is_not_warmed_further(make_site):
    site = make_site(max_size_mib=2)
    site.warm.settings["zones"][0]["max_size_mib"] = 2
    site.server.latency_seconds = 0.02
    site.warm.settings["concurrency"] = 4
    site.warm.pages(*(f"image-{number}" for number in range(1000)))
    result = site.warm.run()
    assert result.status == 4 and result.report["left"] > 0
    # 6 kB pages take two blocks of 4 KiB.
    assert "its 1,000 pages need about 10 MiB: raise its max_size_mib" in result.message
    assert result.report["sample"]["asked"] == result.report["sample"]["hit"] > 0
    assert result.report["miss"] + result.report["left"] == 1000
    assert len(site.nginx.keys()) >= 0.9 * result.report["miss"]


def test_readers_are_asked_evenly(site):
    site.server.latency_seconds = 0.01
    readers = [f"http://127.0.0.1:{site.server.port}", f"http://localhost:{site.server.port}"]
    site.warm.settings |= {"readers": [{"url": url, "headers": {"X-Reader": url}} for url in readers], "concurrency": 4}
    site.warm.settings["sources"][0]["readers"] = True
    site.warm.pages(*(f"image-{number}" for number in range(100)))
    result = site.warm.run()
    assert (result.status, result.report["refreshed"], result.report["total"]) == (0, 200, 200)
    assert set(site.server.times.values()) == {2}
    assert site.server.headers["X-Reader"] in readers
    assert not site.nginx.keys()


def test_a_page_that_expired_is_fetched_anew(site):
    site.warm.pages("image-1", "image-2")
    assert site.warm.run().report["miss"] == 2
    # valid_sec of ngx_http_file_cache_header_t.
    for path in site.nginx.zone.glob("?/??/*"):
        data = bytearray(path.read_bytes())
        data[8:16] = int(time.time() - 10).to_bytes(8, "little")
        path.write_bytes(data)
    site.nginx.stop()
    site.nginx.start()
    result = site.warm.run()
    assert result.status == 0 and result.report["skipped"] == 0
    assert set(site.server.times.values()) == {2}
