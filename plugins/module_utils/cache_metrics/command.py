# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The command `cache-metrics`.

    cache-metrics collect           counts what is new in the log and writes metrics for Prometheus' textfile collector
    cache-metrics stats [--json]    a table of the last day: hit ratio and latency per zone and route, what each zone
                  [--days N]        holds, and what was missed most

A systemd timer runs `collect` every minute.
"""

from __future__ import annotations

import argparse
import json
import sys

from . import configuration
from .collect import collect
from .configuration import Problem
from .stats import statistics, table


def main() -> int:
    """Run the command; 0 is well, 1 a problem that was told, 2 a wrong call."""
    parser = argparse.ArgumentParser(
        prog="cache-metrics", description="Hit ratio and latency of the cache, from nginx's access log."
    )
    parser.add_argument("--config", default=configuration.DEFAULT_PATH)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("collect", help="count what is new in the log and write the metrics")
    stats = commands.add_parser("stats", help="print a table of the last days")
    stats.add_argument("--json", action="store_true", help="for programs")
    stats.add_argument("--days", type=float, default=1, help="how far back; the log is kept for 14 days")
    arguments = parser.parse_args()
    try:
        settings = configuration.load(arguments.config)
        if arguments.command == "collect":
            collect(settings)
        else:
            report = statistics(settings, arguments.days)
            print(json.dumps(report) if arguments.json else table(report))
    except (Problem, OSError) as error:
        print(f"cache-metrics: {error}", file=sys.stderr)
        return 1
    return 0
