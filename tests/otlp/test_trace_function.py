"""`--trace-function` and runs that are not sampled, with a real receiver."""

from __future__ import annotations

import itertools
import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from command import Done, wasmtrace
from receiver import Receiver, attributes, until
from test_traces import CALLER, PROTOCOLS, drawn, is_error, named, saved
from test_traces_api import to_file
from wasmtrace.api import Runtime, RuntimeConfig
from wasmtrace.records import Event, SlowCall, TracedCall
from wasmtrace.tracing import TraceOptions, Tracing

CALLS = """
(module
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $nap (param $ms i64)
    (i64.store (i32.const 0) (i64.const 1))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.mul (local.get $ms) (i64.const 1000000)))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
  (func $leaf (param i32) (result i32) (if (local.get 0) (then (return (i32.const 1)))) (i32.const 2))
  (func $handle (loop) (drop (call $leaf (i32.const 1))) (drop (call $leaf (i32.const 0))))
  (func $between (loop) (call $handle))
  (func $request (call $between) (call $nap (i64.const 20)) (call $between) (drop (call $close (i32.const 99))))
  (func (export "few") (call $between) (call $request) (drop (memory.grow (i32.const 2))))
  (func (export "nap") (call $nap (i64.const 5)))
  (func (export "many") (param $n i32)
    (loop $l (call $between) (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
"""
FEW = ("--trace-function", "handle", "--trace-function", "leaf", "--trace-function", "close")


@pytest.fixture
def calls(tmp_path: Path) -> Path:
    path = tmp_path / "calls.wat"
    path.write_text(CALLS)
    return path


def run(
    calls: Path,
    export: str,
    *options: str | Path,
    words: tuple[str, ...] = (),
    variables: Mapping[str, str] | None = None,
) -> Done:
    line = ("run", "--no-summary", *options, "--invoke", export, calls, *words)
    return wasmtrace(calls.parent, *line, **(variables or {}))  # type: ignore[arg-type]


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_each_call_is_a_span_among_the_slow_ones(calls: Path, collector: Receiver, protocol: str) -> None:
    done = run(calls, "few", "--otlp", *FEW, variables=collector.environment(protocol))
    assert (done.code, done.err) == (0, "")
    spans = until(lambda: [each for each in collector.spans() if each], waiting_for="spans")
    assert drawn(spans) == [
        "calls.wat",
        "  few",
        *("    handle", "      leaf", "      leaf"),
        "    request",
        *("      handle", "        leaf", "        leaf"),
        *("      nap", "        poll"),
        *("      handle", "        leaf", "        leaf"),
        "      close",
    ]
    handles = [each for each in spans if each["name"] == "handle"]
    told = attributes(min(handles, key=lambda each: int(each["start_time_unix_nano"])))
    assert (int(told["wasm.call.depth"]), int(told["wasm.call.elided_depth"])) == (2, 1)
    close = named(spans, "close")
    assert (int(attributes(close)["wasm.host_call.errno"]), is_error(close)) == (8, True)
    root = named(spans, "calls.wat")
    assert "wasm.calls.left_out" not in attributes(root)
    [grew] = root["events"]
    told = attributes(grew)
    assert (grew["name"], told["code.function.name"]) == ("wasm.memory.grew", "few")
    assert (int(told["wasm.memory.delta_pages"]), int(told["wasm.memory.pages"])) == (2, 3)


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_the_budget_bounds_them_and_all_others_are_counted(calls: Path, collector: Receiver, protocol: str) -> None:
    traced = ("--trace-function", "leaf", "--slow", "100000")
    options = ("--otlp", "--span-budget", "50", *traced, "--report", calls.parent / "report")
    done = run(calls, "many", *options, words=("30000",), variables=collector.environment(protocol))
    assert (done.code, done.err) == (0, "")
    spans = until(lambda: [each for each in collector.spans() if each], waiting_for="spans")
    kept = [each for each in spans if each["name"] == "leaf"]
    root = named(spans, "calls.wat")
    seconds = (int(root["end_time_unix_nano"]) - int(root["start_time_unix_nano"])) / 1e9
    assert 100 <= len(kept) <= 100 + 50 * (seconds + 0.25)
    assert len(kept) + int(attributes(root)["wasm.calls.left_out"]) == 60_000
    assert {each["name"] for each in root.get("events", ())} == set()
    functions = {each["name"]: each for each in json.loads((calls.parent / "report").read_text())["functions"]}
    assert functions["leaf"]["calls"] == 60_000
    assert functions["leaf"]["slow_calls"] == 0


