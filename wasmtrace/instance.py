"""One instance of a program: its functions called, its memory read and written, its telemetry told."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

from wasmtrace.errors import GuestError, UsageError
from wasmtrace.program import Program
from wasmtrace.records import Outcome, Snapshot, Trap
from wasmtrace.runtime import native_stack
from wasmtrace.runtime.engine import Extern
from wasmtrace.runtime.engine_call import CallEnd
from wasmtrace.runtime.event_streams import STREAM_LIMIT, EventStream
from wasmtrace.runtime.session import Session

INITIALIZE = "_initialize"
_U32 = 0xFFFF_FFFF


class GuestStopped(GuestError):
    """A call into the guest did not return: it trapped, exited, or was stopped."""

    def __init__(self, message: str, outcome: Outcome, status: int | None, session: Session) -> None:
        super().__init__(message)
        self.outcome = outcome
        self.status = status
        """What the guest gave `proc_exit`."""
        self._session = session

    @property
    def trap(self) -> Trap | None:
        """What trapped and where, as long as the instance has not been called again."""
        return self._session.trap()


class Instance:
    """Made by `Runtime.instantiate`. Calls come from one thread at a time; `snapshot` and `kill` from any."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self._session: Session | None = None
        self._linker: Any = None
        self._engine_stack_bytes = 0
        self._closed = False

    def attach(self, session: Session, linker: Any, engine_stack_bytes: int) -> None:
        """For `Runtime`: what the instance works with."""
        self._session, self._linker, self._engine_stack_bytes = session, linker, engine_stack_bytes

    @property
    def session(self) -> Session:
        if self._session is None or self._closed:
            raise GuestError("the instance is closed" if self._closed else "the instance is not ready")
        return self._session

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def exports(self) -> dict[str, Extern]:
        """What the module exports, by name, with types."""
        return self.program.exports

    def instantiate(self) -> CallEnd:
        """For `Run`: makes the instance, without `_initialize`."""
        linker, self._linker = self._linker, None
        return self.session.instantiate(linker)

    def initialize(self) -> None:
        """For `Runtime`: makes the instance and calls `_initialize`, if that is exported."""
        self._returned(self._with_stack(self.instantiate), "the start function")
        if INITIALIZE in self.program.exports:
            self.call(INITIALIZE)

    def call(self, name: str, *arguments: Any) -> Any:
        """Calls an exported function: None, its result, or a tuple of its results.

        Raises `UsageError` for a wrong name or wrong arguments, `GuestStopped` if it did not return, and
        whatever a host function raised.
        """
        session = self.session
        prepared = session.guest.prepare(name, arguments)
        values = self._returned(self._with_stack(lambda: session.call(prepared)), repr(name)).values
        if len(values) > 1:
            return values
        return values[0] if values else None

    def _with_stack(self, run: Callable[[], CallEnd]) -> CallEnd:
        """Runs here if this thread's stack is large enough for the guest, else in a thread with a larger
        one."""
        if native_stack.has_room(self._engine_stack_bytes):
            return run()
        ends: list[CallEnd] = []
        errors: list[BaseException] = []

        def work() -> None:
            try:
                ends.append(run())
            except BaseException as error:
                errors.append(error)

        thread = native_stack.start_thread(work, name="wasmtrace-call", engine_stack_bytes=self._engine_stack_bytes)
        thread.join()
        if errors:
            raise errors[0]
        return ends[0]

    def _returned(self, end: CallEnd, what: str) -> CallEnd:
        if end.outcome is Outcome.RETURNED:
            return end
        if end.error is not None:
            raise end.error
        if end.trap is not None:
            reason = f"trapped: {end.trap.message}"
        elif end.exit_code is not None:
            reason = f"exited with code {end.exit_code}"
        else:
            reason = "was stopped"
        raise GuestStopped(f"{what} {reason}", end.outcome, end.exit_code, self.session)

    def read_memory(self, offset: int, length: int, memory: str = "memory") -> bytes:
        """Exactly `length` bytes of an exported memory. `offset` may be an i32 as the guest returned it."""
        address = self._address(offset, length, memory)
        return ctypes.string_at(address, length) if length else b""

    def write_memory(self, offset: int, data: bytes, memory: str = "memory") -> None:
        """Stores all of `data` in an exported memory."""
        ctypes.memmove(self._address(offset, len(data), memory), bytes(data), len(data))

    def _address(self, offset: int, length: int, memory: str) -> int:
        if -(1 << 31) <= offset < 0:
            offset &= _U32
        start, size = self.session.guest.memory_view(memory)
        if offset < 0 or length < 0 or offset + length > size:
            raise UsageError(f"{length} bytes at {offset:#x} are not within {memory!r} of {size} bytes")
        return start + offset

    def end_events(self) -> None:
        """For `Run`: no more events will come."""
        if self._session is not None:
            self._session.events.end()

    def end_anomalies(self) -> None:
        """For `Run`: what went on has ended."""
        if self._session is not None:
            self._session.settle()

    def snapshot(self, top: int | None = None) -> Snapshot:
        """What the instance has done up to now. Any thread, during a call too, and after `close`."""
        if self._session is None:
            raise GuestError("the instance is not ready")
        return self._session.snapshot(top)

    def events(self, glob: str = "*", *, limit: int = STREAM_LIMIT) -> EventStream:
        """The events of the functions that `glob` names, live, until `close`; `RuntimeConfig.events` says what is one.

        The first stream begins with what has happened already. A consumer that is more than `limit` events behind
        misses some, which `dropped` counts; with `RuntimeConfig.lossless` the guest waits for it.
        """
        return self.session.events.subscribe(glob, limit)

    def kill(self) -> None:
        """Ends the call in progress at its next loop or call. Any thread; needs
        `RuntimeConfig.interruptible`."""
        self.session.guest.kill()

    def close(self) -> None:
        """Frees the instance; waits for a call in progress. Snapshots keep working."""
        if self._session is not None and not self._closed:
            self._closed = True
            self._session.close()
