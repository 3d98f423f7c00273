"""Slow calls on metrics link to their spans: over OTLP, on `/metrics` in OpenMetrics format, and in Prometheus."""

from __future__ import annotations

import base64
import json
import re
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics

from command import started, wasmtrace
from hand_made import snapshot
from otlp_guests import LOOP, SLOW, guest
from receiver import Receiver, until
from servers import prometheus
from test_traces import PROTOCOLS, saved
from wasmtrace.exporters.exemplars import Exemplar, Exemplars, function_key, host_key
from wasmtrace.exporters.prometheus import SnapshotCollector, encode_text

OPENMETRICS = "application/openmetrics-text; version=1.0.0"
SERIES = {
    "function_slow_calls": {"nap"},
    "function_slow": {"nap"},
    "host_slow_calls": {"poll_oneoff"},
    "host_slow": {"poll_oneoff"},
}


@dataclass(frozen=True, slots=True)
class Link:
    """An exemplar as somebody else gives it."""

    metric: str
    function: str
    trace_id: str
    span_id: str
    value: float
    at_unix_ns: float


def _check(links: list[Link], spans: list[dict[str, Any]]) -> None:
    """Each is the span of a slow call of that function, of that length and end; every series has one."""
    by_id = {(each["trace_id"], each["span_id"]): each for each in spans}
    for link in links:
        span = by_id[link.trace_id, link.span_id]
        start_ns, end_ns = int(span["start_time_unix_nano"]), int(span["end_time_unix_nano"])
        assert link.function in span["name"]
        # A double of seconds since 1970 has microseconds, and some text formats show fewer.
        assert abs(link.at_unix_ns - end_ns) <= 1_000_000
        expected = 1 if link.metric.endswith("_calls") else (end_ns - start_ns) / 1e9
        assert link.value == pytest.approx(expected, abs=1e-6)
    assert {(link.metric, link.function) for link in links} >= {
        (metric, function) for metric, functions in SERIES.items() for function in functions
    }


def _received(points: dict[str, list[dict[str, Any]]], id_text: Any) -> list[Link]:
    """Those of OTLP, by the names of the protocol's JSON form with underscores."""
    return [
        Link(
            name.removeprefix("wasmtrace.").replace(".", "_"),
            point["attributes"]["function"],
            id_text(each["trace_id"]),
            id_text(each["span_id"]),
            float(each.get("as_double", each.get("as_int", 0))),
            int(each["time_unix_nano"]),
        )
        for name, its in points.items()
        for point in its
        for each in point.get("exemplars", ())
    ]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_over_the_wire(collector: Receiver, tmp_path: Path, protocol: str) -> None:
    more = {"OTEL_METRIC_EXPORT_INTERVAL": "200", **collector.environment(protocol)}
    done = wasmtrace(tmp_path, "run", "--no-summary", "--otlp", guest(tmp_path, SLOW), stdin=b"", **more)
    assert done.code == 3, done.err
    links = _received(collector.metric_points(), str)
    _check(links, collector.spans())
    # Each is sent once, with the first points after it.
    assert len({(link.metric, link.span_id) for link in links}) == len(links) >= 2 * len(SERIES)


def test_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "all.jsonl"
    wasmtrace(tmp_path, "run", "--no-summary", f"--otlp-file={path}", guest(tmp_path, SLOW))
    links = [
        Link(
            metric["name"].removeprefix("wasmtrace.").replace(".", "_"),
            next(each["value"]["stringValue"] for each in point["attributes"] if each["key"] == "function"),
            each["traceId"],
            each["spanId"],
            each["asDouble"],
            int(each["timeUnixNano"]),
        )
        for line in path.read_text().splitlines()
        for resource in json.loads(line).get("resourceMetrics", ())
        for scope in resource["scopeMetrics"]
        for metric in scope["metrics"]
        for point in metric.get("sum", {}).get("dataPoints", ())
        for each in point.get("exemplars", ())
    ]
    _check(links, saved(path))


@contextmanager
def _running(folder: Path, *options: str | Path, **more: str) -> Iterator[str]:
    """A guest that goes on, and the address of its metrics."""
    command = ["run", "--no-summary", "--metrics", "127.0.0.1:0", *options, guest(folder, LOOP)]
    with started(folder, command, **more) as process:
        assert process.stderr is not None
        found = re.search(r"http://(\S+)/metrics", process.stderr.readline().decode())
        assert found is not None
        yield found[1]


def _scraped(address: str, accept: str) -> str:
    request = urllib.request.Request(f"http://{address}/metrics", headers={"Accept": accept})
    with urllib.request.urlopen(request, timeout=30) as answer:
        return str(answer.read().decode())


def _links_in(text: str) -> list[Link]:
    return [
        Link(
            re.sub("^wasmtrace_|(_seconds)?_total$", "", sample.name),
            sample.labels["function"],
            sample.exemplar.labels["trace_id"],
            sample.exemplar.labels["span_id"],
            sample.exemplar.value,
            float(sample.exemplar.timestamp) * 1e9,
        )
        for family in parse_openmetrics(text)  # type: ignore[no-untyped-call]
        for sample in family.samples
        if sample.exemplar is not None
    ]