def test_without_a_budget_there_is_a_span_for_each(calls: Path, tmp_path: Path) -> None:
    options = ("--otlp-file", tmp_path / "spans", "--span-budget", "0", "--trace-function", "leaf")
    done = run(calls, "many", *options, words=("2000",))
    assert (done.code, done.err) == (0, "")
    spans = saved(tmp_path / "spans")
    assert len([each for each in spans if each["name"] == "leaf"]) == 4000
    assert "wasm.calls.left_out" not in attributes(named(spans, "calls.wat"))


def test_a_glob_that_names_nothing_is_said_and_one_without_traces_refused(calls: Path, tmp_path: Path) -> None:
    done = run(calls, "nap", "--otlp-file", tmp_path / "spans", "--trace-function", "x*", "--trace-function", "nap")
    assert (done.code, done.err) == (0, "wasmtrace: no function of this module is named by --trace-function x*\n")
    assert run(calls, "nap", "--trace-function", "nap").code == 2
    done = run(calls, "nap", "--otlp-file", tmp_path / "spans", "--level", "calls", "--trace-function", "nap")
    assert done.code == 2


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("sampled", [True, False], ids=["sampled", "not-sampled"])
def test_a_run_that_is_not_sampled_makes_no_records(
    calls: Path, collector: Receiver, protocol: str, sampled: bool
) -> None:
    variables = {**collector.environment(protocol), "OTEL_TRACES_SAMPLER": "always_on" if sampled else "always_off"}
    report = calls.parent / "report"
    done = run(calls, "nap", "--otlp", *FEW, "--report", report, variables=variables)
    assert (done.code, done.err) == (0, "")
    points = until(collector.metric_points, waiting_for="metrics")
    assert bool(collector.spans()) is sampled
    assert max(int(each.get("as_int") or 0) for each in points["wasmtrace.records_read"]) == (3 if sampled else 0)
    assert max(int(each.get("as_int") or 0) for each in points["wasmtrace.function.slow_calls"]) >= 1
    found = json.loads(report.read_text())
    told = next(each for each in found["functions"] if each["raw_name"] == "nap" and each["slow_calls"])
    assert told["slowest_seconds"] >= 0.004


@pytest.mark.parametrize("others", [False, True], ids=["alone", "somebody-else-listens"])
def test_a_call_that_is_not_sampled_makes_no_records(tmp_path: Path, others: bool) -> None:
    heard: list[Event] = []
    tracing = Tracing(lambda: to_file(tmp_path / "spans"), TraceOptions(each_call=True))
    config = RuntimeConfig(
        observers=(tracing.observe,),
        sinks=(heard.append,) if others else (),
        trace_functions=("leaf",),
        engine_cache=False,
    )
    read = []
    with Runtime(config) as runtime, runtime.instantiate(runtime.load(CALLS.encode(), name="calls")) as instance:
        for flags in ("00", "01", "00"):
            with tracing.called_by({"TRACEPARENT": CALLER[:-2] + flags}):
                instance.call("few")
            read.append(instance.snapshot().cost.records_read)
        calls = {each.name: each.slow_calls for each in instance.snapshot().functions}
        tracing.close()
    spans = saved(tmp_path / "spans")
    assert len([each for each in spans if each["name"] == "leaf"]) == 6
    assert {each["trace_id"] for each in spans} == {CALLER.split("-")[1]}
    assert calls["request"] == 3
    if others:
        assert read[0] < read[1] < read[2]
        assert len([each for each in heard if isinstance(each, TracedCall)]) == 18
        assert [each.function.name for each in heard if isinstance(each, SlowCall)].count("request") == 3
    else:
        assert read[0] == 0 < read[1] == read[2]


def test_traced_calls_from_python_without_traces() -> None:
    heard: list[Event] = []
    config = RuntimeConfig(sinks=(heard.append,), trace_functions=("leaf",), engine_cache=False)
    with Runtime(config) as runtime, runtime.instantiate(runtime.load(CALLS.encode())) as instance:
        instance.call("many", 3)
    found = [each for each in heard if isinstance(each, TracedCall)]
    assert [(each.function.name, each.depth, each.host, each.errno) for each in found] == [("leaf", 3, False, 0)] * 6
    assert all(first.start_us < second.start_us for first, second in itertools.pairwise(found))
