"""Traces from Python: each call a trace of its own; the budget; a threshold that moves while calls are open."""

from __future__ import annotations

import contextlib
from pathlib import Path
from typing import Any

import pytest

from receiver import attributes
from test_traces import CALLER, FUEL, NAPS, drawn, named, saved
from wasmtrace.api import Runtime, RuntimeConfig
from wasmtrace.exporters.otlp.config import otlp_settings
from wasmtrace.exporters.otlp.linefile import LineFile
from wasmtrace.exporters.otlp.losses import Losses
from wasmtrace.exporters.otlp.senders import span_exporter
from wasmtrace.exporters.otlp.traces import TraceExport
from wasmtrace.instance import GuestStopped
from wasmtrace.tracing import TraceOptions, Tracing


def to_file(path: Path) -> TraceExport:
    settings, losses = otlp_settings({}, send=False), Losses()
    exporter = span_exporter(settings, LineFile(path), losses)
    assert exporter is not None
    return TraceExport(settings, {}, exporter, losses, {"service.name": "test"}, "0")


def test_each_trace_has_the_fuel_of_its_call(tmp_path: Path) -> None:
    path = tmp_path / "spans"
    tracing = Tracing(lambda: to_file(path), TraceOptions(each_call=True))
    calls = ("failing", "empty", "crash", "failing", "empty")
    with (
        Runtime(RuntimeConfig(observers=(tracing.observe,), engine_cache=False)) as runtime,
        runtime.instantiate(runtime.load(NAPS.encode(), name="naps")) as instance,
    ):
        for each in calls:
            with contextlib.suppress(GuestStopped):
                instance.call(each)
        in_all = instance.snapshot().fuel
        tracing.close()
    roots = sorted((each for each in saved(path) if each["name"].startswith("naps ")), key=begun)
    told = [int(attributes(each)["wasm.fuel.consumed"]) for each in roots]
    assert [each["name"] for each in roots] == [f"naps {name}" for name in calls]
    assert told == [24, FUEL["empty"], FUEL["crash"], 24, FUEL["empty"]]
    assert in_all == sum(told)


def begun(span: dict[str, Any]) -> int:
    return int(span["start_time_unix_nano"])


def test_each_call_from_the_host_is_a_trace(tmp_path: Path) -> None:
    path = tmp_path / "spans"
    tracing = Tracing(lambda: to_file(path), TraceOptions(each_call=True))
    with Runtime(RuntimeConfig(observers=(tracing.observe,), engine_cache=False)) as runtime:
        program = runtime.load(NAPS.encode(), name="naps")
        with runtime.instantiate(program) as instance:
            with tracing.called_by({"TRACEPARENT": CALLER}):
                instance.call("failing")
            with pytest.raises(GuestStopped):
                instance.call("crash")
            instance.call("empty")
            tracing.close()
    spans = saved(path)
    roots = {name: named(spans, f"naps {name}") for name in ("failing", "crash", "empty")}
    assert len({each["trace_id"] for each in roots.values()}) == 3
    assert (roots["failing"]["trace_id"], roots["failing"]["parent_span_id"]) == tuple(CALLER.split("-")[1:3])
    of_crash = [each for each in spans if each["trace_id"] == roots["crash"]["trace_id"]]
    assert drawn(of_crash) == [
        "naps crash",
        "  crash",
        *("    work", "      nap", "        poll"),
        *("    boom", "      nap", "        poll"),
    ]
    assert [each["name"] for each in of_crash if each["events"]] == ["boom", "naps crash"]
