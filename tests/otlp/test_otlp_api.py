"""OTLP from Python, with one object for all apps of a process, against the real receiver."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from compiled import compile_c
from receiver import Receiver, attributes, until
from test_traces import CALLER, NAPS, PROTOCOLS, saved
from wasmtrace import GuestStopped, Runtime, RuntimeConfig, Sandbox, UsageError
from wasmtrace.otlp import Otlp
from wasmtrace.records import Anomaly
from wasmtrace.runtime.anomaly.settings import AnomalySettings

CONFIG = RuntimeConfig(engine_cache=False)
TWICE = b"""
(module (func $twice (export "twice") (param i32) (result i32) (i32.shl (local.get 0) (i32.const 1))))
"""


def _call_twice(otlp: Otlp) -> None:
    with Runtime(otlp.config(CONFIG)) as runtime, runtime.instantiate(runtime.load(TWICE, name="t")) as app:
        assert app.call("twice", 4) == 8


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_three_signals_of_several_apps(collector: Receiver, protocol: str) -> None:
    with Otlp(environ=collector.environment(protocol), service="shop") as otlp, Runtime(otlp.config(CONFIG)) as runtime:
        naps, twice = runtime.load(NAPS.encode(), name="naps"), runtime.load(TWICE, name="twice")
        for _ in range(3):
            with runtime.instantiate(twice) as app:
                assert app.call("twice", 21) == 42
        with runtime.instantiate(naps) as app, pytest.raises(GuestStopped):
            app.call("crash")
    assert otlp.lost == {}
    assert otlp.warnings == ()
    spans = until(lambda: found if len(found := collector.spans()) >= 10 else [], waiting_for="spans")
    roots = [each["name"] for each in spans if each["name"].startswith(("naps ", "twice "))]
    assert sorted(roots) == ["naps crash", "twice twice", "twice twice", "twice twice"]
    (record,) = until(collector.log_records, waiting_for="log records")
    (crash,) = [each for each in spans if each["name"] == "naps crash"]
    assert (record["trace_id"], record["span_id"]) == (crash["trace_id"], crash["span_id"])
    assert record["attributes"]["exception.type"] == "unreachable"
    points = collector.metric_points()["wasmtrace.function.calls"]
    calls = {each["attributes"]["function"]: int(each["as_int"]) for each in points}
    assert (calls["twice"], calls["boom"], calls["work"]) == (3, 1, 1)
    for request, name in ((collector.traces()[0], "resource_spans"), (collector.metrics()[0], "resource_metrics")):
        assert attributes(request[name][0]["resource"])["service.name"] == "shop"


def test_a_collector_that_is_not_there_is_counted() -> None:
    with Otlp("http://127.0.0.1:9", environ={"OTEL_BSP_EXPORT_TIMEOUT": "2000"}) as otlp:
        _call_twice(otlp)
    assert sum(count for reason, count in otlp.lost.items() if reason.startswith("otlp_traces_")) == 1
    assert sum(count for reason, count in otlp.lost.items() if reason.startswith("otlp_metrics_")) > 30


@pytest.mark.parametrize(
    ("variables", "kinds"),
    [
        ({}, {"resourceSpans", "resourceMetrics"}),
        ({"OTEL_TRACES_EXPORTER": "none"}, {"resourceMetrics"}),
        ({"OTEL_METRICS_EXPORTER": "none"}, {"resourceSpans"}),
        ({"OTEL_TRACES_SAMPLER": "always_off"}, {"resourceMetrics"}),
        ({"OTEL_SDK_DISABLED": "true"}, set()),
    ],
    ids=["all", "no-traces", "no-metrics", "not-sampled", "disabled"],
)
def test_variables_hold(tmp_path: Path, variables: dict[str, str], kinds: set[str]) -> None:
    path = tmp_path / "lines"
    with Otlp(file=path, environ=variables) as otlp:
        _call_twice(otlp)
    assert {kind for line in path.read_text().splitlines() for kind in json.loads(line)} == kinds


def test_what_was_there_before_is_still_told() -> None:
    heard: list[Anomaly] = []
    first = RuntimeConfig(on_anomaly=heard.append, observers=(lambda session: None,))
    with Otlp("http://127.0.0.1:9", environ={"OTEL_SDK_DISABLED": "true"}) as otlp:
        config = otlp.config(first)
    assert config.observers[0] is first.observers[0]
    assert len(config.observers) == 2
    assert config.on_anomaly is first.on_anomaly


def test_an_anomaly_belongs_to_the_call_in_which_it_began(collector: Receiver) -> None:
    """Of several apps; its end, too, which comes when the call is over."""
    config = replace(CONFIG, anomalies=AnomalySettings(loop_window_seconds=0.3))
    loops = compile_c("loops").read_bytes()
    with Otlp(environ=collector.environment(PROTOCOLS[0])) as otlp, Runtime(otlp.config(config)) as runtime:
        calm = runtime.instantiate(runtime.load(TWICE, name="calm"))
        for name in ("first", "second"):
            program = runtime.load(loops, name=name)
            with runtime.instantiate(program, Sandbox(args=("loops", "busy", "1"))) as app, suppress(GuestStopped):
                app.call("_start")
            assert calm.call("twice", 1) == 2
        calm.close()
    spans = {each["name"]: each for each in collector.spans()}
    records = [each for each in collector.log_records() if each["event_name"].startswith("wasm.anomaly.")]
    assert sorted((each["attributes"]["wasm.module.name"], each["event_name"]) for each in records) == [
        (name, f"wasm.anomaly.{event}") for name in ("first", "second") for event in ("ended", "started")
    ]
    for record in records:
        call = spans[f"{record['attributes']['wasm.module.name']} _start"]
        assert (record["trace_id"], record["span_id"]) == (call["trace_id"], call["span_id"])


def test_an_endpoint_that_is_none() -> None:
    with pytest.raises(UsageError):
        Otlp("nowhere at all")


def test_the_file_has_the_trace_of_each_call(tmp_path: Path) -> None:
    path = tmp_path / "lines"
    with Otlp(file=path) as otlp, otlp.called_by({"TRACEPARENT": CALLER}):
        _call_twice(otlp)
    (root,) = saved(path)
    assert (root["name"], root["trace_id"], root["parent_span_id"]) == ("t twice", *CALLER.split("-")[1:3])
