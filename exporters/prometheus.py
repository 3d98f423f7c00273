"""Prometheus metrics, made at the scrape from the snapshots of that moment. `docs/metrics.md` lists them.

`SnapshotCollector` holds what a scrape must remember: which functions have a series of their own, the
highest counts seen, and the sums of the runs that are over. Every counter of it only grows.
"""

from __future__ import annotations

import importlib.metadata
import platform
import threading
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from prometheus_client import CollectorRegistry, generate_latest, make_wsgi_app
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily, Metric

from wasmtrace.exporters.families import COUNTERS, GAUGES, INFOS, Family, anomaly_gauges, gauges
from wasmtrace.exporters.series import OTHER, BoundedSeries, Counts, Key
from wasmtrace.exporters.text import printable
from wasmtrace.exporters.totals import FUNCTION_FIELDS, HOST_FIELDS, SumKey, Totals, label
from wasmtrace.records import ModuleInfo, Snapshot

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DEFAULT_TOP = 200

# What makes a function or import worth a series (time, calls, memory), as places in the fields of `totals`.
_FUNCTION_MEASURES = ((2, 3), (0,), (4, 5))
_HOST_MEASURES = ((2, 3), (0,))
_ERROR_MEASURES = ((0,),)

Samples = dict[str, list[tuple[Key, float]]]
"""By metric name: label values, in the order of the family's label names, and the value."""


class SnapshotCollector:
    """A `prometheus_client` collector over the runs that `read` gives.

    `top` bounds the functions of each module that have their own series (imports and errnos likewise);
    `reserved` of these places stay free at the first scrape (half, if not said) for what grows busy later.

    When a run is over, first let `read` give it no more, then call `retire` with its last snapshot, holding
    no lock that `read` takes. Any number of threads may scrape and retire at once.
    """

    def __init__(
        self, read: Callable[[], Iterable[Snapshot]], *, top: int = DEFAULT_TOP, reserved: int | None = None
    ) -> None:
        self._read = read
        self._top = top
        self._reserved = top - top // 2 if reserved is None else reserved
        self._modules: dict[str, _ModuleSeries] = {}
        self._lock = threading.Lock()

    def retire(self, snapshot: Snapshot) -> None:
        """Keep the final counts of a run that `read` no longer gives."""
        with self._lock:
            self._module(label(snapshot.module.name)).retire(snapshot)

    def collect(self) -> list[Metric]:
        """All metrics at this moment."""
        with self._lock:
            samples = self._samples()
        return [*_metrics(samples), _build_info()]

    def describe(self) -> list[Metric]:
        """All metrics without samples: registering a collector does not count as a scrape."""
        return [*_metrics({}), _build_info()]

    def _samples(self) -> Samples:
        live: dict[str, list[Snapshot]] = {name: [] for name in self._modules}
        for snapshot in self._read():
            live.setdefault(label(snapshot.module.name), []).append(snapshot)
        samples: Samples = {}
        for name, snapshots in sorted(live.items()):
            for metric, key, value in self._module(name).scrape(snapshots):
                samples.setdefault(metric, []).append(((name, *key), value))
        return samples

    def _module(self, name: str) -> _ModuleSeries:
        if name not in self._modules:
            self._modules[name] = _ModuleSeries.empty(slots=self._top, reserved=self._reserved)
        return self._modules[name]


@dataclass(slots=True)
class _ModuleSeries:
    """What is remembered of one module label from scrape to scrape."""

    functions: BoundedSeries
    host_calls: BoundedSeries
    errors: BoundedSeries
    anomalies: BoundedSeries
    retired: Totals = field(default_factory=Totals)
    sums: dict[SumKey, int] = field(default_factory=dict)
    last_info: ModuleInfo | None = None

    @classmethod
    def empty(cls, *, slots: int, reserved: int) -> _ModuleSeries:
        def series(labels: int, fields: int, measures: tuple[Counts, ...]) -> BoundedSeries:
            return BoundedSeries(labels, fields, measures, slots=slots, reserved=reserved)

        return cls(
            series(1, len(FUNCTION_FIELDS), _FUNCTION_MEASURES),
            series(2, len(HOST_FIELDS), _HOST_MEASURES),
            series(3, 1, _ERROR_MEASURES),
            series(2, 1, _ERROR_MEASURES),
        )

    def retire(self, snapshot: Snapshot) -> None:
        self.retired.add(snapshot)
        self.last_info = snapshot.module

    def scrape(self, live: list[Snapshot]) -> Iterator[tuple[str, Key, float]]:
        """Metric name, label values without the module, value."""
        totals = self.retired.copy()
        for snapshot in live:
            totals.add(snapshot)
        functions = self.functions.update(totals.functions, most_keys=self._most_functions(live))
        yield from _fields("function", FUNCTION_FIELDS, functions)
        yield from _fields("host", HOST_FIELDS, self.host_calls.update(totals.host_calls))
        yield from _fields("host", ("errors",), self.errors.update(totals.errors))
        for key, amount in totals.sums.items():
            self.sums[key] = max(amount, self.sums.get(key, 0))
        yield from _named(self.sums)
        yield from _named(totals.peaks)
        anomalies = self.anomalies.update(totals.anomalies)
        yield from (("anomalies", key, count) for key, (count,) in anomalies)
        yield from anomaly_gauges(live, [key for key, _ in anomalies])
        yield from gauges(live)
        for identity in sorted({(each.sha256, each.level.value) for each in self._infos(live)}):
            yield "module", identity, 1

    def _infos(self, live: list[Snapshot]) -> list[ModuleInfo]:
        last = [] if self.last_info is None else [self.last_info]
        return [each.module for each in live] or last

    def _most_functions(self, live: list[Snapshot]) -> int | None:
        """How many functions can be seen under this label; not known once it names several modules."""
        counts = {each.sha256: each.function_count for each in self._infos(live)}
        return max(counts.values()) if len(counts) == 1 else None


def _fields(
    prefix: str, fields: tuple[str, ...], rows: list[tuple[Key, Counts]]
) -> Iterator[tuple[str, Key, float]]:
    for key, counts in rows:
        for name, amount in zip(fields, counts, strict=True):
            yield f"{prefix}_{name}", key, amount


def _named(amounts: dict[SumKey, int]) -> Iterator[tuple[str, Key, float]]:
    for (name, value), amount in sorted(amounts.items()):
        yield name, (value,) if value else (), amount


def _metrics(samples: Samples) -> Iterator[Metric]:
    for name, family in COUNTERS.items():
        counter = CounterMetricFamily(family.name, family.help, labels=family.labels)
        yield _filled(counter, family, samples.get(name, []))
    for name, family in GAUGES.items():
        gauge = GaugeMetricFamily(family.name, family.help, labels=family.labels)
        yield _filled(gauge, family, samples.get(name, []))
    for name, family in INFOS.items():
        info = InfoMetricFamily(family.name, family.help)
        for key, _ in samples.get(name, []):
            info.add_metric([], dict(zip(family.labels, key, strict=True)))
        yield info


def _filled(
    metric: CounterMetricFamily | GaugeMetricFamily, family: Family, rows: list[tuple[Key, float]]
) -> Metric:
    for key, value in rows:
        if value or not family.only_if_seen or OTHER in key:
            metric.add_metric(key, value / family.divisor)
    return metric


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


def encode_snapshots(snapshots: Iterable[Snapshot], *, top: int = DEFAULT_TOP) -> bytes:
    """Snapshots that will not be scraped again, as text: no place is kept free for later."""
    held = tuple(snapshots)
    return encode_text(SnapshotCollector(lambda: held, top=top, reserved=0))


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
