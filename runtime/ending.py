"""How an instance stands: running, returned, trapped and why, in words for people."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from wasmtrace.records import Outcome, StackEntry, Trap
from wasmtrace.runtime import snapshot as stats
from wasmtrace.runtime.engine_call import CallEnd, RawTrap
from wasmtrace.runtime.subject import Subject

EXIT_CODES = {Outcome.RETURNED: 0, Outcome.TRAPPED: 134}
"""What a process would exit with; a guest that called `proc_exit` says so itself."""


@dataclass(slots=True)
class State:
    """How the instance stands; guarded by the session's `_state` lock."""

    outcome: Outcome = Outcome.RUNNING
    exit_code: int | None = None
    raw_trap: RawTrap | None = None
    trap: Trap | None = None
    message: str | None = None
    last_frames: list[int] = field(default_factory=list)
    """The frames that were open when the last call ended, and when that was."""
    last_frames_us: int = 0
    abandoned: bool = False
    running: int = 0
    """Calls in progress, one inside the other."""


def explain(end: CallEnd, fuel_limit: int | None, max_stack_bytes: int) -> str | None:
    """What to say of an end besides its trap: which limit, how far."""
    if end.error is not None:
        return str(end.error) or type(end.error).__name__
    if end.outcome is Outcome.INTERRUPTED:
        return "stopped by the host"
    if end.trap is not None and end.trap.code == "out_of_fuel":
        return f"the fuel limit of {fuel_limit} is used up"
    if end.trap is not None and end.trap.code == "stack_overflow":
        return f"the stack limit of {max_stack_bytes} bytes is reached"
    return None


def resolve_trap(subject: Subject, raw: RawTrap, frames: Sequence[int]) -> Trap:
    """The trap with names, and with offsets in the module as it came; `frames` is the shadow stack at that moment."""
    names, count = subject.names(), subject.sites.function_count
    inner = [(funcidx, offset) for funcidx, offset in raw.frames if funcidx < count]
    stack = [StackEntry(names[funcidx], subject.original_offset(funcidx, offset)) for funcidx, offset in inner]
    for funcidx in stats.frames_around([funcidx for funcidx, _ in inner], frames):
        stack.append(StackEntry(names[funcidx], None))
    return Trap(raw.code, raw.message, tuple(stack))
