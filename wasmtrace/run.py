"""One run of a program in a thread of its own: to be watched, waited for, stopped, or left behind."""

from __future__ import annotations

import threading
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

from wasmtrace.errors import GuestError, UsageError
from wasmtrace.instance import INITIALIZE, Instance
from wasmtrace.records import Outcome, Snapshot
from wasmtrace.runtime import native_stack
from wasmtrace.runtime.engine import functions_of
from wasmtrace.runtime.engine_call import CallEnd
from wasmtrace.runtime.event_streams import STREAM_LIMIT, EventStream
from wasmtrace.runtime.values import FunctionType, parse_arguments

START = "_start"


@dataclass(frozen=True, slots=True)
class RunResult:
    """How a run ended. `values` are the results of `invoke`, `error` is what the host could not go on for."""

    outcome: Outcome
    exit_code: int | None
    values: tuple[Any, ...]
    snapshot: Snapshot
    error: BaseException | None


class Run:
    """Made by `Runtime.start`; the guest is running. Leaving `with` stops or waits for it, and frees it."""

    def __init__(
        self, instance: Instance, invoke: str | None, arguments: tuple[Any, ...], engine_stack_bytes: int
    ) -> None:
        self.instance = instance
        self._entry = _entry(instance, invoke)
        self._arguments = _arguments(instance, self._entry, arguments)
        self._ended = threading.Event()
        self._end: CallEnd | None = None
        self._abandoned = False
        self._thread = native_stack.start_thread(
            self._work, name="wasmtrace-guest", engine_stack_bytes=engine_stack_bytes
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _work(self) -> None:
        try:
            self._end = self._run()
        except BaseException as error:
            # Ours, or a wrong module: it must reach whoever waits.
            self._end = CallEnd(Outcome.FAILED, error=error)
        finally:
            self.instance.end_events()
            self.instance.end_anomalies()
            self._ended.set()

    def _run(self) -> CallEnd:
        instance = self.instance
        end = instance.instantiate()
        entries: list[tuple[str, tuple[Any, ...]]] = [(self._entry, self._arguments)]
        if self._entry not in (START, INITIALIZE) and INITIALIZE in instance.exports:
            entries.insert(0, (INITIALIZE, ()))
        for name, arguments in entries:
            if end.outcome is not Outcome.RETURNED or self._abandoned:
                break
            session = instance.session
            end = session.call(session.guest.prepare(name, arguments))
        return end

    def wait(self, timeout: float | None = None) -> bool:
        """Whether the guest has ended; waits for that, at most `timeout` seconds."""
        return self._ended.wait(timeout)

    @property
    def running(self) -> bool:
        return not self._ended.is_set()

    def snapshot(self, top: int | None = None) -> Snapshot:
        """What the guest has done up to now. Any thread."""
        return self.instance.snapshot(top)

    def events(self, glob: str = "*", *, limit: int = STREAM_LIMIT) -> EventStream:
        """Like `Instance.events`; ends with the run."""
        return self.instance.events(glob, limit=limit)

    def result(self) -> RunResult:
        """How it ended. Raises `GuestError` while it runs."""
        if self._end is None or not self._ended.is_set():
            raise GuestError("the guest is still running")
        end = self._end
        snapshot = self.snapshot()
        return RunResult(end.outcome, snapshot.exit_code, end.values, snapshot, end.error)

    def kill(self) -> None:
        """Ends the guest at its next loop or call. Any thread; needs `RuntimeConfig.interruptible`."""
        self.instance.kill()

    def abandon(self, outcome: Outcome, message: str) -> Snapshot:
        """Gives up on a guest that does not end: the last snapshot, with that outcome.

        The guest goes on in its daemon thread. The process should end with `os._exit`.
        """
        self._abandoned = True
        return self.instance.session.abandon(outcome, message)

    def close(self) -> None:
        """Frees the instance, if the guest has ended or can be killed; else it goes on, and is freed at its
        end."""
        self.instance.end_events()
        if self.running and self.instance.session.guest.interruptible:
            self.kill()
            self.wait()
        if not self.running:
            self.instance.close()


def _entry(instance: Instance, invoke: str | None) -> str:
    if invoke is not None:
        return invoke
    exports = instance.program.exports
    for name in (START, INITIALIZE):
        if name in exports:
            return name
    functions = ", ".join(functions_of(exports)[:8])
    raise UsageError(f"the module is no command: it exports no _start; name a function to call: {functions or 'none'}")


def _arguments(instance: Instance, entry: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    functype: FunctionType = instance.program.function_type(entry)
    if arguments and all(isinstance(each, str) for each in arguments):
        return parse_arguments(entry, functype, arguments)
    return tuple(instance.session.guest.prepare(entry, arguments).values)
