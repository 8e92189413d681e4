"""What a warmed cache answers, and that a warm which is killed or cannot succeed says so and loses nothing."""
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

testinfra_hosts = ['ansible://cache']

PROJECT = Path(__file__).parents[3]
WARM = [str(Path(sys.executable).parent / 'ansible-playbook'), '-i', 'molecule/inventory', 'molecule/cache_warm/converge.yml']
SUMMARY = re.compile(r'warm: (\d+) of (\d+) URLs done, (\d+) new, .* (\d+) failed')

# Asks for each path given on standard input and prints [status, cache status] of all.
CLIENT = r'''
import http.client, json, sys
connection = http.client.HTTPConnection("127.0.0.1", 8081)
answers = []
for path in json.loads(sys.argv[1]):
    connection.request("GET", path)
    answer = connection.getresponse()
    answer.read()
    answers.append([answer.status, answer.getheader("X-Cache-Status")])
print(json.dumps(answers))
'''


def warm(*options: str) -> subprocess.CompletedProcess:
    return subprocess.run([*WARM, *options], cwd=PROJECT, capture_output=True, text=True, timeout=300)


def summary(output: str) -> tuple[int, ...]:
    """(done, total, new, failed) of the line that a warm ends with."""
    return tuple(map(int, SUMMARY.search(output).groups()))


def ids(host, kind: str) -> list[str]:
    return json.loads(host.check_output(
        'python3 -c \'import urllib.request, sys; print(urllib.request.urlopen(sys.argv[1]).read().decode())\' %s',
        f'http://127.0.0.1:8082/{kind}?since=0&limit=100'))


def ask(host, paths: list[str]) -> list[list]:
    return json.loads(host.check_output('python3 -c %s %s', CLIENT, json.dumps(paths)))


def empty_cache(host) -> None:
    host.check_output('find /var/cache/nginx/thumbnails /var/cache/nginx/metadata -type f -delete')


def entries(host) -> int:
    return int(host.check_output('find /var/cache/nginx/thumbnails /var/cache/nginx/metadata -type f | wc -l'))


@pytest.fixture(autouse=True)
def warm_again():
    yield
    assert warm().returncode == 0


def test_everything_is_a_hit(host):
    images = ids(host, 'instances')
    assert images
    answers = ask(host, [f'/instances/{image}/rendered?width=256' for image in images])
    # 415: an encoding that the image server cannot draw, and nothing to cache.
    assert all(answer[0] == 415 or answer == [200, 'HIT'] for answer in answers), answers
    assert [200, 'HIT'] in answers
    catalogue = json.loads(host.file('/var/www/gallery/catalogue.json').content_string)
    pictures = [study['thumbnail'] for study in catalogue['studies'] if study['thumbnail']]
    assert all(answer == [200, 'HIT'] for answer in ask(host, pictures))
    metadata = [f'/instances/{image}{end}' for image in images for end in ('', '/simplified-tags')]
    metadata += [f'/{kind}/{one}' for kind in ('series', 'studies') for one in ids(host, kind)]
    assert all(answer == [200, 'HIT'] for answer in ask(host, metadata))


def test_metadata_that_may_have_grown_is_fetched_anew(host):
    study = f'/studies/{ids(host, "studies")[0]}'
    path = f'/var/cache/nginx/metadata/{host.check_output("printf %s | md5sum", study).split()[0]}'
    key = path[-32:]
    file = host.file(f'/var/cache/nginx/metadata/{key[-1]}/{key[-3:-1]}/{key}')
    before = file.mtime
    time.sleep(1.1)
    assert warm().returncode == 0
    assert file.mtime > before


def test_killed_in_the_middle_and_run_again(host):
    empty_cache(host)
    # Without pipelining the module is a file whose name its process shows.
    running = subprocess.Popen(WARM, cwd=PROJECT, env={**os.environ, 'ANSIBLE_PIPELINING': 'false'},
                               stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    until = time.monotonic() + 60
    while entries(host) < 60 and time.monotonic() < until:
        time.sleep(0.1)
    host.check_output("pkill -KILL -f '[A]nsiballZ_cache_warm.py'")
    output = running.communicate(timeout=60)[0]
    assert running.returncode != 0, output
    assert not SUMMARY.search(output)
    cached = entries(host)
    again = warm()
    done, total, new, failed = summary(again.stdout)
    assert (again.returncode, done, failed) == (0, total, 0)
    # Only what the killed run had not reached was fetched.
    assert 0 < new <= total - cached + 10 < total
    assert summary(warm().stdout)[2] == 0


def test_check_mode_fetches_nothing(host):
    empty_cache(host)
    result = warm('--check')
    assert result.returncode == 0
    assert re.search(r'warm: would ask for \d+ URLs', result.stdout)
    assert entries(host) == 0


def test_too_little_coverage_is_a_failure_with_its_causes(host):
    sources = [{'name': 'studies', 'list': '/studies', 'page_size': 10, 'urls': ['/studies/{id}', '/studies/{id}/nothing']}]
    result = warm('-e', json.dumps({'cache_warm_sources': sources, 'cache_warm_catalogue': ''}))
    assert result.returncode != 0
    output = ' '.join((result.stdout + result.stderr).split())
    assert 'coverage 50.00 % is below minimum_coverage 99.00 %' in output
    assert 'x HTTP 404, e.g. /studies/' in output
