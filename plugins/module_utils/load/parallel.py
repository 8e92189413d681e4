# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""Work of several threads, in a stream."""

from __future__ import annotations

import concurrent.futures
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_parallel(
    function: Callable[[Item], Result], items: Iterable[Item], workers: int
) -> Iterator[tuple[Item, Result]]:
    """Yield (item, function(item)) as they finish, taking no more from `items` than is needed to keep busy.

    The first exception ends it: what is under way is finished, nothing new is begun.
    """
    items = iter(items)
    with concurrent.futures.ThreadPoolExecutor(workers) as pool:
        running: dict[concurrent.futures.Future[Result], Item] = {}
        while True:
            for item in items:
                running[pool.submit(function, item)] = item
                if len(running) >= workers * 2:
                    break
            if not running:
                return
            done, _ = concurrent.futures.wait(running, return_when=concurrent.futures.FIRST_COMPLETED)
            for future in done:
                try:
                    result = future.result()
                except BaseException:
                    pool.shutdown(cancel_futures=True)
                    raise
                yield running.pop(future), result
