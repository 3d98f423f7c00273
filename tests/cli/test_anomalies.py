"""`wasmtrace run` tells of loops, hangs and growth while they go on, and of nothing else."""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families

from command import wasmtrace
from compiled import compile_c
from wasmtrace import Directory, Runtime, RuntimeConfig, Sandbox
from wasmtrace.records import Anomaly, AnomalyKind
from wasmtrace.runtime.anomaly.settings import AnomalySettings

# mode of tests/c/loops.c: options, its arguments, kind, function
BAD: dict[str, tuple[list[str], list[str], str, str]] = {
    "retry": ([], ["retry", "2.5"], "no_progress", "retry_open"),
    "loud": ([], ["loud", "2.5"], "no_progress", "retry_loudly"),
    "busy": ([], ["busy", "2.5"], "no_progress", "wait_busily"),
    "yield": ([], ["yield", "2.5"], "no_progress", "yield_busily"),
    "poll": ([], ["poll", "2.5"], "no_progress", "poll_without_timeout"),
    "degrade": (["--baseline-period", "3"], ["degrade", "5", "4"], "baseline", "look_up"),
    "leak": (["--growth-window", "3"], ["leak", "9"], "growth", "heap.BrkAllocator.alloc"),
    "watched": (["--watch", "look_up=1000"], ["serve", "2.5"], "call_rate", "look_up"),
}
GOOD = {
    "serve": ["serve", "3"],
    "back-off": ["back-off", "2"],
    "stamp": ["stamp", "2"],
    "copy": ["copy", "2"],
    "pipe": ["pipe", "2"],
}


def _run(tmp_path: Path, options: list[str], words: list[str]) -> tuple[int, str, dict[str, Any]]:
    report, work = tmp_path / "report.json", tmp_path / "work"
    work.mkdir()
    options = [*options, "--no-fuel", "--dir", f"{work}::/work", "--report", str(report)]
    done = wasmtrace(tmp_path, "run", *options, "--metrics-file", tmp_path / "m.prom", compile_c("loops"), *words)
    return done.code, done.err, json.loads(report.read_bytes())


@pytest.mark.parametrize(("options", "words", "kind", "function"), BAD.values(), ids=BAD)
def test_bad_loop_is_said_once(tmp_path: Path, options: list[str], words: list[str], kind: str, function: str) -> None:
    code, err, report = _run(tmp_path, options, words)
    assert code == 0, err
    assert [(each["kind"], each["function"]) for each in report["anomalies"]] == [(kind, function)], err
    assert len(re.findall(rf"^wasmtrace: anomaly \({kind}\): .*\b{re.escape(function)}\b", err, re.MULTILINE)) == 1
    assert report["anomalies"][0]["ended_seconds"] is not None
    samples = {
        sample.name: sample.value
        for family in text_string_to_metric_families((tmp_path / "m.prom").read_text())
        for sample in family.samples
        if sample.labels.get("kind") == kind and sample.labels.get("function") == function
    }
    assert samples == {"wasmtrace_anomalies_total": 1, "wasmtrace_anomaly_active": 0, "wasmtrace_anomaly_rate": 0}


@pytest.mark.parametrize("words", GOOD.values(), ids=GOOD)
def test_good_loop_is_not(tmp_path: Path, words: list[str]) -> None:
    code, err, report = _run(tmp_path, [], words)
    assert (code, report["anomalies"]) == (0, []), err
    assert "anomaly" not in err


@pytest.mark.parametrize("level", ["trace", "calls"])
def test_hang(tmp_path: Path, level: str) -> None:
    options = ["--hang-after", "1", "--timeout", "4", "--level", level]
    code, err, report = _run(tmp_path, options, ["spin", "1000"])
    assert code == 124
    (anomaly,) = report["anomalies"]
    assert anomaly["kind"] == "hang"
    if level == "trace":
        assert (anomaly["function"], anomaly["stack"][-1]["function"]) == ("spin", "spin")
    assert err.count("anomaly (hang)") == 2


def test_waiting_for_input_is_no_hang(tmp_path: Path) -> None:
    module = b"""
    (module
      (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
      (memory (export "memory") 1)
      (data (i32.const 16) "\\01\\00\\00\\00\\00\\00\\00\\00\\00\\5e\\d0\\b2\\00\\00\\00\\00")
      (func (export "_start") (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))
    """
    done = wasmtrace(tmp_path, "run", "--hang-after", "1", "-", stdin=module)
    assert done.code == 0, done.err
    assert "anomaly" not in done.err


def test_kill_ends_the_run_with_a_report(tmp_path: Path) -> None:
    code, err, report = _run(tmp_path, ["--on-anomaly", "kill"], ["retry", "1000"])
    assert code == 137
    assert report["outcome"] == "interrupted"
    assert report["message"].startswith("killed: retry_open calls path_open ")
    assert report["wall_seconds"] < 20
    assert report["anomalies"][0]["ended_seconds"] is not None
    assert "killed: retry_open" in err


