"""The SDK's exporters, made from settings, one for each signal: to the collector, to a file, or to both.

Each counts what was not taken, and keeps the reason of the first failure. What the SDK logs goes nowhere else.
"""

from __future__ import annotations

import contextlib
import logging
import os
import re
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from opentelemetry.sdk._logs import ReadableLogRecord
from opentelemetry.sdk._logs.export import LogRecordExporter, LogRecordExportResult
from opentelemetry.sdk.metrics import Counter, Histogram, ObservableCounter
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExporter, SpanExportResult

from wasmtrace.errors import ExportError
from wasmtrace.exporters.otlp.config import Compression, OtlpSettings, Protocol, Signal, Target, Temporality
from wasmtrace.exporters.otlp.losses import REFUSED, UNFINISHED, Losses
from wasmtrace.exporters.text import printable, shorten

if TYPE_CHECKING:
    from wasmtrace.exporters.otlp.linefile import LineFile

_LONGEST_REASON = 160
_ERRNO = re.compile(r"\[Errno -?\d+\] ([^'\")(]+)")
_KINDS = ("spans", "traces", "metrics", "logs")
_SUCCESS = (SpanExportResult.SUCCESS, MetricExportResult.SUCCESS, LogRecordExportResult.SUCCESS)


class _Reasons(logging.Handler):
    """Why an export of this thread failed, from what the SDK logs about it: its results do not say."""

    def __init__(self) -> None:
        super().__init__()
        self._by_thread: dict[int, str] = {}
        self.latest: str | None = None
        """Of any thread: the SDK does not log the same twice in 20 s, even of another exporter."""

    def install(self) -> None:
        """Hears what the exporters log from now on. Nothing the second time."""
        logging.getLogger("opentelemetry.exporter").addHandler(self)

    def emit(self, record: logging.LogRecord) -> None:
        arguments = record.args if isinstance(record.args, tuple) else ()
        told = [str(each) for each in arguments if each not in _KINDS and not isinstance(each, float) and each]
        if told:
            self.note(reason(" ".join(told)))
        elif record.levelno >= logging.ERROR and self.peek(threading.get_ident()) is None:
            # Given up at once, without a word of why: it was asked to come back when there is no time left.
            self.note("asks to wait longer than the timeout")

    def note(self, text: str) -> None:
        self._by_thread[threading.get_ident()] = text
        self.latest = text

    def peek(self, thread: int) -> str | None:
        return self._by_thread.get(thread)

    def take(self) -> str | None:
        return self._by_thread.pop(threading.get_ident(), None)


_REASONS = _Reasons()


def reason(text: str) -> str:
    """An error of a library in a few words."""
    found = _ERRNO.search(text)
    if found is not None:
        return found[1].strip().lower()
    if "timed out" in text.lower():
        return "timed out"
    return shorten(printable(" ".join(text.split())), _LONGEST_REASON)


def keep_quiet() -> None:
    """For a program of its own, such as the command line: what the SDK logs is not shown, we say it.

    gRPC's core writes to the process's standard error, which is the guest's, unless a variable says otherwise before
    gRPC is imported.
    """
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    logger = logging.getLogger("opentelemetry")
    logger.propagate = False
    logger.addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True)
class _Outlet:
    """One place where a signal goes."""

    shown: str
    export: Callable[[Any], bool]
    shutdown: Callable[[], None]


