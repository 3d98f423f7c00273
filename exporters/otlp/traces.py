"""Sends spans: from descriptions to the SDK's spans, through a bounded queue and one thread, to the SDK's exporters.

The SDK's own batch processor is not used: it neither says what it dropped nor what the collector refused, and nothing
bounds how long its flush takes. Sampling, propagation, encoding, retries and the wire are the SDK's.
"""

from __future__ import annotations

import random
import threading
import time
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from opentelemetry.context import Context
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import Event, ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.trace.sampling import (
    ALWAYS_OFF,
    ALWAYS_ON,
    DEFAULT_OFF,
    DEFAULT_ON,
    Decision,
    ParentBasedTraceIdRatio,
    Sampler,
    TraceIdRatioBased,
)
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import Link, SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from wasmtrace.exporters.otlp.config import OtlpSettings
from wasmtrace.exporters.otlp.context import caller_of, context_from, variables_for
from wasmtrace.exporters.otlp.losses import QUEUE_FULL, UNFINISHED, Losses
from wasmtrace.exporters.otlp.senders import Spans
from wasmtrace.exporters.otlp.spans import SpanData, Value

SIGNAL = "traces"
QUEUE_SPANS = 8192
BATCH_SPANS = 512
PATIENCE_SECONDS = 1.0
"""How long the end waits for a collector that has taken nothing so far."""
_SHARE = 0.9
"""Of the time at the end; the rest is for telling what was lost."""
_UNSET = Status(StatusCode.UNSET)
_SAMPLERS = {
    "always_on": ALWAYS_ON,
    "always_off": ALWAYS_OFF,
    "parentbased_always_on": DEFAULT_ON,
    "parentbased_always_off": DEFAULT_OFF,
}
_RATIO_SAMPLERS = {"traceidratio": TraceIdRatioBased, "parentbased_traceidratio": ParentBasedTraceIdRatio}


def sampler_of(settings: OtlpSettings) -> Sampler:
    """By `OTEL_TRACES_SAMPLER` and its argument; what is not known is the default, `parentbased_always_on`."""
    name = (settings.sampler or "").lower()
    ratio = _RATIO_SAMPLERS.get(name)
    if ratio is None:
        return _SAMPLERS.get(name, DEFAULT_ON)
    try:
        return ratio(float(settings.sampler_argument or 1.0))
    except ValueError:
        return ratio(1.0)


@dataclass(frozen=True, slots=True)
class Root:
    """The span of a run before it is sent: known to the guest and to other signals from the start."""

    context: SpanContext
    caller: SpanContext | None

    @property
    def sampled(self) -> bool:
        return bool(self.context.trace_flags.sampled)


def new_span_id() -> int:
    """Any but 0, which means none."""
    return random.getrandbits(64) or 1


def new_root(context: Context, sampler: Sampler, name: str, attributes: Mapping[str, Value]) -> Root:
    """A child of the caller in `context`, or a trace of its own; sampled as the sampler says."""
    caller = caller_of(context)
    trace_id = caller.trace_id if caller is not None else random.getrandbits(128) or 1
    decision = sampler.should_sample(context, trace_id, name, SpanKind.INTERNAL, attributes)
    flags = TraceFlags(TraceFlags.SAMPLED if decision.decision is Decision.RECORD_AND_SAMPLE else TraceFlags.DEFAULT)
    state = decision.trace_state or (caller.trace_state if caller is not None else TraceState())
    return Root(SpanContext(trace_id, new_span_id(), False, flags, state), caller)


@dataclass(frozen=True, slots=True)
class Batch:
    """What spans of one root share."""

    root: Root
    resource: Resource
    scope: InstrumentationScope
    origin_unix_ns: int
    """When the clock of the spans began."""


def readable(data: SpanData, batch: Batch) -> ReadableSpan:
    """The SDK's form of a span."""
    own, origin_unix_ns = batch.root.context, batch.origin_unix_ns

    def inside(span_id: int) -> SpanContext:
        if span_id == own.span_id:
            return own
        return SpanContext(own.trace_id, span_id, False, own.trace_flags, own.trace_state)

    return ReadableSpan(
        data.name,
        context=inside(data.span_id),
        parent=batch.root.caller if data.parent_id is None else inside(data.parent_id),
        resource=batch.resource,
        attributes=data.attributes,
        events=[Event(each.name, each.attributes, origin_unix_ns + each.at_us * 1000) for each in data.events],
        links=() if data.link_id is None else (Link(inside(data.link_id)),),
        kind=SpanKind.INTERNAL,
        status=_UNSET if data.error is None else Status(StatusCode.ERROR, data.error),
        start_time=origin_unix_ns + data.start_us * 1000,
        end_time=origin_unix_ns + data.end_us * 1000,
        instrumentation_scope=batch.scope,
    )


