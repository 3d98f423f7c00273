"""Log records of the SDK, from entries and lines of output, with the span of the run as their context."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from opentelemetry._logs import LogRecord, SeverityNumber
from opentelemetry.context import Context
from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags, set_span_in_context

from wasmtrace.exporters.otlp.batches import Batches
from wasmtrace.exporters.otlp.entries import PART, STREAM, Item, LogEntry, Severity, anomaly_entry, end_entries
from wasmtrace.exporters.otlp.output import OutputLine, shown
from wasmtrace.exporters.otlp.senders import Logs
from wasmtrace.records import Anomaly, Snapshot

_NUMBERS = {each: SeverityNumber(each.value) for each in Severity}


def line_entry(line: OutputLine) -> LogEntry:
    """A line's severity is INFO on both streams: which one a program writes to does not say how bad it is."""
    attributes: dict[str, str | int] = {STREAM: line.stream}
    if line.part:
        attributes[PART] = line.part
    return LogEntry(line.at_unix_ns, Severity.INFO, "", shown(line.text), attributes)


@dataclass(frozen=True, slots=True)
class Sender:
    """What all records of a run share: who says it, and the span that it belongs to."""

    resource: Resource
    scope: InstrumentationScope
    context: Context


def readable(item: Item, sender: Sender) -> ReadableLogRecord:
    """The SDK's form of an item."""
    entry = line_entry(item) if isinstance(item, OutputLine) else item
    record = LogRecord(
        timestamp=entry.at_unix_ns,
        observed_timestamp=entry.at_unix_ns,
        context=sender.context if entry.span is None else _context_of(*entry.span),
        severity_number=_NUMBERS[entry.severity],
        severity_text=entry.severity.name,
        body=entry.body,
        attributes=entry.attributes,
        event_name=entry.event_name or None,
    )
    return ReadableLogRecord(record, sender.resource, sender.scope)


def log_context(root: SpanContext | None) -> Context:
    """What the records are correlated with: the run's span, if there is one."""
    return Context() if root is None else set_span_in_context(NonRecordingSpan(root), Context())


def _context_of(trace_id: int, span_id: int) -> Context:
    return log_context(SpanContext(trace_id, span_id, False, TraceFlags(TraceFlags.SAMPLED)))


class LogsExport:
    """Sends what is put into `queue`."""

    def __init__(
        self,
        queue: Batches[Item],
        exporter: Logs,
        sender: Sender,
        *,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._queue = queue
        self._now_ns = now_ns
        queue.start(lambda items: exporter.export([readable(each, sender) for each in items]))

    def anomaly(self, anomaly: Anomaly, module: str, span: tuple[int, int] | None = None) -> None:
        """An anomaly began or ended; `span` is for one that does not belong to the run's."""
        self._queue.put([anomaly_entry(anomaly, self._now_ns(), module, span)])

    def end(self, snapshot: Snapshot) -> None:
        """The run is over."""
        self._queue.put(list(end_entries(snapshot)))

    def close(self, seconds: float) -> None:
        """Sends the rest; waits at most so long."""
        self._queue.close(seconds)
