"""The span of a whole run, and why it failed. Pure: the last snapshot in, a span description out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from wasmtrace.exporters.otlp import conventions as names
from wasmtrace.exporters.otlp.spans import NAME_LENGTH, Failure, SpanData, SpanEvent, Value
from wasmtrace.exporters.text import capped, printable
from wasmtrace.records import ModuleInfo, Outcome, Snapshot, StackEntry, Trap

TICK_US = 1000
STACK_ENTRIES = 64
MESSAGE_LENGTH = 2048
MAX_ROOT_EVENTS = 120
MAX_GROW_EVENTS = 60


@dataclass(frozen=True, slots=True)
class Tally:
    """What was not made a span."""

    calls_left_out: int = 0
    events: tuple[SpanEvent, ...] = ()
    events_left_out: int = 0


def module_attributes(module: ModuleInfo, export: str | None = None) -> dict[str, Value]:
    """What is known of a run before it begins; samplers see it."""
    name = _text(module.name)
    attributes: dict[str, Value] = {
        names.EXECUTABLE_NAME: name,
        names.MODULE_NAME: name,
        names.MODULE_SHA256: module.sha256,
        names.MODULE_SIZE: module.size_bytes,
        names.LEVEL: module.level.value,
        names.CLOCK_RESOLUTION: TICK_US,
    }
    if export is not None:
        attributes[names.EXPORT] = _text(export)
    return attributes


def failure_of(snapshot: Snapshot) -> Failure | None:
    """Why the guest did not return; None if it did, if it exited with 0, and while it runs."""
    outcome = snapshot.outcome
    if outcome in (Outcome.RETURNED, Outcome.RUNNING) or (outcome is Outcome.EXITED and not snapshot.exit_code):
        return None
    trap = snapshot.trap
    if trap is not None:
        text = snapshot.message or trap.message
        return Failure(trap.code, _text(text, MESSAGE_LENGTH), stack_text(trap.stack))
    if outcome is Outcome.EXITED:
        message = f"exited with code {snapshot.exit_code}"
    else:
        message = snapshot.message or outcome.value.replace("_", " ")
    open_calls = [StackEntry(each.function, None) for each in reversed(snapshot.open_calls)]
    return Failure(outcome.value, _text(message, MESSAGE_LENGTH), stack_text(open_calls))


def stack_text(stack: Sequence[StackEntry]) -> str:
    """One frame a line, innermost first; of a very deep one the middle is left out."""
    half = STACK_ENTRIES // 2
    lines = [_frame_text(each) for each in (stack if len(stack) <= STACK_ENTRIES else stack[:half])]
    if len(stack) > STACK_ENTRIES:
        lines.append(f"    ... {len(stack) - 2 * half} frames ...")
        lines += [_frame_text(each) for each in stack[-half:]]
    return "\n".join(lines)


def _frame_text(entry: StackEntry) -> str:
    name = _text(entry.function.name) or f"func[{entry.function.index}]"
    return f"    at {name}" if entry.offset is None else f"    at {name} (0x{entry.offset:x})"


def root_span(
    snapshot: Snapshot, span_id: int, *, start_us: int, end_us: int, tally: Tally, export: str | None = None
) -> SpanData:
    """The span of the run, or of one call of an export, whose last snapshot this is."""
    attributes = module_attributes(snapshot.module, export)
    trap: Trap | None = snapshot.trap
    failure = failure_of(snapshot)
    optional: dict[str, Value | None] = {
        names.OUTCOME: snapshot.outcome.value,
        names.EXIT_CODE: snapshot.exit_code,
        names.TRAP_CODE: None if trap is None else trap.code,
        names.ERROR_TYPE: None if failure is None else failure.kind,
        names.FUEL: snapshot.fuel,
        names.FUEL_LIMIT: snapshot.fuel_limit,
        names.MEMORY_PAGES: snapshot.memories[0].pages if snapshot.memories else None,
        names.STARTUP: snapshot.cost.startup_seconds,
        names.CLOCK_LATE: round(snapshot.cost.clock_late_max_seconds * 1e6),
        names.RECORDS_DROPPED: snapshot.dropped or None,
        names.CALLS_LEFT_OUT: tally.calls_left_out or None,
        names.EVENTS_LEFT_OUT: tally.events_left_out or None,
    }
    attributes.update({name: value for name, value in optional.items() if value is not None})
    name = f"{_text(snapshot.module.name)} {_text(export)}" if export else _text(snapshot.module.name)
    events = tally.events if failure is None else (*tally.events, failure.event(end_us))
    error = None if failure is None else failure.message
    return SpanData(name, span_id, None, start_us, end_us, attributes, error, events, wanted=True)


def _text(text: str, length: int = NAME_LENGTH) -> str:
    return capped(printable(text), length)
