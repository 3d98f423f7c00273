"""Prometheus metrics, made at the scrape from the snapshots of that moment. `docs/metrics.md` lists them."""

from __future__ import annotations

import importlib.metadata
import platform
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric
from prometheus_client.samples import Exemplar as Linked

from wasmtrace.exporters.exemplars import LINKED, Exemplars
from wasmtrace.exporters.families import COUNTERS, GAUGES, INFOS, Family
from wasmtrace.exporters.scrape import DEFAULT_TOP, Lost, Samples, Scrape
from wasmtrace.exporters.series import OTHER, Key
from wasmtrace.exporters.text import printable
from wasmtrace.records import Snapshot

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class SnapshotCollector:
    """A `prometheus_client` collector over the runs that `read` gives; the arguments are those of `Scrape`.

    `exemplars` are shown to those who ask for OpenMetrics.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Snapshot]],
        *,
        top: int = DEFAULT_TOP,
        reserved: int | None = None,
        lost: Lost | None = None,
        exemplars: Exemplars | None = None,
    ) -> None:
        self._exemplars = exemplars
        self._scrape = Scrape(read, top=top, reserved=reserved, lost=lost)

    def retire(self, snapshot: Snapshot) -> None:
        """Keep the final counts of a run that `read` no longer gives; see `Scrape`."""
        self._scrape.retire(snapshot)

    def collect(self) -> list[Metric]:
        """All metrics at this moment."""
        return [*_metrics(self._scrape.samples(), self._exemplars), _build_info()]

    def describe(self) -> list[Metric]:
        """All metrics without samples: registering a collector does not count as a scrape."""
        return [*_metrics({}), _build_info()]


def _metrics(samples: Samples, exemplars: Exemplars | None = None) -> Iterator[Metric]:
    for name, family in COUNTERS.items():
        counter = CounterMetricFamily(family.name, family.help, labels=family.labels)
        yield _filled(counter, family, samples.get(name, []))
        if exemplars is not None and name in LINKED:
            _link(counter, name, family, exemplars)
    for name, family in GAUGES.items():
        gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        yield _filled(gauge, family, samples.get(name, []))
    for name, family in INFOS.items():
        info = InfoMetricFamily(family.name, family.help)
        for key, _ in samples.get(name, []):
            info.add_metric([], dict(zip(family.labels, key, strict=True)))
        yield info


def _filled(metric: CounterMetricFamily | GaugeMetricFamily, family: Family, rows: list[tuple[Key, float]]) -> Metric:
    for key, value in rows:
        if value or not family.only_if_seen or OTHER in key:
            metric.add_metric(key, value / family.divisor)
    return metric


def _link(metric: Metric, name: str, family: Family, exemplars: Exemplars) -> None:
    """Gives samples the spans that show them."""
    for at, sample in enumerate(metric.samples):
        found = exemplars.of(name, tuple(sample.labels[each] for each in family.labels))
        if found is not None:
            exemplar, value = found
            ids = {"trace_id": f"{exemplar.trace_id:032x}", "span_id": f"{exemplar.span_id:016x}"}
            metric.samples[at] = sample._replace(exemplar=Linked(ids, value, exemplar.at_unix_ns / 1e9))


def _build_info() -> Metric:
    try:
        version = importlib.metadata.version("wasmtrace")
    except importlib.metadata.PackageNotFoundError:
        version = "unknown"
    info = InfoMetricFamily("wasmtrace_build", "Version of wasmtrace and of the Python that runs it.")
    info.add_metric([], {"version": version, "python_version": platform.python_version()})
    return info


def encode_text(collector: SnapshotCollector) -> bytes:
    """One scrape of the collector in the Prometheus text format, for `/metrics` or a file."""
    return generate_latest(collector)


def encode_snapshots(snapshots: Iterable[Snapshot], *, top: int = DEFAULT_TOP, lost: Lost | None = None) -> bytes:
    """Snapshots that will not be scraped again, as text: no place is kept free for later."""
    held = tuple(snapshots)
    return encode_text(SnapshotCollector(lambda: held, top=top, reserved=0, lost=lost))


def metrics_app(collector: SnapshotCollector) -> WSGIApplication:
    """A WSGI application that answers each GET with a scrape, in the format that the client asks for."""
    registry = CollectorRegistry()
    registry.register(collector)
    negotiate = make_wsgi_app(registry)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        # prometheus_client 0.26 compares the version in an Accept header with numbers: `version=x` raises
        for attempt in (environ, {**environ, "HTTP_ACCEPT": ""}):
            try:
                return list(negotiate(attempt, start_response))
            except Exception as error:
                failure = error
        start_response("500 Internal Server Error", [("Content-Type", "text/plain; charset=utf-8")])
        return [f"cannot read the telemetry: {printable(str(failure))}\n".encode()]

    return app
