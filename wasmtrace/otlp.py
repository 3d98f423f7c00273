"""OTLP from Python: traces, metrics and logs of every app that a process runs, with one object.

    with Otlp("http://collector:4318", service="shop") as otlp, Runtime(otlp.config()) as runtime:
        ...

Each call from the host is a trace of its own. Importing this imports OpenTelemetry.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Self

from wasmtrace.api import RuntimeConfig
from wasmtrace.exporters.otlp.batches import Batches
from wasmtrace.exporters.otlp.config import Signal, otlp_settings
from wasmtrace.exporters.otlp.entries import Item, end_entries, weight
from wasmtrace.exporters.otlp.linefile import LineFile
from wasmtrace.exporters.otlp.losses import Losses
from wasmtrace.exporters.otlp.pipeline import Pipeline, Places
from wasmtrace.exporters.scrape import Scrape
from wasmtrace.records import Anomaly, CallEnded, Event, EventSink, Snapshot
from wasmtrace.runtime.session import Session
from wasmtrace.tracing import TraceOptions, Tracing
from wasmtrace.version import VERSION


class Otlp:
    """Sends to the collector at `endpoint`, writes OTLP JSON lines to `file`, or both.

    `environ` holds the standard variables (`docs/otlp.md`), the caller's `TRACEPARENT` among them: pass `os.environ` to
    follow them; with neither endpoint nor file they say where to. `service` is the service's name unless they say it.
    Close it, or use it in `with`, after the runtime. Any number of runtimes and instances may use one.

    Raises `UsageError` for an endpoint that is none, `ExportError` for what else cannot work. What is wrong in the
    variables is in `warnings`, and ignored.
    """

    def __init__(
        self,
        endpoint: str | None = None,
        *,
        file: str | Path | None = None,
        service: str = "wasmtrace",
        environ: Mapping[str, str] | None = None,
        traces: TraceOptions | None = None,
    ) -> None:
        environ = {} if environ is None else environ
        settings = otlp_settings(environ, endpoint=endpoint, send=endpoint is not None or file is None)
        self.warnings = settings.warnings
        self._service = service
        self._losses = Losses()
        self._file = None if file is None else LineFile(file)
        places = Places(settings, self._file, self._losses)
        self._pipeline = Pipeline(places, environ, module_name=service, version=VERSION)
        self._queue: Batches[Item] = Batches("logs", self._losses, weight)
        self._tracing: Tracing | None = None
        if Signal.TRACES not in settings.silent and not settings.disabled:
            export = self._pipeline.traces(environ)
            assert export is not None
            self._tracing = Tracing(lambda: export, replace(traces or TraceOptions(), each_call=True))
        self._lock = threading.Lock()
        self._sessions: list[Session] = []
        self._scrape = Scrape(self._snapshots, lost=self._lost)
        self._pipeline.start_logs(self._queue, None)
        self._pipeline.start_metrics(self._scrape, None if self._tracing is None else self._tracing.exemplars)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def config(self, config: RuntimeConfig | None = None) -> RuntimeConfig:
        """The configuration, with this told of every instance and what happens in it."""
        config = RuntimeConfig() if config is None else config
        return replace(config, observers=(*config.observers, self._observe))

    def called_by(self, variables: Mapping[str, str]) -> AbstractContextManager[None]:
        """Traces that begin meanwhile are children of the span in `TRACEPARENT`, whichever thread begins them."""
        return nullcontext() if self._tracing is None else self._tracing.called_by(variables)

    @property
    def lost(self) -> Mapping[str, int]:
        """What was not sent, by reason, such as `otlp_traces_refused`."""
        return self._losses.by_reason

    def close(self) -> None:
        """Sends the rest, and waits a bounded time for that: `OTEL_BSP_EXPORT_TIMEOUT`."""
        tracing = self._tracing
        self._pipeline.close(*([] if tracing is None else [lambda _: tracing.close()]))
        if self._file is not None:
            self._file.close()

    def _observe(self, session: Session) -> EventSink | None:
        """For the runtime: a new instance."""
        self._retire()
        with self._lock:
            self._sessions.append(session)

        spans: dict[int, tuple[int, int] | None] = {}

        def hear(event: Event) -> None:
            if isinstance(event, CallEnded):
                self._tell_end(session)
            elif isinstance(event, Anomaly):
                # The end may come when the call is over: it belongs where the beginning did.
                span = spans.pop(event.number) if event.number in spans else self._span_of(session)
                if event.ended_us is None:
                    spans[event.number] = span
                self._pipeline.anomaly(event, session.subject.info.name, span)

        session.observe(hear)
        session.rest(hear, True)
        return None if self._tracing is None else self._tracing.observe(session)

    def _tell_end(self, session: Session) -> None:
        """A log record if the call trapped, or was stopped."""
        span = self._span_of(session)
        self._queue.put([replace(each, span=span) for each in end_entries(session.snapshot(top=0))])

    def _span_of(self, session: Session) -> tuple[int, int] | None:
        """Trace and span of the call from the host that is open, if it is sampled."""
        root = None if self._tracing is None else self._tracing.roots.get(session)
        return None if root is None else (root.context.trace_id, root.context.span_id)

    def _retire(self) -> None:
        """Of instances that are closed only the counts are kept."""
        with self._lock:
            over = [each for each in self._sessions if each.live is not None and each.live.closed]
            self._sessions = [each for each in self._sessions if each not in over]
        for session in over:
            self._scrape.retire(session.snapshot())

    def _snapshots(self) -> Iterable[Snapshot]:
        with self._lock:
            sessions = list(self._sessions)
        return [session.snapshot() for session in sessions]

    def _lost(self) -> Mapping[tuple[str, str], int]:
        return {(self._service, reason): count for reason, count in self._losses.by_reason.items()}
