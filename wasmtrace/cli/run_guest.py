"""Runs the guest for `wasmtrace run`, and sees to it that whatever ends it, what was learned gets out.

The guest and its compilation run in threads of their own; this thread waits, for them or for a signal. When a signal
or a timeout ends the run, the guest is not stopped but left: its telemetry is read from outside, and the process ends.
"""

from __future__ import annotations

import argparse
import contextlib
import gc
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import TypeVar

from wasmtrace.api import Runtime, RuntimeConfig
from wasmtrace.cli import end_process, say
from wasmtrace.cli.anomaly_options import KILL_EXIT, AnomalyNotices
from wasmtrace.cli.event_options import event_config
from wasmtrace.cli.module_input import STANDARD_INPUT, module_name, read_module
from wasmtrace.cli.run_outputs import Outputs
from wasmtrace.errors import UsageError
from wasmtrace.instance import INITIALIZE
from wasmtrace.program import Program
from wasmtrace.records import Level, Outcome, Snapshot
from wasmtrace.run import START, Run, RunResult
from wasmtrace.runtime.engine import functions_of, some_of
from wasmtrace.runtime.sandbox import Directory, Sandbox, Stream

TRAP_EXIT, TIMEOUT_EXIT = 134, 124
_SIGNAL_BASE = 128
_POLL_SECONDS = 0.05
_PATIENCE_SECONDS = 2.0
"""For writing what is known, before another signal ends that too."""
_SWITCH_SECONDS = 0.0005
"""How long a Python thread may keep the others waiting: the clock's thread must not be late."""
_BUSY_SECONDS = 0.02
"""A guest that runs for so long may go on for a while: what Python does then keeps nobody waiting."""
T = TypeVar("T")


class _Stopped(BaseException):
    """A signal ended the run before the guest had begun."""


class _Signals:
    """Notes SIGINT and SIGTERM. The handler raises nothing: it may run in the middle of any code at all.

    One that comes a while after the first ends the process on the spot; sooner ones are taken for the same.
    """

    def __init__(self) -> None:
        self.number: int | None = None
        self._noted = 0.0
        self._previous = {each: signal.signal(each, self._note) for each in (signal.SIGINT, signal.SIGTERM)}

    def _note(self, number: int, frame: FrameType | None) -> None:
        if self.number is None:
            self._noted, self.number = time.monotonic(), number
        elif time.monotonic() - self._noted >= _PATIENCE_SECONDS:
            os._exit(self.exit_code)

    @property
    def exit_code(self) -> int:
        return _SIGNAL_BASE + (self.number or 0)

    def restore(self) -> None:
        for number, handler in self._previous.items():
            signal.signal(number, handler)

    def wait(self, done: Callable[[float], bool], timeout: float | None = None) -> bool:
        """Whether `done` came true before the timeout and before any signal; it is given seconds to wait."""
        ends = None if timeout is None else time.monotonic() + timeout
        while self.number is None:
            left = _POLL_SECONDS if ends is None else min(_POLL_SECONDS, ends - time.monotonic())
            if done(max(left, 0.0)):
                return True
            if left <= 0:
                return False
        return False


