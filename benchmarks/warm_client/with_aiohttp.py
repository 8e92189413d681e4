# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The same with aiohttp; prints seconds. usage: with_aiohttp.py LIST IN_FLIGHT"""

from __future__ import annotations

import asyncio
import sys
import time

import aiohttp


async def main(path: str, in_flight: int) -> None:
    with open(path, encoding="ascii") as stream:
        urls = stream.read().split()
    began = time.perf_counter()
    left = iter(urls)

    async def work(session: aiohttp.ClientSession) -> None:
        for url in left:
            async with session.get(url) as answer:
                assert answer.status == 200
                await answer.read()

    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=in_flight)) as session:
        await asyncio.gather(*(work(session) for _ in range(in_flight)))
    print(time.perf_counter() - began)


asyncio.run(main(sys.argv[1], int(sys.argv[2])))
