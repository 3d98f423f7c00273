"""What becomes a log record, besides lines of output: anomalies, traps and limits. Pure, and without the SDK."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import Enum

from wasmtrace.exporters.otlp import conventions as names
from wasmtrace.exporters.otlp.output import OutputLine
from wasmtrace.exporters.otlp.root import failure_of, stack_text
from wasmtrace.exporters.text import capped, printable
from wasmtrace.records import Anomaly, Outcome, Snapshot, StackEntry

LONGEST_BODY = 4096
MOST_REFUSED_GROWS = 20
"""Functions whose memory growth was refused that get a record each."""
Value = str | int | float | bool

KIND = "wasm.anomaly.kind"
NUMBER = "wasm.anomaly.number"
RATE = "wasm.anomaly.rate"
PEAK_RATE = "wasm.anomaly.peak_rate"
THRESHOLD = "wasm.anomaly.threshold"
ALSO = "wasm.anomaly.also"
STACKTRACE = "code.stacktrace"
FAILED_GROWS = "wasm.memory.failed_grows"
STREAM = "log.iostream"
PART = "wasm.log.part"

LOG_ATTRIBUTES = {
    KIND: "`call_rate`, `no_progress`, `baseline`, `hang` or `growth`",
    NUMBER: "counts the anomalies of the run from 1; the record of the end has the same number",
    RATE: "calls, or for growth pages, a second",
    PEAK_RATE: "the highest of it",
    THRESHOLD: "what was exceeded",
    ALSO: "other functions with the same cause",
    STACKTRACE: "what was open when it was seen, innermost first",
    FAILED_GROWS: "how often growth of memory was refused to the function",
    STREAM: "`stdout` or `stderr`, for what the guest wrote",
    PART: "for a piece of a line of more than 16 KiB: counts them from 0",
}


class Severity(Enum):
    """With OpenTelemetry's numbers."""

    INFO = 9
    WARN = 13
    ERROR = 17


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One record to be."""

    at_unix_ns: int
    severity: Severity
    event_name: str
    body: str
    attributes: Mapping[str, Value] = field(default_factory=dict)
    span: tuple[int, int] | None = None
    """Ids of the trace and the span that it belongs to, if that is not the run's."""


Item = LogEntry | OutputLine

_SEVERITIES = {
    Outcome.TRAPPED: Severity.ERROR,
    Outcome.TIMED_OUT: Severity.ERROR,
    Outcome.FAILED: Severity.ERROR,
    Outcome.INTERRUPTED: Severity.WARN,
}


def weight(item: Item) -> int:
    """About how many bytes an item holds in the queue."""
    if isinstance(item, OutputLine):
        return len(item.text) + 200
    return 4 * len(item.body) + 4 * sum(len(each) for each in item.attributes.values() if isinstance(each, str)) + 500


def anomaly_entry(anomaly: Anomaly, at_unix_ns: int, module: str, span: tuple[int, int] | None = None) -> LogEntry:
    """Of an anomaly that began, or that ended, in the program of that name."""
    ended = anomaly.ended_us is not None
    attributes: dict[str, Value] = {
        names.MODULE_NAME: _text(module),
        KIND: anomaly.kind.value,
        NUMBER: anomaly.number,
        RATE: anomaly.rate,
        PEAK_RATE: anomaly.peak_rate,
        THRESHOLD: anomaly.threshold,
        names.FUNCTION_NAME: _text(anomaly.function.name),
        names.FUNCTION_INDEX: anomaly.function.index,
    }
    if anomaly.also:
        attributes[ALSO] = _text(", ".join(each.name for each in anomaly.also[:16]))
    if anomaly.stack:
        attributes[STACKTRACE] = stack_text([StackEntry(each.function, None) for each in reversed(anomaly.stack)])
    name = "wasm.anomaly.ended" if ended else "wasm.anomaly.started"
    body = f"ended: {anomaly.message}" if ended else anomaly.message
    return LogEntry(at_unix_ns, Severity.INFO if ended else Severity.WARN, name, _text(body), attributes, span)


def end_entries(snapshot: Snapshot) -> Iterator[LogEntry]:
    """What to say of a run that is over: limits that were met, and the failure if it did not end by itself."""
    at_unix_ns = snapshot.started_unix_ns + snapshot.now_us * 1000
    module = _text(snapshot.module.name)
    refused = sorted((each for each in snapshot.functions if each.failed_grows), key=lambda each: -each.failed_grows)
    for function in refused[:MOST_REFUSED_GROWS]:
        attributes: dict[str, Value] = {
            names.MODULE_NAME: module,
            names.FUNCTION_NAME: _text(function.name),
            names.FUNCTION_INDEX: function.index,
            FAILED_GROWS: function.failed_grows,
        }
        body = f"growth of memory was refused to {function.name}, {function.failed_grows:,} times"
        yield LogEntry(at_unix_ns, Severity.WARN, "wasm.memory.grow_refused", _text(body), attributes)
    failure = failure_of(snapshot)
    severity = _SEVERITIES.get(snapshot.outcome)
    if failure is not None and severity is not None:
        trapped = snapshot.outcome is Outcome.TRAPPED
        yield LogEntry(
            at_unix_ns,
            severity,
            "wasm.trap" if trapped else "wasm.stopped",
            _text(f"{'trapped' if trapped else snapshot.outcome.value}: {failure.message}"),
            {
                names.MODULE_NAME: module,
                names.OUTCOME: snapshot.outcome.value,
                names.EXCEPTION_TYPE: failure.kind,
                names.EXCEPTION_MESSAGE: failure.message,
                names.EXCEPTION_STACKTRACE: failure.stack,
            },
        )


def _text(text: str) -> str:
    return capped(printable(text), LONGEST_BODY)
