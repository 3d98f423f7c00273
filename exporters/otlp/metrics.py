"""The metrics of `/metrics` as observable instruments on a periodic reader.

`exporters.families` is the one definition of both: name, description, unit, type, labels. The name here is the one
that OpenTelemetry's own translation to Prometheus turns into the name there: without unit and `_total`, and with dots
after the first words. Attributes have the labels' names.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence

from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.sdk.metrics import MeterProvider, ObservableCounter, ObservableGauge
from opentelemetry.sdk.metrics.export import CardinalityLimits, MetricExporter, PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

from wasmtrace.exporters.families import COUNTERS, GAUGES, INFOS, Family
from wasmtrace.exporters.scrape import Samples, Scrape
from wasmtrace.exporters.series import OTHER

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
        self, scrape: Scrape, exporter: MetricExporter, resource: Resource, *, interval_seconds: float
    ) -> None:
        looks = _Looks(scrape)
        limits: CardinalityLimits = {ObservableCounter: MOST_SERIES, ObservableGauge: MOST_SERIES}
        reader = PeriodicExportingMetricReader(exporter, interval_seconds * 1000, cardinality_limits=limits)
        self._provider = MeterProvider([reader], resource, shutdown_on_exit=False)
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
