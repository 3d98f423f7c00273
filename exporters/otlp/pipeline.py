"""Joins what is sent of one run: exporters, resource, metrics and logs, and the bounded wait at the end."""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib import metadata

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext

from wasmtrace.exporters.exemplars import Exemplars
from wasmtrace.exporters.otlp.batches import Batches
from wasmtrace.exporters.otlp.config import OtlpSettings
from wasmtrace.exporters.otlp.entries import Item
from wasmtrace.exporters.otlp.linefile import LineFile
from wasmtrace.exporters.otlp.logs import LogsExport, Sender, log_context
from wasmtrace.exporters.otlp.losses import Losses
from wasmtrace.exporters.otlp.metrics import MetricsExport
from wasmtrace.exporters.otlp.resource import read_facts, resource_attributes
from wasmtrace.exporters.otlp.senders import Logs, Metrics, Spans, log_exporter, metric_exporter, span_exporter
from wasmtrace.exporters.otlp.traces import TraceExport
from wasmtrace.exporters.scrape import Scrape
from wasmtrace.records import Anomaly, Snapshot

PATIENCE_SECONDS = 1.0
"""How long the end waits for a collector that has taken nothing so far and refused something."""
_LOOK_SECONDS = 0.02


@dataclass(frozen=True, slots=True)
class Places:
    """Where to, and what was lost on the way."""

    settings: OtlpSettings
    file: LineFile | None
    losses: Losses


class Pipeline:
    """Everything about OTLP of one run. Made before the guest starts: raises `ExportError` for what cannot work."""

    def __init__(self, places: Places, environ: Mapping[str, str], *, module_name: str, version: str) -> None:
        settings, file, losses = places.settings, places.file, places.losses
        facts = read_facts(sdk_version=metadata.version("opentelemetry-sdk"), version=version)
        self._version = version
        self.settings = settings
        self._losses = losses
        self._attributes = resource_attributes(
            settings, environ, facts, module_name=module_name, instance=str(uuid.uuid4())
        )
        self.resource = Resource(self._attributes)
        self._span_exporter: Spans | None = span_exporter(settings, file, losses)
        self._metric_exporter: Metrics | None = metric_exporter(settings, file, losses)
        self._log_exporter: Logs | None = log_exporter(settings, file, losses)
        self._metrics: MetricsExport | None = None
        self._logs: LogsExport | None = None
        self._queue: Batches[Item] | None = None

    def traces(self, environ: Mapping[str, str]) -> TraceExport | None:
        """The way out of spans; None if traces go nowhere."""
        if self._span_exporter is None:
            return None
        return TraceExport(self.settings, environ, self._span_exporter, self._losses, self._attributes, self._version)

    def start_logs(self, queue: Batches[Item], root: SpanContext | None) -> None:
        """Sends what is in the queue, and what comes into it."""
        if self._log_exporter is not None:
            self._queue = queue
            scope = InstrumentationScope("wasmtrace", self._version)
            sender = Sender(self.resource, scope, log_context(root))
            self._logs = LogsExport(queue, self._log_exporter, sender)

    def start_metrics(self, scrape: Scrape, exemplars: Exemplars | None = None) -> None:
        """Sends metrics from now on, with the spans that show slow calls."""
        if self._metric_exporter is not None:
            seconds = self.settings.metric_interval_seconds
            self._metrics = MetricsExport(
                scrape, self._metric_exporter, self.resource, interval_seconds=seconds, exemplars=exemplars
            )

    def anomaly(self, anomaly: Anomaly, module: str, span: tuple[int, int] | None = None) -> None:
        """A log record of it, as `LogsExport.anomaly`."""
        if self._logs is not None:
            self._logs.anomaly(anomaly, module, span)

    def finish(self, snapshot: Snapshot, *also: Callable[[float], None]) -> None:
        """The run is over: says how it ended, and closes."""
        if self._logs is not None:
            self._logs.end(snapshot)
        self.close(*also)

    def close(self, *also: Callable[[float], None]) -> None:
        """Sends the rest, all signals at once, and returns in time. `also` are told how long."""
        seconds = self.settings.end_seconds
        closing: list[_Closing] = [_Closing(each, lambda: False, lambda: None, seconds) for each in also]
        if self._logs is not None and self._log_exporter is not None:
            closing.append(_Closing(self._logs.close, self._hopeless_logs, self._abandon_logs, seconds))
        if self._metrics is not None and self._metric_exporter is not None:
            fan = self._metric_exporter.fan
            closing.append(_Closing(self._metrics.close, lambda: fan.hopeless, fan.abandon, seconds))
        _wait(closing, seconds)

    def _hopeless_logs(self) -> bool:
        return self._log_exporter is not None and self._log_exporter.fan.hopeless

    def _abandon_logs(self) -> None:
        if self._log_exporter is not None:
            self._log_exporter.fan.abandon()
        if self._queue is not None:
            self._queue.abandon()


class _Closing:
    """One signal that is being closed, in a thread of its own."""

    def __init__(
        self,
        close: Callable[[float], None],
        hopeless: Callable[[], bool],
        abandon: Callable[[], None],
        seconds: float,
    ) -> None:
        self._hopeless = hopeless
        self._abandon = abandon
        self._thread = threading.Thread(target=close, args=(seconds,), name="wasmtrace-otlp-close", daemon=True)
        self._thread.start()

    def done(self, waited: float) -> bool:
        return not self._thread.is_alive() or (waited > PATIENCE_SECONDS and self._hopeless())

    def give_up(self) -> None:
        """Counts what is left, if anything."""
        self._abandon()


def _wait(closing: Sequence[_Closing], seconds: float) -> None:
    began = time.monotonic()
    while (waited := time.monotonic() - began) < seconds and not all(each.done(waited) for each in closing):
        time.sleep(_LOOK_SECONDS)
    for each in closing:
        each.give_up()
