# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The least that fetches a list of URLs by libcurl; prints seconds. usage: bare.py LIST IN_FLIGHT [headers]

With `headers` libcurl also hands over the lines of each answer's head, which are thrown away: whoever wants to know
X-Cache-Status needs them.
"""

from __future__ import annotations

import collections
import sys
import time

import pycurl


def main(path: str, in_flight: int, headers: bool) -> None:
    with open(path, encoding="ascii") as stream:
        urls = stream.read().split()
    began = time.perf_counter()
    multi = pycurl.CurlMulti()
    multi.setopt(pycurl.M_MAXCONNECTS, in_flight + 1)
    left = iter(urls)
    for _ in range(in_flight):
        handle = pycurl.Curl()
        # Says that all bytes are taken, and takes none.
        handle.setopt(pycurl.WRITEFUNCTION, len)
        if headers:
            handle.setopt(pycurl.HEADERFUNCTION, collections.deque(maxlen=1).append)
        handle.setopt(pycurl.URL, next(left))
        multi.add_handle(handle)
    done = 0
    while done < len(urls):
        multi.perform()
        while True:
            queued, succeeded, failed = multi.info_read()
            for handle in succeeded:
                assert handle.getinfo(pycurl.RESPONSE_CODE) == 200
                done += 1
                multi.remove_handle(handle)
                url = next(left, None)
                if url:
                    handle.setopt(pycurl.URL, url)
                    multi.add_handle(handle)
            assert not failed, failed
            if not queued:
                break
        if done < len(urls):
            multi.select(1.0)
    print(time.perf_counter() - began)


main(sys.argv[1], int(sys.argv[2]), sys.argv[3:] == ["headers"])