def test_none_are_looked_for_if_so_asked(tmp_path: Path) -> None:
    code, err, report = _run(tmp_path, ["--no-anomalies"], ["busy", "2"])
    assert (code, report["anomalies"]) == (0, [])
    assert "anomaly" not in err


def test_baseline_from_a_report(tmp_path: Path) -> None:
    (tmp_path / "first").mkdir()
    (tmp_path / "second").mkdir()
    _run(tmp_path / "first", [], ["serve", "2"])
    baseline = str(tmp_path / "first" / "report.json")
    _, err, report = _run(tmp_path / "second", ["--baseline", baseline], ["degrade", "2.5"])
    assert [(each["kind"], each["function"]) for each in report["anomalies"]] == [("baseline", "look_up")], err


BAD_INPUT = {
    "empty glob": ["--watch", ""],
    "rate alone": ["--watch", "=3"],
    "rate in words": ["--watch", "foo=fast"],
    "rate of nothing": ["--watch", "foo=0"],
    "infinite rate": ["--watch", "foo=inf"],
    "negative threshold": ["--loop-threshold", "-3"],
    "no window": ["--loop-window", "0"],
    "hang never": ["--hang-after", "nan"],
    "no such action": ["--on-anomaly", "panic"],
    "contradiction": ["--on-anomaly", "kill", "--no-anomalies"],
    "no such baseline": ["--baseline", "{tmp}/absent.json"],
    "a directory": ["--baseline", "{tmp}"],
    "no JSON": ["--baseline", "{tmp}/text"],
    "another JSON": ["--baseline", "{tmp}/other"],
    "deep JSON": ["--baseline", "{tmp}/deep"],
    "short run": ["--baseline", "{tmp}/short"],
    "run of no time": ["--baseline", "{tmp}/zero"],
}


@pytest.mark.parametrize("words", BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_line(tmp_path: Path, words: list[str]) -> None:
    (tmp_path / "text").write_text("hello")
    (tmp_path / "other").write_text('{"functions": [1], "wall_seconds": 3}')
    (tmp_path / "deep").write_text("[" * 200_000)
    (tmp_path / "short").write_text('{"functions": [], "wall_seconds": 0.5}')
    (tmp_path / "zero").write_text('{"functions": [{"raw_name": "f", "calls": 1}], "wall_seconds": 0}')
    done = wasmtrace(tmp_path, "run", *[word.replace("{tmp}", str(tmp_path)) for word in words], compile_c("loops"))
    assert (done.code, done.out) == (2, b""), done.err
    assert re.fullmatch(r"wasmtrace: [^\n]+\n", done.err)


def test_operators_are_names_not_rates(tmp_path: Path) -> None:
    done = wasmtrace(
        tmp_path, "run", "--watch", "operator==", "--watch", "operator=", compile_c("loops"), "serve", "0.1"
    )
    assert done.code == 0, done.err


def test_hostile_name_reaches_no_terminal(tmp_path: Path) -> None:
    module = b"""
    (module
      (import "wasi_snapshot_preview1" "sched_yield" (func $yield (result i32)))
      (memory (export "memory") 1)
      (func $evil (export "\\1b]0;owned\\07\\0aline") (loop (drop (call $yield)) (br 0)))
      (func (export "_start") (call $evil)))
    """
    done = wasmtrace(tmp_path, "run", "--watch", "*yield", "--timeout", "3", "-", stdin=module)
    assert done.code == 124
    assert "anomaly (call_rate)" in done.err
    assert "\x1b" not in done.err
    assert "\x07" not in done.err


# From Python

EXPORTS = (
    b"""(module (func $step (export "step") (result i32) (i32.const 1)) (func (export "other") (drop (call $step))))"""
)


def test_host_that_calls_an_export_too_often() -> None:
    told: list[Anomaly] = []
    with Runtime(RuntimeConfig(on_anomaly=told.append)) as runtime, runtime.instantiate(runtime.load(EXPORTS)) as guest:
        ends = time.monotonic() + 30
        while not told and time.monotonic() < ends:
            guest.call("step")
        (shown,) = guest.snapshot().anomalies
    assert (told[0].kind, told[0].function.name, shown.number) == (AnomalyKind.CALL_RATE, "step", 1)
    assert "by the host" in told[0].message
    assert told[-1].ended_us is not None


def test_sinks_get_anomalies_and_a_raising_callback_harms_nobody(tmp_path: Path) -> None:
    events: list[object] = []

    def callback(anomaly: Anomaly) -> None:
        raise ValueError("no")

    settings = AnomalySettings(loop_window_seconds=0.5)
    config = RuntimeConfig(fuel=False, sinks=(events.append,), on_anomaly=callback, anomalies=settings)
    sandbox = Sandbox(args=("loops", "retry", "2"), dirs=[Directory(tmp_path, "/work")])
    with Runtime(config) as runtime, runtime.start(runtime.load(compile_c("loops")), sandbox) as run:
        run.wait()
        assert run.result().exit_code == 0
        assert run.instance.session.anomaly_callback_errors == 2
    anomalies = [each for each in events if isinstance(each, Anomaly)]
    assert [each.ended_us is None for each in anomalies] == [True, False]
