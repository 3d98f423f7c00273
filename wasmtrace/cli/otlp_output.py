"""Sends traces, metrics and logs of one run. OpenTelemetry is imported in a thread, while the module compiles."""

from __future__ import annotations

import argparse
import os
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from wasmtrace.cli import complain
from wasmtrace.cli.module_input import module_name
from wasmtrace.cli.otlp_options import DEFAULT_BUDGET, DEFAULT_FLUSH_AFTER
from wasmtrace.exporters.exemplars import Exemplars
from wasmtrace.exporters.otlp.batches import Batches
from wasmtrace.exporters.otlp.config import Signal, otlp_settings
from wasmtrace.exporters.otlp.entries import Item, weight
from wasmtrace.exporters.otlp.linefile import LineFile
from wasmtrace.exporters.otlp.losses import Losses
from wasmtrace.exporters.otlp.output import OutputRelay
from wasmtrace.exporters.scrape import Scrape
from wasmtrace.exporters.totals import label
from wasmtrace.records import Anomaly, ModuleInfo, Snapshot
from wasmtrace.runtime.sandbox import Sandbox
from wasmtrace.tracing import TraceOptions, Tracing
from wasmtrace.version import VERSION

if TYPE_CHECKING:
    from wasmtrace.exporters.otlp.pipeline import Pipeline
    from wasmtrace.exporters.otlp.traces import Root, TraceExport
    from wasmtrace.run import Run


class OtlpOutput:
    """Made before the module is loaded; `ready` before the guest starts, `finish` after its end.

    Raises `UsageError` for an endpoint that is none, `ExportError` for a file that cannot be written; `ready` raises
    `ExportError` for what else cannot work.
    """

    def __init__(self, arguments: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> None:
        self._module = module_name(arguments.module)
        self._settings = otlp_settings(environ, endpoint=arguments.otlp or None, send=arguments.otlp is not None)
        for warning in self._settings.warnings:
            complain(warning)
        self._losses = Losses()
        self._queue: Batches[Item] = Batches("logs", self._losses, weight)
        self._relay: OutputRelay | None = None
        if arguments.logs and not self._settings.disabled:
            self._relay = OutputRelay({"stdout": 1, "stderr": 2}, self._queue.put)
        self._file = None if arguments.otlp_file is None else LineFile(arguments.otlp_file)
        self._environ = environ
        self._pipeline: Pipeline | None = None
        self._root: Root | None = None
        self._error: Exception | None = None
        self._tracing: Tracing | None = None
        self._propagate: bool = arguments.propagate_env
        self._importing: threading.Thread | None = None
        if self._settings.disabled:
            return
        if Signal.TRACES in self._settings.silent:
            self._importing = threading.Thread(target=self._prepare, name="wasmtrace-otlp-import", daemon=True)
            self._importing.start()
        else:
            self._tracing = Tracing(self._make_traces, _trace_options(arguments))

    def _prepare(self) -> None:
        try:
            self._make_pipeline()
        except Exception as error:  # raised again by `ready`
            self._error = error

    def _make_pipeline(self) -> Pipeline:
        from wasmtrace.exporters.otlp.pipeline import Pipeline, Places
        from wasmtrace.exporters.otlp.senders import keep_quiet

        keep_quiet()
        places = Places(self._settings, self._file, self._losses)
        self._pipeline = Pipeline(places, self._environ, module_name=self._module, version=VERSION)
        return self._pipeline

    def _make_traces(self) -> TraceExport:
        traces = self._make_pipeline().traces(self._environ)
        assert traces is not None
        return traces

    def ready(self, module: ModuleInfo) -> None:
        """Waits until everything is imported; the root of the trace is known from then on."""
        if self._importing is not None:
            self._importing.join()
        if self._error is not None:
            raise self._error
        if self._tracing is not None:
            self._root = self._tracing.prepare(module)

    def sandbox(self, sandbox: Sandbox, module: ModuleInfo) -> Sandbox:
        """What the guest gets: streams that are told of, and the span of its run, if asked for."""
        if self._propagate and self._tracing is not None:
            sandbox = replace(sandbox, env={**sandbox.env, **self._tracing.guest_variables(module)})
        if self._relay is None:
            return sandbox
        return replace(sandbox, stdout=self._relay.path("stdout"), stderr=self._relay.path("stderr"))

    def config(self, notices: dict[str, Any]) -> dict[str, Any]:
        """For `RuntimeConfig`: who else hears of anomalies, and of slow calls."""
        first: Callable[[Anomaly], object] | None = notices.get("on_anomaly")

        def hear(anomaly: Anomaly) -> None:
            if self._pipeline is not None:
                self._pipeline.anomaly(anomaly, self._module)
            if first is not None:
                first(anomaly)

        observers = () if self._tracing is None else (self._tracing.observe,)
        return {**notices, "on_anomaly": hear, "observers": observers}

    def watch(self, run: Run) -> None:
        """Sends metrics of this run from now on, and logs."""
        if self._pipeline is not None:
            sampled = self._root is not None and self._root.sampled
            self._pipeline.start_logs(self._queue, self._root.context if self._root and sampled else None)
            self._pipeline.start_metrics(Scrape(lambda: (run.snapshot(),), lost=self.lost), self.exemplars)

    @property
    def exemplars(self) -> Exemplars | None:
        """Which spans show slow calls; None if there are no traces."""
        return None if self._tracing is None else self._tracing.exemplars

    def lost(self) -> Mapping[tuple[str, str], int]:
        """For `wasmtrace_dropped_records_total`."""
        return {(label(self._module), reason): count for reason, count in self._losses.by_reason.items()}

    def passed_on(self, seconds: float) -> bool:
        """Whether all that the guest has written is out; waits for that, at most so long."""
        return self._relay is None or self._relay.end(seconds)

    def finish(self, snapshot: Snapshot) -> None:
        """Sends the rest, waits a bounded time for that, and says in one line what was lost."""
        if self._tracing is not None:
            self._tracing.finish(snapshot)
        if self._pipeline is not None:
            self._pipeline.finish(snapshot, *self._closing())
        self.close()
        complaint = self._losses.complaint
        if complaint is not None:
            complain(complaint)

    def _closing(self) -> Iterator[Callable[[float], None]]:
        tracing = self._tracing
        if tracing is not None:
            yield lambda _: tracing.close()

    def close(self) -> None:
        if self._file is not None:
            self._file.close()


def _trace_options(arguments: argparse.Namespace) -> TraceOptions:
    budget, flush_after = arguments.span_budget, arguments.flush_after
    return TraceOptions(
        DEFAULT_BUDGET if budget is None else budget, DEFAULT_FLUSH_AFTER if flush_after is None else flush_after
    )