class _Fan:
    """Gives each batch to every outlet; counts it as lost where one does not take it."""

    def __init__(self, signal: Signal, outlets: Sequence[_Outlet], losses: Losses) -> None:
        self._signal = signal
        self._outlets = outlets
        self._losses = losses
        self._in_flight = 0
        self._thread = 0
        self._taken = False
        self._refused = False
        self._abandoned = False
        self._lock = threading.Lock()

    @property
    def hopeless(self) -> bool:
        """Whether nothing has been taken so far, and something was refused, or is being retried."""
        trouble = self._refused or (self._in_flight > 0 and _REASONS.latest is not None)
        return trouble and not self._taken

    def send(self, batch: Any, count: int) -> bool:
        """Whether every outlet has taken it."""
        with self._lock:
            if self._abandoned:
                self._losses.add(self._signal.value, UNFINISHED, count)
                return False
            self._in_flight = count
        self._thread = threading.get_ident()
        refusals = [why for outlet in self._outlets if (why := self._refusal(outlet, batch)) is not None]
        with self._lock:
            self._in_flight = 0
            for why in refusals if not self._abandoned else ():
                self._losses.add(self._signal.value, REFUSED, count, why)
        self._taken |= not refusals
        self._refused |= bool(refusals)
        return not refusals

    def _refusal(self, outlet: _Outlet, batch: Any) -> str | None:
        """Why the outlet did not take it; None if it did."""
        _REASONS.take()
        try:
            if outlet.export(batch):
                return None
        except Exception as error:  # whatever a library raises, the guest runs on
            return f"{outlet.shown}: {reason(f'{type(error).__name__}: {error}')}"
        return f"{outlet.shown}: {_REASONS.take() or _REASONS.latest or 'not taken'}"

    def shutdown(self) -> None:
        for outlet in self._outlets:
            with contextlib.suppress(Exception):  # nothing is left to be lost
                outlet.shutdown()

    def abandon(self) -> None:
        """The time is over: what is on its way counts as lost, whatever becomes of it."""
        shown = ", ".join(outlet.shown for outlet in self._outlets)
        why = _REASONS.peek(self._thread) or _REASONS.latest or "too slow, or does not answer"
        with self._lock:
            if not self._abandoned:
                self._abandoned = True
                self._losses.add(self._signal.value, UNFINISHED, self._in_flight, f"{shown}: {why}")


class Spans(SpanExporter):
    """Spans to every outlet."""

    def __init__(self, fan: _Fan) -> None:
        self.fan = fan

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        return SpanExportResult.SUCCESS if self.fan.send(spans, len(spans)) else SpanExportResult.FAILURE

    def shutdown(self) -> None:
        self.fan.shutdown()


class Logs(LogRecordExporter):
    """Log records to every outlet."""

    def __init__(self, fan: _Fan) -> None:
        self.fan = fan

    def export(self, batch: Sequence[ReadableLogRecord]) -> LogRecordExportResult:
        done = self.fan.send(batch, len(batch))
        return LogRecordExportResult.SUCCESS if done else LogRecordExportResult.FAILURE

    def shutdown(self) -> None:
        self.fan.shutdown()

    def force_flush(self, timeout_millis: int = 30000) -> bool:
        return True


class Metrics(MetricExporter):
    """Metrics to every outlet, all with the same temporality."""

    def __init__(self, fan: _Fan, temporality: Temporality) -> None:
        super().__init__(preferred_temporality=_temporalities(temporality))
        self.fan = fan

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object) -> MetricExportResult:
        count = sum(
            len(metric.data.data_points)
            for resource in metrics_data.resource_metrics
            for scope in resource.scope_metrics
            for metric in scope.metrics
        )
        return MetricExportResult.SUCCESS if self.fan.send(metrics_data, count) else MetricExportResult.FAILURE

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        self.fan.shutdown()

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True


def _temporalities(temporality: Temporality) -> dict[type, AggregationTemporality]:
    delta = {Counter, Histogram} if temporality is Temporality.LOWMEMORY else {Counter, Histogram, ObservableCounter}
    if temporality is Temporality.CUMULATIVE:
        return {}
    return dict.fromkeys(delta, AggregationTemporality.DELTA)


def span_exporter(settings: OtlpSettings, file: LineFile | None, losses: Losses) -> Spans | None:
    """None if traces go nowhere. Raises `ExportError` for what cannot work."""
    fan = _fan(settings, Signal.TRACES, file, losses)
    return None if fan is None else Spans(fan)


def metric_exporter(settings: OtlpSettings, file: LineFile | None, losses: Losses) -> Metrics | None:
    """None if metrics go nowhere. Raises `ExportError` for what cannot work."""
    fan = _fan(settings, Signal.METRICS, file, losses)
    return None if fan is None else Metrics(fan, settings.temporality)