def run_guest(arguments: argparse.Namespace) -> int:
    """The guest's exit code, or the one that says why there is none."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    signals = _Signals()
    try:
        with Outputs(arguments) as outputs:
            return _run(arguments, outputs, signals)
    except _Stopped:
        end_process(signals.exit_code)
    finally:
        signals.restore()


def _run(arguments: argparse.Namespace, outputs: Outputs, signals: _Signals) -> int:
    sandbox = _sandbox(arguments)
    notices = AnomalyNotices(arguments)
    config = replace(_config(arguments), **event_config(arguments, outputs.events), **outputs.config(notices.config()))
    runtime = Runtime(config)
    program = _in_background(lambda: _load(runtime, arguments), signals)
    sandbox = outputs.ready(sandbox, program)
    run = runtime.start(program, sandbox, invoke=arguments.invoke, invoke_args=_invoke_args(program, arguments))
    outputs.watch(run)
    threading.Thread(target=_while_it_runs, args=(run, outputs), name="wasmtrace-prepare", daemon=True).start()
    ended = signals.wait(notices.or_fatal(run.wait), arguments.timeout)
    if not (ended and signals.wait(outputs.passed_on)):
        outputs.passed_on(_PATIENCE_SECONDS)
    if not ended or (notices.fatal is not None and run.running):
        outputs.hurry()
        snapshot, code = _abandon(run, arguments.timeout, signals, notices)
        outputs.finish(snapshot)
        outputs.close()
        end_process(code)
    result = run.result()
    try:
        if result.values:
            print(*result.values, sep="\n", flush=True)
    finally:
        outputs.finish(result.snapshot)
    if arguments.summary and result.error is None:
        _say_if_only_initialized(arguments, program)
    run.close()
    runtime.close()
    if result.error is not None:
        raise result.error
    return exit_code(result)


def _say_if_only_initialized(arguments: argparse.Namespace, program: Program) -> None:
    """A library returns at once without having done anything: an operator should not take that for success."""
    if arguments.invoke is None and START not in program.exports:
        others = [name for name in functions_of(program.exports) if name != INITIALIZE]
        named = f": {some_of(others)}" if others else ""
        say(
            f"note: a library, not a command: only {INITIALIZE} was called; --invoke NAME calls another function{named}"
        )


def _while_it_runs(run: Run, outputs: Outputs) -> None:
    """What the end will need is made ready by a thread of its own, unless the guest ends at once."""
    if not gc.isenabled():
        gc.freeze()  # what is there stays: the collector need not look at it again
        gc.enable()
    if run.wait(_BUSY_SECONDS):
        return
    with contextlib.suppress(Exception):  # the end does it again, and tells
        _ = run.instance.program.names
        outputs.prepare()


def _abandon(run: Run, timeout: float | None, signals: _Signals, notices: AnomalyNotices) -> tuple[Snapshot, int]:
    """The last snapshot of a guest that goes on, and the exit code of what ended the run."""
    if signals.number is not None:
        name = signal.Signals(signals.number).name
        return run.abandon(Outcome.INTERRUPTED, f"stopped by {name}"), signals.exit_code
    if notices.fatal is not None:
        return run.abandon(Outcome.INTERRUPTED, f"killed: {notices.fatal.message}"), KILL_EXIT
    return run.abandon(Outcome.TIMED_OUT, f"time limit of {timeout:g} s reached"), TIMEOUT_EXIT


def exit_code(result: RunResult) -> int:
    """What the process exits with for a guest that ended by itself."""
    match result.outcome:
        case Outcome.RETURNED:
            return 0
        case Outcome.EXITED:
            return (result.exit_code or 0) & 0xFF
        case Outcome.TRAPPED:
            return TRAP_EXIT
        case _:
            return 1


def _in_background(work: Callable[[], T], signals: _Signals) -> T:
    """Does it in another thread, so that a signal ends it: compiling may take a minute. Raises _Stopped then."""
    results: list[T] = []
    errors: list[BaseException] = []
    done = threading.Event()

    def target() -> None:
        try:
            results.append(work())
        except BaseException as error:
            errors.append(error)
        finally:
            done.set()

    threading.Thread(target=target, name="wasmtrace-load", daemon=True).start()
    if not signals.wait(done.wait):
        raise _Stopped
    if errors:
        raise errors[0]
    return results[0]


def _load(runtime: Runtime, arguments: argparse.Namespace) -> Program:
    return runtime.load(read_module(arguments.module), module_name(arguments.module))


def _invoke_args(program: Program, arguments: argparse.Namespace) -> list[str]:
    """The words after MODULE, for a function that takes arguments; one that takes none finds them in its `argv`."""
    if arguments.invoke is None or not program.function_type(arguments.invoke).params:
        return []
    words: list[str] = arguments.arguments
    return words


def _config(arguments: argparse.Namespace) -> RuntimeConfig:
    if arguments.no_fuel and arguments.fuel is not None:
        raise UsageError("--fuel and --no-fuel contradict each other")
    stack = {} if arguments.max_stack is None else {"max_stack_bytes": arguments.max_stack}
    return RuntimeConfig(
        level=Level(arguments.level),
        include=tuple(arguments.include),
        exclude=tuple(arguments.exclude),
        slow_threshold_us=arguments.slow,
        trace_functions=tuple(arguments.trace_function),
        fuel=not arguments.no_fuel,
        fuel_limit=arguments.fuel,
        max_memory_bytes=arguments.max_memory,
        unknown_imports=arguments.unknown_imports,
        cache_dir=None if arguments.no_cache else _cache_dir(),
        engine_cache=not arguments.no_cache,
        **stack,
    )


def _cache_dir() -> Path | None:
    """Where rewritten modules are kept, by the XDG base directory specification; None if there is no home."""
    base = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(base):
        return Path(base, "wasmtrace")
    try:
        return Path.home() / ".cache" / "wasmtrace"
    except RuntimeError:
        return None


def _sandbox(arguments: argparse.Namespace) -> Sandbox:
    from_stdin = arguments.module == STANDARD_INPUT
    dirs = [(text, False) for text in arguments.dir] + [(text, True) for text in arguments.dir_ro]
    return Sandbox(
        args=(module_name(arguments.module), *arguments.arguments),
        env=dict(_variable(each) for each in arguments.env),
        dirs=[_directory(text, read_only) for text, read_only in dirs],
        stdin=None if from_stdin else Stream.INHERIT,
        stdout=Stream.INHERIT,
        stderr=Stream.INHERIT,
    )


def _variable(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not name:
        raise UsageError(f"expected --env NAME[=VALUE], got {text!r}")
    return name, value if equals else os.environ.get(name, "")


def _directory(text: str, read_only: bool) -> Directory:
    host, colons, guest = text.partition("::")
    if not host or (colons and not guest):
        raise UsageError(f"expected --dir HOST[::GUEST], got {text!r}")
    return Directory(host, guest or host, read_only)
