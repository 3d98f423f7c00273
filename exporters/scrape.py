"""What every reader of metrics must remember from one look to the next, and the samples of each look.

`/metrics` and OTLP have one `Scrape` each. It knows which functions have a series of their own, the highest counts
seen, and the sums of the runs that are over. Every counter of it only grows.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from wasmtrace.exporters.families import anomaly_gauges, gauges
from wasmtrace.exporters.series import BoundedSeries, Counts, Key
from wasmtrace.exporters.totals import FUNCTION_FIELDS, HOST_FIELDS, SumKey, Totals, label
from wasmtrace.records import ModuleInfo, Snapshot

DEFAULT_TOP = 200

# What makes a function or import worth a series (time, fuel, calls, memory), as places in the fields of `totals`.
_FUNCTION_MEASURES = ((2, 3), (6,), (0,), (4, 5))
_HOST_MEASURES = ((2, 3), (0,))
_ERROR_MEASURES = ((0,),)

Samples = dict[str, list[tuple[Key, float]]]
"""By metric name: label values, in the order of the family's label names, and the value."""

Lost = Callable[[], Mapping[tuple[str, str], int]]
"""Records lost on the way out, by the name of the module and the reason."""


class Scrape:
    """The samples of the runs that `read` gives.

    `top` bounds the functions of each module that have their own series (imports and errnos likewise);
    `reserved` of these places stay free at the first look (half, if not said) for what grows busy later.

    When a run is over, first let `read` give it no more, then call `retire` with its last snapshot, holding
    no lock that `read` takes. Any number of threads may look and retire at once.
    """

    def __init__(
        self,
        read: Callable[[], Iterable[Snapshot]],
        *,
        top: int = DEFAULT_TOP,
        reserved: int | None = None,
        lost: Lost | None = None,
    ) -> None:
        self._read = read
        self._top = top
        self._reserved = top - top // 2 if reserved is None else reserved
        self._lost = lost
        self._modules: dict[str, _ModuleSeries] = {}
        self._lock = threading.Lock()

    def retire(self, snapshot: Snapshot) -> None:
        """Keep the final counts of a run that `read` no longer gives."""
        with self._lock:
            self._module(label(snapshot.module.name)).retire(snapshot)

    def samples(self) -> Samples:
        """All samples at this moment."""
        with self._lock:
            return self._samples()

    def _samples(self) -> Samples:
        live: dict[str, list[Snapshot]] = {name: [] for name in self._modules}
        for snapshot in self._read():
            live.setdefault(label(snapshot.module.name), []).append(snapshot)
        samples: Samples = {}
        for name, snapshots in sorted(live.items()):
            for metric, key, value in self._module(name).scrape(snapshots):
                samples.setdefault(metric, []).append(((name, *key), value))
        for (name, reason), count in () if self._lost is None else self._lost().items():
            samples.setdefault("dropped", []).append(((label(name), reason), count))
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


def _fields(prefix: str, fields: tuple[str, ...], rows: list[tuple[Key, Counts]]) -> Iterator[tuple[str, Key, float]]:
    for key, counts in rows:
        for name, amount in zip(fields, counts, strict=True):
            yield f"{prefix}_{name}", key, amount


def _named(amounts: dict[SumKey, int]) -> Iterator[tuple[str, Key, float]]:
    for (name, value), amount in sorted(amounts.items()):
        yield name, (value,) if value else (), amount
