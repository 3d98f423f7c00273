"""The metrics of `/metrics` as observable instruments on a periodic reader.

`exporters.families` is the one definition of both: name, description, unit, type, labels. The name here is the one
that OpenTelemetry's own translation to Prometheus turns into the name there: without unit and `_total`, and with dots
after the first words. Attributes have the labels' names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from functools import partial

from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import Exemplar as SdkExemplar
from opentelemetry.sdk.metrics import ExemplarReservoir, MeterProvider, ObservableCounter, ObservableGauge
from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.metrics.view import View
from opentelemetry.sdk.resources import Resource
from opentelemetry.util.types import Attributes

from wasmtrace.exporters.exemplars import LINKED, Exemplars
from wasmtrace.exporters.families import COUNTERS, GAUGES, INFOS, Family
from wasmtrace.exporters.scrape import Samples, Scrape
from wasmtrace.exporters.series import OTHER, Key

_SPACES = ("function_", "host_", "run_", "clock_")
_UNIT_WORDS = {"s": "_seconds", "By": "_bytes"}
MOST_SERIES = 1 << 20
"""Of one instrument, for the SDK. `exporters.scrape` bounds them by module before they come there."""


def otlp_name(family: Family) -> str:
    """Such as `wasmtrace.function.slow` for `wasmtrace_function_slow_seconds_total`."""
    rest = family.name.removeprefix("wasmtrace_").removesuffix("_total")
    rest = rest.removesuffix(_UNIT_WORDS.get(family.unit, "\0"))
    for space in _SPACES:
        if rest.startswith(space):
            rest = f"{space[:-1]}.{rest.removeprefix(space)}"
    return f"wasmtrace.{rest}"


def info_name(family: Family) -> str:
    """Of a gauge that is always 1 and whose attributes tell something."""
    return f"{otlp_name(family)}.info"


class MetricsExport:
    """Sends the samples of `scrape` through `exporter` every `interval_seconds`, and once at the end.

    `close` sends for the last time and returns when that was done, or has failed.
    """

    def __init__(
        self,
        scrape: Scrape,
        exporter: MetricExporter,
        resource: Resource,
        *,
        interval_seconds: float,
        exemplars: Exemplars | None = None,
    ) -> None:
        looks = _Looks(scrape)
        limits: CardinalityLimits = {ObservableCounter: MOST_SERIES, ObservableGauge: MOST_SERIES}
        reader = PeriodicExportingMetricReader(exporter, interval_seconds * 1000, cardinality_limits=limits)
        views = [] if exemplars is None else [_linked(key, exemplars) for key in sorted(LINKED)]
        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False, views=views)
        meter = self._provider.get_meter("wasmtrace")
        for key, family in COUNTERS.items():
            meter.create_observable_counter(
                otlp_name(family), [_callback(looks, key, family)], family.unit, family.help
            )
        for key, family in GAUGES.items():
            meter.create_observable_gauge(otlp_name(family), [_callback(looks, key, family)], family.unit, family.help)
        for key, family in INFOS.items():
            meter.create_observable_gauge(info_name(family), [_callback(looks, key, family)], "", family.help)

    def close(self, seconds: float) -> None:
        """Waits at most so long for the reader."""
        self._provider.shutdown(seconds * 1000)


class _Links(ExemplarReservoir):
    """The exemplars of one series, which are not sampled from what is observed: that is a sum. Each is given once."""

    def __init__(self, key: str, family: Family, exemplars: Exemplars, **_: object) -> None:
        self._key = key
        self._labels = family.labels
        self._exemplars = exemplars
        self._given_ns = 0

    def offer(self, value: float, time_unix_nano: int, attributes: Attributes, context: Context) -> None:
        """Nothing is taken."""

    def collect(self, point_attributes: Attributes) -> list[SdkExemplar]:
        attributes = point_attributes or {}
        series: Key = tuple(str(attributes.get(each, "")) for each in self._labels)
        found = self._exemplars.of(self._key, series)
        if found is None or found[0].at_unix_ns <= self._given_ns:
            return []
        exemplar, value = found
        self._given_ns = exemplar.at_unix_ns
        return [SdkExemplar({}, value, exemplar.at_unix_ns, exemplar.span_id, exemplar.trace_id)]


def _linked(key: str, exemplars: Exemplars) -> View:
    family = COUNTERS[key]
    reservoir = partial(_Links, key, family, exemplars)
    return View(instrument_name=otlp_name(family), exemplar_reservoir_factory=lambda _: reservoir)


class _Looks:
    """One look at the runs for all instruments of a collection: a new one when an instrument asks again."""

    def __init__(self, scrape: Scrape) -> None:
        self._scrape = scrape
        self._lock = threading.Lock()
        self._samples: Samples | None = None
        self._served: set[str] = set()

    def samples(self, name: str) -> Samples:
        with self._lock:
            if self._samples is None or name in self._served:
                self._samples = self._scrape.samples()
                self._served.clear()
            self._served.add(name)
            return self._samples


def _callback(looks: _Looks, key: str, family: Family) -> Callable[[CallbackOptions], Sequence[Observation]]:
    def observe(_: CallbackOptions) -> Sequence[Observation]:
        return list(_observations(looks.samples(key), key, family))

    return observe


def _observations(samples: Samples, key: str, family: Family) -> Iterator[Observation]:
    """What `/metrics` has at the same moment."""
    for labels, raw in samples.get(key, ()):
        if raw or not family.only_if_seen or OTHER in labels:
            value = raw / family.divisor if family.divisor != 1 else raw
            yield Observation(value, dict(zip(family.labels, labels, strict=True)))