def log_exporter(settings: OtlpSettings, file: LineFile | None, losses: Losses) -> Logs | None:
    """None if logs go nowhere. Raises `ExportError` for what cannot work."""
    fan = _fan(settings, Signal.LOGS, file, losses)
    return None if fan is None else Logs(fan)


def _fan(settings: OtlpSettings, signal: Signal, file: LineFile | None, losses: Losses) -> _Fan | None:
    outlets = []
    if signal in settings.targets and not settings.disabled:
        outlets.append(_network(signal, settings.targets[signal]))
    if file is not None and signal not in settings.silent and not settings.disabled:
        outlets.append(_file(signal, file))
    return _Fan(signal, outlets, losses) if outlets else None


def _network(signal: Signal, target: Target) -> _Outlet:
    for path in (target.certificate, target.client_key, target.client_certificate):
        _check_readable(path)
    make = _grpc if target.protocol is Protocol.GRPC else _http
    try:
        exporter = make(signal, target)
    except (ValueError, RuntimeError) as error:
        raise ExportError(f"cannot send {signal.value} to {target.shown}: {reason(str(error))}") from error
    _REASONS.install()
    return _Outlet(target.shown, lambda batch: exporter.export(batch) in _SUCCESS, exporter.shutdown)


def _check_readable(path: str | None) -> None:
    if path is None:
        return
    try:
        with Path(path).open("rb"):
            pass
    except (OSError, ValueError) as error:
        told = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise ExportError(f"cannot read {printable(path)}: {told.lower()}") from error


def _http(signal: Signal, target: Target) -> Any:
    from opentelemetry.exporter.otlp.proto.http import Compression as HttpCompression

    compression = {
        Compression.NONE: HttpCompression.NoCompression,
        Compression.GZIP: HttpCompression.Gzip,
        Compression.DEFLATE: HttpCompression.Deflate,
    }
    exporter: Any
    match signal:
        case Signal.TRACES:
            from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as exporter
        case Signal.METRICS:
            from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter as exporter
        case Signal.LOGS:
            from opentelemetry.exporter.otlp.proto.http._log_exporter import OTLPLogExporter as exporter
    return exporter(
        endpoint=target.endpoint,
        certificate_file=target.certificate,
        client_key_file=target.client_key,
        client_certificate_file=target.client_certificate,
        headers=dict(target.headers),
        timeout=target.timeout_seconds,
        compression=compression[target.compression],
    )


def _grpc(signal: Signal, target: Target) -> Any:
    import grpc

    compression = {
        Compression.NONE: grpc.Compression.NoCompression,
        Compression.GZIP: grpc.Compression.Gzip,
        Compression.DEFLATE: grpc.Compression.Deflate,
    }
    exporter: Any
    match signal:
        case Signal.TRACES:
            from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as exporter
        case Signal.METRICS:
            from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter as exporter
        case Signal.LOGS:
            from opentelemetry.exporter.otlp.proto.grpc._log_exporter import OTLPLogExporter as exporter
    secure = target.endpoint.startswith("https:")
    return exporter(
        endpoint=target.endpoint,
        insecure=not secure,
        credentials=_credentials(target) if secure else None,
        headers=dict(target.headers),
        timeout=target.timeout_seconds,
        compression=compression[target.compression],
    )


def _credentials(target: Target) -> Any:
    import grpc

    def content(path: str | None) -> bytes | None:
        return None if path is None else Path(path).read_bytes()

    return grpc.ssl_channel_credentials(
        content(target.certificate), content(target.client_key), content(target.client_certificate)
    )


def _file(signal: Signal, file: LineFile) -> _Outlet:
    from wasmtrace.exporters.otlp import jsonfile

    encode: Callable[[Any], bytes]
    match signal:
        case Signal.TRACES:
            encode = jsonfile.encode_span_line
        case Signal.METRICS:
            encode = jsonfile.encode_metric_line
        case Signal.LOGS:
            encode = jsonfile.encode_log_line

    def export(batch: Any) -> bool:
        done = file.write(encode(batch))
        if not done:
            _REASONS.note(file.error or "already closed")
        return done

    return _Outlet(printable(file.path), export, lambda: None)