class SpanSender:
    """Owns the queue and the thread that sends. `put` never waits for the network."""

    def __init__(
        self, exporter: Spans, losses: Losses, *, queue_spans: int = QUEUE_SPANS, batch_spans: int = BATCH_SPANS
    ) -> None:
        self._exporter = exporter
        self._losses = losses
        self._queue_spans = queue_spans
        self._batch_spans = batch_spans
        self._changed = threading.Condition()
        self._queue: deque[tuple[Batch, SpanData]] = deque()
        self._closing = False
        self.sent = 0
        self._thread = threading.Thread(target=self._run, name="wasmtrace-spans", daemon=True)
        self._thread.start()

    def put(self, batch: Batch, spans: Sequence[SpanData]) -> None:
        """Takes as many as there is room for; for those that others depend on there is twice the room."""
        lost = 0
        with self._changed:
            for span in spans:
                if len(self._queue) >= self._queue_spans * (1 + span.wanted):
                    lost += 1
                else:
                    self._queue.append((batch, span))
            self._changed.notify()
        self._losses.add(SIGNAL, QUEUE_FULL, lost)

    @property
    def queued(self) -> int:
        return len(self._queue)

    def close(self, seconds: float) -> None:
        """Sends the rest, for at most so long; what is left then is lost, and counted.

        A collector that has taken nothing so far, and refused something, is given less time.
        """
        began = time.monotonic()
        with self._changed:
            self._closing = True
            self._changed.notify()
        while self._thread.is_alive():
            self._thread.join(0.02)
            hopeless = self._exporter.fan.hopeless
            if time.monotonic() - began >= (min(seconds, PATIENCE_SECONDS) if hopeless else seconds):
                break
        if not self._thread.is_alive():
            return
        with self._changed:
            left = len(self._queue)
            self._queue.clear()
        self._exporter.fan.abandon()
        self._losses.add(SIGNAL, UNFINISHED, left)
        # Ends a retry that is going on. Not for long: nobody waits for it.
        closer = threading.Thread(target=self._exporter.shutdown, name="wasmtrace-spans-close", daemon=True)
        closer.start()
        closer.join(0.1)

    def _run(self) -> None:
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                taken = [self._queue.popleft() for _ in range(min(len(self._queue), self._batch_spans))]
            if not taken:
                break
            if self._exporter.export([readable(span, batch) for batch, span in taken]) is SpanExportResult.SUCCESS:
                self.sent += len(taken)
        self._exporter.shutdown()


class TraceExport:
    """Traces of one process to one place: ids, sampling, context and the way out. Any thread.

    `variables` are those of the environment that hold the caller's context, `resource` says who sends.
    """

    def __init__(
        self,
        settings: OtlpSettings,
        variables: Mapping[str, str],
        exporter: Spans,
        losses: Losses,
        resource: Mapping[str, str | int],
        version: str,
    ) -> None:
        self._context = context_from(variables)
        self._sampler = sampler_of(settings)
        self._resource = Resource(resource)
        self._scope = InstrumentationScope("wasmtrace", version)
        self._end_seconds = settings.end_seconds
        self.sender = SpanSender(exporter, losses)

    def new_root(self, name: str, attributes: Mapping[str, Value], variables: Mapping[str, str] | None = None) -> Root:
        """A trace begins, or goes on: `variables` hold another caller's context than the environment's."""
        context = self._context if variables is None else context_from(variables)
        return new_root(context, self._sampler, name, attributes)

    def variables_of(self, root: Root) -> dict[str, str]:
        """What the guest needs in its environment to go on with the trace."""
        return variables_for(root.context, self._context)

    def put(self, root: Root, origin_unix_ns: int, spans: Sequence[SpanData]) -> None:
        """Sends spans of a sampled root, soon."""
        if spans and root.sampled:
            self.sender.put(Batch(root, self._resource, self._scope, origin_unix_ns), spans)

    def close(self) -> None:
        """Sends the rest; waits for the collector no longer than the settings say, and counts what is left then."""
        self.sender.close(self._end_seconds * _SHARE)
