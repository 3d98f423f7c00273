"""Runs the guest for `wasmtrace run`, and sees to it that whatever ends it, what was learned gets out.

The guest and its compilation run in threads of their own; this thread waits, for them or for a signal. When a signal
or a timeout ends the run, the guest is not stopped but left: its telemetry is read from outside, and the process ends.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import NoReturn, TypeVar

from wasmtrace.api import Runtime, RuntimeConfig
from wasmtrace.cli.module_input import STANDARD_INPUT, module_name, read_module
from wasmtrace.cli.run_outputs import Outputs
from wasmtrace.errors import UsageError, WasmtraceError
from wasmtrace.program import Program
from wasmtrace.records import Level, Outcome, Snapshot
from wasmtrace.run import Run, RunResult
from wasmtrace.runtime.sandbox import Directory, Sandbox, Stream

TRAP_EXIT, TIMEOUT_EXIT = 134, 124
_SIGNAL_BASE = 128
_SWITCH_SECONDS = 0.0005
"""How long a Python thread may keep the others waiting: the clock's thread must not be late."""
T = TypeVar("T")


class _Stopped(BaseException):
    """A signal that ends the run. Not an Exception: nothing on the way may take it for an error."""

    def __init__(self, number: int) -> None:
        self.number = number


def run_guest(arguments: argparse.Namespace) -> int:
    """The guest's exit code, or the one that says why there is none."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    previous = {each: signal.signal(each, _stop) for each in (signal.SIGINT, signal.SIGTERM)}
    try:
        with Outputs(arguments) as outputs:
            return _run(arguments, outputs)
    except _Stopped as stopped:
        # Before the guest ran, or while its last words were being written. `Outputs` has tidied up.
        _end_process(_SIGNAL_BASE + stopped.number)
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)


def _stop(number: int, frame: FrameType | None) -> NoReturn:
    raise _Stopped(number)


def _run(arguments: argparse.Namespace, outputs: Outputs) -> int:
    sandbox = _sandbox(arguments)
    runtime = Runtime(_config(arguments))
    program = _in_background(lambda: _load(runtime, arguments))
    run = runtime.start(
        program, sandbox, invoke=arguments.invoke, invoke_args=arguments.arguments if arguments.invoke else ()
    )
    outputs.watch(run)
    abandoned = _wait(run, arguments.timeout)
    if abandoned is not None:
        snapshot, code = abandoned
        outputs.finish(snapshot)
        _end_process(code)
    result = run.result()
    if result.error is not None and not isinstance(result.error, WasmtraceError):
        outputs.finish(result.snapshot)
        raise result.error
    if result.values:
        print(*result.values, sep="\n", flush=True)
    outputs.finish(result.snapshot)
    run.close()
    runtime.close()
    if result.error is not None:
        raise result.error
    return exit_code(result)


def _wait(run: Run, timeout: float | None) -> tuple[Snapshot, int] | None:
    """None when the guest has ended by itself, else its last snapshot and the exit code of what ended the run."""
    try:
        if run.wait(timeout):
            return None
    except _Stopped as stopped:
        name = signal.Signals(stopped.number).name
        return run.abandon(Outcome.INTERRUPTED, f"stopped by {name}"), _SIGNAL_BASE + stopped.number
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


def _end_process(code: int) -> NoReturn:
    """Ends without waiting for the guest, which may loop for ever."""
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _in_background(work: Callable[[], T]) -> T:
    """Does it in another thread, so that a signal is seen meanwhile: compiling may take a minute."""
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
    done.wait()
    if errors:
        raise errors[0]
    return results[0]


def _load(runtime: Runtime, arguments: argparse.Namespace) -> Program:
    return runtime.load(read_module(arguments.module), module_name(arguments.module))


def _config(arguments: argparse.Namespace) -> RuntimeConfig:
    if arguments.no_fuel and arguments.fuel is not None:
        raise UsageError("--fuel and --no-fuel contradict each other")
    stack = {} if arguments.max_stack is None else {"max_stack_bytes": arguments.max_stack}
    return RuntimeConfig(
        level=Level(arguments.level),
        include=tuple(arguments.include),
        exclude=tuple(arguments.exclude),
        slow_threshold_us=arguments.slow,
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
    own = () if arguments.invoke else tuple(arguments.arguments)
    dirs = [(text, False) for text in arguments.dir] + [(text, True) for text in arguments.dir_ro]
    return Sandbox(
        args=(module_name(arguments.module), *own),
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
