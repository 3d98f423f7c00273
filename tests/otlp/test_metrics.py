"""The metrics over OTLP are those of `/metrics`: names, units, labels and values, on the wire and in memory."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.sdk.metrics.export import AggregationTemporality, MetricExporter, MetricExportResult, MetricsData
from opentelemetry.sdk.resources import Resource
from prometheus_client.parser import text_string_to_metric_families as parse_text

from command import wasmtrace
from hand_made import HOSTILE_NAMES, hostile, snapshot
from otlp_guests import EXIT_3, guest
from receiver import Receiver
from wasmtrace.exporters.families import COUNTERS, GAUGES, INFOS, Family
from wasmtrace.exporters.otlp.config import Temporality
from wasmtrace.exporters.otlp.metrics import MetricsExport, info_name, otlp_name
from wasmtrace.exporters.otlp.senders import _temporalities
from wasmtrace.exporters.prometheus import SnapshotCollector, encode_text
from wasmtrace.exporters.scrape import Scrape
from wasmtrace.records import FunctionStats, Snapshot

PROTOCOLS = ("grpc", "http/protobuf")
SENT_AT_END = 3600.0
NAMES = [
    ("function_calls", "wasmtrace.function.calls", "{call}"),
    ("function_slow_ns", "wasmtrace.function.slow", "s"),
    ("function_grown_pages", "wasmtrace.function.grown_pages", "{page}"),
    ("function_fuel", "wasmtrace.function.fuel", "{fuel}"),
    ("host_errors", "wasmtrace.host.call_errors", "{error}"),
    ("runs", "wasmtrace.runs", "{run}"),
    ("wall", "wasmtrace.run.wall", "s"),
    ("fuel", "wasmtrace.fuel_consumed", "{fuel}"),
    ("memory", "wasmtrace.memory", "By"),
    ("memory_peak", "wasmtrace.memory_peak", "By"),
    ("clock_late", "wasmtrace.clock.late_max", "s"),
    ("anomalies", "wasmtrace.anomalies", "{anomaly}"),
]


@pytest.mark.parametrize(("key", "name", "unit"), NAMES)
def test_name_and_unit(key: str, name: str, unit: str) -> None:
    family = (COUNTERS | GAUGES)[key]
    assert (otlp_name(family), family.unit) == (name, unit)


def _translated(family: Family) -> str:
    """What OpenTelemetry's translation to Prometheus makes of the name: no part of ours."""
    words = re.sub(r"[^a-zA-Z0-9_]", "_", otlp_name(family))
    unit = {"s": "_seconds", "By": "_bytes"}.get(family.unit, "")
    return words + unit + ("_total" if family.name in {each.name for each in COUNTERS.values()} else "")


@pytest.mark.parametrize("family", [*COUNTERS.values(), *GAUGES.values()], ids=lambda each: each.name)
def test_prometheus_would_give_it_the_name_of_metrics(family: Family) -> None:
    assert _translated(family) == family.name


@pytest.mark.parametrize("family", list(COUNTERS.values()), ids=lambda each: each.name)
def test_every_counter_has_a_unit(family: Family) -> None:
    assert family.unit


def test_no_two_have_one_name() -> None:
    names = [otlp_name(each) for each in (*COUNTERS.values(), *GAUGES.values())]
    names += [info_name(each) for each in INFOS.values()]
    assert len(names) == len(set(names))


class Kept(MetricExporter):
    """Keeps what is exported."""

    def __init__(self, temporality: Temporality = Temporality.CUMULATIVE) -> None:
        super().__init__(preferred_temporality=_temporalities(temporality))
        self.batches: list[MetricsData] = []

    def export(self, metrics_data: MetricsData, timeout_millis: float = 10_000, **_: object) -> MetricExportResult:
        self.batches.append(metrics_data)
        return MetricExportResult.SUCCESS

    def shutdown(self, timeout_millis: float = 30_000, **_: object) -> None:
        pass

    def force_flush(self, timeout_millis: float = 10_000) -> bool:
        return True

    def metrics(self) -> Iterator[tuple[int, Any]]:
        for number, batch in enumerate(self.batches):
            for resource in batch.resource_metrics:
                for scope in resource.scope_metrics:
                    for metric in scope.metrics:
                        yield number, metric


def exported(read: Callable[[], tuple[Snapshot, ...]]) -> Kept:
    kept = Kept()
    MetricsExport(Scrape(read), kept, Resource({}), interval_seconds=SENT_AT_END).close(10)
    return kept


Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