def _links_of_all(text: str) -> list[Link]:
    """Once every series has one."""
    links = _links_in(text)
    return links if len(links) >= len(SERIES) else []


def test_on_metrics_in_openmetrics_format(tmp_path: Path) -> None:
    path = tmp_path / "spans.jsonl"
    with _running(tmp_path, f"--otlp-file={path}") as address:
        links = until(lambda: _links_of_all(_scraped(address, OPENMETRICS)), waiting_for="exemplars")
        assert "trace_id" not in _scraped(address, "text/plain")
        wanted = {link.span_id for link in links}
        spans = until(lambda: _all_of(wanted, _whole(path)), waiting_for="spans")
    _check(links, spans)


def _all_of(wanted: set[str], spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The spans, once all that are wanted have come."""
    return spans if wanted <= {each["span_id"] for each in spans} else []


def _with_plain_ids(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Hexadecimal ids, where the receiver has base64."""
    ids = ("trace_id", "span_id")
    return [{**span, **{name: base64.b64decode(span[name]).hex() for name in ids}} for span in spans]


def _whole(path: Path) -> list[dict[str, Any]]:
    """The spans of a file that is still written."""
    copy = path.with_suffix(".copy")
    text = path.read_bytes()
    copy.write_bytes(text[: text.rfind(b"\n") + 1])
    return saved(copy)


@pytest.mark.parametrize(
    ("options", "variables"),
    [
        pytest.param((), {}, id="not-traced"),
        pytest.param(("--otlp-file=spans",), {"OTEL_TRACES_SAMPLER": "always_off"}, id="not-sampled"),
        pytest.param(("--otlp-file=spans",), {"OTEL_TRACES_EXPORTER": "none"}, id="no-traces"),
    ],
)
def test_without_spans_there_are_none(tmp_path: Path, options: tuple[str, ...], variables: dict[str, str]) -> None:
    given = [each.replace("=", f"={tmp_path}/") for each in options]

    def slow_calls(text: str) -> float:
        return sum(
            sample.value
            for family in parse_openmetrics(text)  # type: ignore[no-untyped-call]
            for sample in family.samples
            if sample.name == "wasmtrace_host_slow_calls_total"
        )

    with _running(tmp_path, *given, **variables) as address:
        text = until(
            lambda: found if slow_calls(found := _scraped(address, OPENMETRICS)) > 20 else "", waiting_for="slow calls"
        )
    assert _links_in(text) == []


def test_prometheus_has_them(tmp_path: Path, collector: Receiver) -> None:
    with _running(tmp_path, "--otlp", **collector.environment("http/protobuf")) as address:
        scrape = {"job_name": "guest", "scrape_interval": "1s", "static_configs": [{"targets": [address]}]}
        options = ("--enable-feature=exemplar-storage",)
        with prometheus(tmp_path, {"scrape_configs": [scrape]}, *options) as server:

            def asked() -> list[Link]:
                query = '{__name__=~"wasmtrace_.*_slow_.*"}'
                found = server.get("/api/v1/query_exemplars", query=query, start="0", end="4000000000")["data"]
                return [
                    Link(
                        re.sub("^wasmtrace_|(_seconds)?_total$", "", series["seriesLabels"]["__name__"]),
                        series["seriesLabels"]["function"],
                        each["labels"]["trace_id"],
                        each["labels"]["span_id"],
                        float(each["value"]),
                        each["timestamp"] * 1e9,
                    )
                    for series in found
                    for each in series["exemplars"]
                ]

            links = until(lambda: found if len(found := asked()) >= len(SERIES) else [], waiting_for="exemplars")
            wanted = {link.span_id for link in links}
            spans = until(lambda: _all_of(wanted, _with_plain_ids(collector.spans())), waiting_for="spans")
    _check(links, spans)


def test_the_latest_of_each_series_is_kept() -> None:
    exemplars = Exemplars(most=2)
    first, second = function_key("m", "f"), host_key("m", "n", "f")
    exemplars.note(first, Exemplar(1, 1, 0.5, 100))
    exemplars.note(first, Exemplar(1, 2, 0.25, 90))
    assert exemplars.of("function_slow_ns", first) == (Exemplar(1, 1, 0.5, 100), 0.5)
    assert exemplars.of("function_slow_calls", first) == (Exemplar(1, 1, 0.5, 100), 1.0)
    assert exemplars.of("function_calls", first) is None
    assert exemplars.of("function_slow_calls", second) is None
    exemplars.note(second, Exemplar(1, 3, 0.5, 110))
    exemplars.note(function_key("m", "g"), Exemplar(1, 4, 0.5, 120))
    assert exemplars.of("function_slow_calls", first) is None
    assert exemplars.of("host_slow_calls", second) is not None


def test_text_is_the_same_with_exemplars() -> None:
    exemplars = Exemplars()
    run = snapshot()
    for each in run.functions:
        exemplars.note(function_key(run.module.name, each.name), Exemplar(1, 2, 0.5, 100))
    assert encode_text(SnapshotCollector(lambda: (run,), exemplars=exemplars)) == encode_text(
        SnapshotCollector(lambda: (run,))
    )
