# Copyright (c) 2026, the imaging.repository authors
# SPDX-License-Identifier: BSD-2-Clause
"""The commands of `cache-warm`: run, count, status, report.

The package stands alone: role cache_warm copies this directory and nothing beside it. Whoever starts the service
follows `<runtime_directory>/status.json` (status.py says what is in it) until its `pid` has ended or its `state` is
final, and then reads `<state_directory>/report.json` (report.py).

`<state_directory>/unfinished` is the order for a warm: whoever starts the service writes it, `{"refresh": true}` or
`{"refresh": false}`, and `run` without --refresh takes `refresh` from there, so that a refresh which is killed or cut
by a reboot goes on as one. `run` writes it where it is missing, leaves it on SIGTERM (systemctl stop, shutdown), and
removes it when the job ends by itself.
"""

from __future__ import annotations

import argparse
import contextlib
import dataclasses
import fcntl
import gc
import json
import os
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from types import FrameType

from .. import files
from . import configuration, engine, report, status
from .configuration import Configuration, ConfigurationError
from .journal import Journal, JournalError
from .limits import Stopped
from .sample import Sample
from .stream import SourceError
from .transport import Transport, TransportError
from .workers import Workers

DONE, FAILED, USAGE, RUNNING, STOPPED, ENDED = range(6)


class AlreadyRunning(Exception):
    """Another warm of this host runs; the text says which."""


def arguments(words: list[str] | None = None) -> argparse.Namespace:
    """Return the parsed command line; exits with 2 where it cannot be understood."""
    parser = argparse.ArgumentParser(
        prog="cache-warm",
        description="Fills the cache of this host ahead of its visitors.",
        epilog="exit status of run: 0 done; 1 too little is cached, or not what was said to be; 2 the configuration or "
        "the command line is wrong; 3 another warm is running; 4 stopped early; 5 ended by a signal, "
        "goes on with the next start",
    )
    parser.add_argument(
        "--config", default=configuration.DEFAULT_PATH, metavar="FILE", help="the settings, JSON (default: %(default)s)"
    )
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
def lock(path: str) -> Iterator[None]:
    """Hold the lock of this host's warm; raise AlreadyRunning where another process holds it.

    flock(2): the kernel lets go of it when the process ends, however that happens.
    """
    with open(path, "a+", encoding="utf-8") as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            stream.seek(0)
            raise AlreadyRunning(
                f"{path}: another warm is running (process {stream.read().strip() or 'unknown'}); "
                "see `cache-warm status`, or end it by: systemctl stop cache-warm"
            ) from None
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
        print(
            f"{settings.status_path}: no warm has run since the boot; start one by: systemctl start cache-warm",
            file=sys.stderr,
        )
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


def run(settings: Configuration, refresh: bool) -> int:
    """Warm; report.json and status.json say what came of it. Raises ConfigurationError and AlreadyRunning."""
    for directory in (settings.state_directory, settings.runtime_directory):
        if not os.access(directory, os.W_OK | os.X_OK):
            raise ConfigurationError(
                f"{directory}: is no directory that this user may write to; make it, or start the "
                "service: systemctl start cache-warm"
            )
    with lock(settings.lock_path):
        refresh = refresh or ordered_refresh(settings.unfinished_path)
        with contextlib.suppress(OSError):
            files.write(settings.unfinished_path, json.dumps({"refresh": refresh}))
        shown = status.Status(settings.status_path, settings.metrics_file)
        outcome, interrupted = _warm(settings, refresh, shown)
        exit_status, message = judge(outcome, settings.minimum_coverage, interrupted)
        try:
            files.write(settings.report_path, json.dumps(outcome.as_dict(exit_status, message), indent=1))
        except OSError as error:
            print(f"{settings.report_path}: {error.strerror}; {outcome.summary()}", file=sys.stderr)
        shown.write("stopped" if outcome.stopped else "done", outcome, exit_status=exit_status, message=message)
        if not interrupted:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(settings.unfinished_path)
    print(message or outcome.summary(), file=sys.stderr)
    return exit_status


def _warm(settings: Configuration, refresh: bool, shown: status.Status) -> tuple[report.Report, bool]:
    """Return what came of the warm, and whether a signal has ended it."""
    transport = _transport(settings)
    # What exists by now stays; without cycles, what comes goes by itself. Looking for them rarely saves a tenth of the
    # time.
    gc.freeze()
    gc.set_threshold(50_000)
    interrupted: list[int] = []
    outcome = report.Report()
    try:
        with Journal(settings.state_directory, engine.job_name(settings, refresh)) as journal:
            sample = Sample(settings.sample_path, journal.resumed)
            work = engine.Engine(settings, transport, journal, refresh=refresh, sample=sample, status=shown)
            outcome = work.report

            def end(number: int, _frame: FrameType | None) -> None:
                interrupted.append(number)
                work.stop(f"ended by {signal.Signals(number).name}; start it again and it goes on")

            for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
                signal.signal(number, end)
            work.run()
            if work.doubtful or not outcome.stopped:
                journal.complete()
            # The journal writes the sample before its own last words.
            journal.close()
            sample.close()
    except (JournalError, Stopped, OSError) as error:
        outcome.stopped = outcome.stopped or str(error)
    finally:
        transport.close()
    return outcome, bool(interrupted)


def judge(outcome: report.Report, minimum_coverage: float, interrupted: bool) -> tuple[int, str]:
    """Return the exit status of a warm and why it is not 0. `interrupted`: a signal has ended it."""
    if outcome.stopped:
        message = f"the warm stopped early: {outcome.stopped}", outcome.sample_problem(), outcome.summary()
        return ENDED if interrupted else STOPPED, ". ".join(filter(None, message))
    problem = outcome.problem(minimum_coverage)
    return (FAILED, problem) if problem else (DONE, "")


def ordered_refresh(path: str) -> bool:
    """Return whether the warm that was ordered, or cut, is a refresh; see the beginning of this file."""
    try:
        with open(path, encoding="utf-8") as stream:
            return json.load(stream).get("refresh") is True
    except (OSError, ValueError, AttributeError):
        return False


def count(settings: Configuration) -> int:
    """Print how many pages there are."""
    # Only lists are read, and whoever asks waits for the answer.
    settings = dataclasses.replace(settings, windows=(), visitors_p95_limit_seconds=0.0)
    transport = _transport(settings)
    try:
        with tempfile.TemporaryDirectory() as directory, Journal(directory, "") as journal:
            print(json.dumps({"total": engine.Engine(settings, transport, journal).count()}))
    except (Stopped, SourceError, JournalError) as error:
        print(error, file=sys.stderr)
        return STOPPED
    finally:
        transport.close()
    return DONE


def _transport(settings: Configuration) -> Transport | Workers:
    try:
        if settings.processes == 1:
            return Transport(concurrency=settings.concurrency, timeout_seconds=settings.timeout_seconds)
        return Workers(settings.processes, concurrency=settings.concurrency, timeout_seconds=settings.timeout_seconds)
    except TransportError as error:
        raise ConfigurationError(str(error)) from None