@pytest.mark.parametrize("runs", [(snapshot(),), (hostile("a\nb"),), (), (snapshot(), snapshot())], ids=[*"abcd"])
def test_same_series_and_values_as_metrics(runs: tuple[Snapshot, ...]) -> None:
    text = encode_text(SnapshotCollector(lambda: runs)).decode()
    expected: Series = {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for family in parse_text(text)
        for sample in family.samples
        if not sample.name.startswith(("wasmtrace_module_info", "wasmtrace_build_info"))
    }
    families = {otlp_name(each): each for each in (*COUNTERS.values(), *GAUGES.values())}
    found: Series = {}
    for _, metric in exported(lambda: runs).metrics():
        for point in metric.data.data_points:
            if metric.name in families:
                key = (families[metric.name].name, tuple(sorted(point.attributes.items())))
                assert key not in found
                found[key] = point.value
    assert found == expected


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_hostile_name(name: str) -> None:
    run = snapshot(functions=(FunctionStats(5, name, name, 7),))
    points = [
        point
        for _, metric in exported(lambda: (run,)).metrics()
        if metric.name == "wasmtrace.function.calls"
        for point in metric.data.data_points
    ]
    shown = [str(point.attributes["function"]) for point in points if point.value == 7]
    assert len(shown) == 1
    assert shown[0].isprintable() or not shown[0]
    assert len(shown[0].encode()) <= 4 * 200


def test_one_look_for_all_instruments() -> None:
    looks = 0

    def read() -> tuple[Snapshot, ...]:
        nonlocal looks
        looks += 1
        return (snapshot(),)

    assert len(exported(read).batches) == 1
    assert looks == 1


@pytest.mark.parametrize(
    ("preference", "expected"),
    [
        (Temporality.CUMULATIVE, AggregationTemporality.CUMULATIVE),
        (Temporality.LOWMEMORY, AggregationTemporality.CUMULATIVE),
        (Temporality.DELTA, AggregationTemporality.DELTA),
    ],
)
def test_temporality(preference: Temporality, expected: AggregationTemporality) -> None:
    kept = Kept(preference)
    MetricsExport(Scrape(lambda: (snapshot(),)), kept, Resource({}), interval_seconds=SENT_AT_END).close(10)
    found = {metric.name: metric.data for _, metric in kept.metrics()}
    assert found["wasmtrace.function.calls"].aggregation_temporality == expected
    assert found["wasmtrace.function.calls"].is_monotonic
    assert found["wasmtrace.function.fuel"].is_monotonic
    assert not hasattr(found["wasmtrace.memory"], "is_monotonic")


def test_bounded_as_metrics() -> None:
    functions = tuple(FunctionStats(index, f"f{index}", f"f{index}", index + 1) for index in range(10_000))
    many = snapshot(functions=functions)
    found = {metric.name: metric.data.data_points for _, metric in exported(lambda: (many,)).metrics()}
    assert len(found["wasmtrace.function.calls"]) <= 201
    assert sum(point.value for point in found["wasmtrace.function.calls"]) == sum(each.calls for each in functions)


def test_what_was_lost_is_a_metric() -> None:
    kept = Kept()
    scrape = Scrape(lambda: (snapshot(),), lost=lambda: {("app.wasm", "otlp_logs_refused"): 3})
    MetricsExport(scrape, kept, Resource({}), interval_seconds=SENT_AT_END).close(10)
    dropped = next(metric for _, metric in kept.metrics() if metric.name == "wasmtrace.dropped_records")
    assert {point.attributes["reason"]: point.value for point in dropped.data.data_points} == {
        "ring_full": 0,
        "otlp_logs_refused": 3,
    }


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_run_is_received(collector: Receiver, tmp_path: Path, protocol: str) -> None:
    done = wasmtrace(
        tmp_path, "run", "--no-summary", "--otlp", guest(tmp_path, EXIT_3), stdin=b"", **collector.environment(protocol)
    )
    assert (done.code, done.out, done.err) == (3, b"hello\nworld\nhello\nworld\n", "oops\n")
    points = collector.metric_points()
    calls = {point["attributes"]["function"]: int(point["as_int"]) for point in points["wasmtrace.function.calls"]}
    assert calls == {"_start": 1, "say": 2, "cry": 1, "(other)": 0}
    fuel = {point["attributes"]["function"]: int(point["as_int"]) for point in points["wasmtrace.function.fuel"]}
    assert fuel == {"_start": 6, "say": 2 * 6, "cry": 6, "(other)": 0}, "an instruction each, and one for each call"
    assert [int(point["as_int"]) for point in points["wasmtrace.fuel_consumed"]] == [sum(fuel.values())]
    host = {point["attributes"]["function"]: int(point["as_int"]) for point in points["wasmtrace.host.calls"]}
    assert host == {"fd_write": 3, "proc_exit": 1, "(other)": 0}
    runs = {point["attributes"]["outcome"]: int(point.get("as_int", 0)) for point in points["wasmtrace.runs"]}
    assert (runs["exited"], runs["trapped"]) == (1, 0)
    assert {point["attributes"]["module"] for point in points["wasmtrace.function.calls"]} == {"talk.wat"}


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("compression", ["gzip", "deflate"])
def test_compressed(collector: Receiver, tmp_path: Path, protocol: str, compression: str) -> None:
    if (protocol, compression) == ("http/protobuf", "deflate"):
        pytest.skip("the receiver does not take it")
    more = {"OTEL_EXPORTER_OTLP_COMPRESSION": compression, **collector.environment(protocol)}
    done = wasmtrace(tmp_path, "run", "--no-summary", "--otlp", guest(tmp_path, EXIT_3), stdin=b"", **more)
    assert (done.code, done.err) == (3, "oops\n")
    assert "wasmtrace.function.calls" in collector.metric_points()
