"""The commands of `cache-warm`: run, count, status, report.

The package stands alone: role cache_warm copies this directory and nothing beside it. Whoever starts the service follows
`<runtime_directory>/status.json` (status.py says what is in it) until its `pid` has ended or its `state` is final, and
then reads `<state_directory>/report.json` (report.py).

`<state_directory>/unfinished` is the order for a warm: whoever starts the service writes it, `{"refresh": true}` or
`{"refresh": false}`, and `run` without --refresh takes `refresh` from there, so that a refresh which is killed or cut by a
reboot goes on as one. `run` writes it where it is missing, leaves it on SIGTERM (systemctl stop, shutdown), and removes
it when the job ends by itself.
"""
from __future__ import annotations

import argparse
import contextlib
import fcntl
import json
import os
import signal
import sys
import time

from . import configuration, report, status
from .configuration import Configuration, ConfigurationError

DONE, FAILED, USAGE, RUNNING, STOPPED = range(5)


class AlreadyRunning(Exception):
    """Another warm of this host runs; the text says which."""


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line; exits with 2 where it cannot be understood."""
    parser = argparse.ArgumentParser(
        prog="cache-warm", description="Fills the cache of this host ahead of its visitors.",
        epilog="exit status of run: 0 done; 1 too little is cached, or not what was said to be; 2 the configuration or "
               "the command line is wrong; 3 another warm is running; 4 stopped early")
    parser.add_argument("--config", default=configuration.DEFAULT_PATH, metavar="FILE",
                        help="the settings, JSON (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    run_parser = commands.add_parser("run", help="warm until all is done; a run that was cut goes on where it was")
    run_parser.add_argument("--refresh", action="store_true", help="fetch everything anew, cached or not")
    commands.add_parser("count", help="print how many pages there are, as JSON; nothing is warmed")
    for name, explanation in (("status", "say how far the warm is"), ("report", "say what came of the last run")):
        commands.add_parser(name, help=explanation).add_argument("--json", action="store_true", help="for programs")
    return parser.parse_args(words)


def main(words: list[str] | None = None) -> int:
    """Run one command and return its exit status."""
    parsed = arguments(words)
    try:
        settings = configuration.load(parsed.config)
        if parsed.command == "run":
            return run(settings, parsed.refresh)
        if parsed.command == "count":
            return count(settings)
        return show_status(settings, parsed.json) if parsed.command == "status" else show_report(settings, parsed.json)
    except ConfigurationError as error:
        print(error, file=sys.stderr)
        return USAGE
    except AlreadyRunning as error:
        print(error, file=sys.stderr)
        return RUNNING
    except BrokenPipeError:
        # `cache-warm report | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE


@contextlib.contextmanager
def lock(path: str):
    """Hold the lock of this host's warm; raise AlreadyRunning where another process holds it.

    flock(2): the kernel lets go of it when the process ends, however that happens.
    """
    with open(path, "a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise AlreadyRunning(f"{path}: another warm is running (process {stream.read().strip() or 'unknown'}); "
                                 "see `cache-warm status`, or end it by: systemctl stop cache-warm") from None
        stream.seek(0)
        stream.truncate()
        stream.write(str(os.getpid()))
        stream.flush()
        yield


def show_status(settings: Configuration, as_json: bool) -> int:
    """Print the status file; without one, say that there was no run since the boot."""
    try:
        with open(settings.status_path, encoding="utf-8") as stream:
            text = stream.read()
    except OSError:
        print(f"{settings.status_path}: no warm has run since the boot; start one by: systemctl start cache-warm",
              file=sys.stderr)
        return FAILED
    print(text if as_json else status.describe(json.loads(text), time.time()))
    return DONE


def show_report(settings: Configuration, as_json: bool) -> int:
    """Print the report of the last run that ended."""
    try:
        with open(settings.report_path, encoding="utf-8") as stream:
            text = stream.read()
    except OSError:
        print(f"{settings.report_path}: no warm has ended on this host yet", file=sys.stderr)
        return FAILED
    print(text if as_json else report.table(json.loads(text)))
    return DONE
