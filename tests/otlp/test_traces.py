"""Traces of real runs, read back from a real receiver over both protocols, and from the file."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from command import COMMAND, Done, environment, wasmtrace
from receiver import Receiver, attributes, until

PROTOCOLS = ("http/protobuf", "grpc")
TICK_NS = 1_000_000
LATE_NS = 60_000_000
"""Machines that run tests have other things to do: a tick may be so late."""
CALLER = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"

NAPS = """
(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "proc_exit" (func $quit (param i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_sizes_get" (func $sizes (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "environ_get" (func $environ (param i32 i32) (result i32)))
  (import "wasi_snapshot_preview1" "fd_write" (func $write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $nap (param $ms i64)
    (i64.store (i32.const 0) (i64.const 1))
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.mul (local.get $ms) (i64.const 1000000)))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128))))
  (func $work (param $deep i32)
    (call $nap (i64.const 20))
    (if (local.get $deep) (then (call $work (i32.sub (local.get $deep) (i32.const 1))))))
  (func $boom (call $nap (i64.const 40)) unreachable)
  (func $spin (loop (br 0)))
  (func (export "normal") (call $work (i32.const 2)) (call $nap (i64.const 40)))
  (func (export "crash") (call $work (i32.const 0)) (call $boom))
  (func (export "exit") (call $work (i32.const 0)) (call $quit (i32.const 3)))
  (func (export "hang") (call $work (i32.const 0)) (call $spin))
  (func (export "failing")
    (drop (call $close (i32.const 99))) (call $nap (i64.const 40)) (drop (call $close (i32.const 99))))
  (func (export "environment") (local $length i32)
    (drop (call $sizes (i32.const 0) (i32.const 4)))
    (local.set $length (i32.load (i32.const 4)))
    (drop (call $environ (i32.const 1024) (i32.const 4096)))
    (i32.store (i32.const 0) (i32.const 4096))
    (i32.store (i32.const 4) (local.get $length))
    (drop (call $write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 8))))
  (func (export "empty")))
"""


@pytest.fixture
def naps(tmp_path: Path) -> Path:
    path = tmp_path / "naps.wat"
    path.write_text(NAPS)
    return path


def run(naps: Path, export: str, *options: str, **variables: str) -> Done:
    return wasmtrace(naps.parent, "run", *options, "--no-summary", "--invoke", export, naps, stdin=b"", **variables)


def saved(path: Path) -> list[dict[str, Any]]:
    """The spans of a file, as the receiver gives them."""
    return [
        {
            "span_id": span["spanId"],
            "trace_id": span["traceId"],
            "parent_span_id": span.get("parentSpanId", ""),
            "name": span["name"],
            "start_time_unix_nano": span["startTimeUnixNano"],
            "end_time_unix_nano": span["endTimeUnixNano"],
            "attributes": [
                {"key": each["key"], "value": {"value": _plain(each["value"])}} for each in span["attributes"]
            ],
            "status": span.get("status", {}),
            "events": span.get("events", []),
        }
        for line in path.read_text().splitlines()
        for resource in json.loads(line).get("resourceSpans", ())
        for scope in resource["scopeSpans"]
        for span in scope["spans"]
    ]


def _plain(value: dict[str, Any]) -> Any:
    kind, content = next(iter(value.items()))
    return int(content) if kind == "intValue" else content


def drawn(spans: Sequence[dict[str, Any]]) -> list[str]:
    """The tree without times: a line for each span, below its parent, by start."""
    ids = {each["span_id"] for each in spans}

    def below(parent: str | None, indent: str) -> Iterator[str]:
        for span in sorted(
            spans, key=lambda each: (int(each["start_time_unix_nano"]), -int(each["end_time_unix_nano"]))
        ):
            its_parent = span.get("parent_span_id") or ""
            if (its_parent if its_parent in ids else None) == parent:
                yield indent + span["name"]
                yield from below(span["span_id"], indent + "  ")

    return list(below(None, ""))


def named(spans: Sequence[dict[str, Any]], name: str) -> dict[str, Any]:
    return next(each for each in spans if each["name"] == name)


def is_error(span: dict[str, Any]) -> bool:
    return span.get("status", {}).get("code") in (2, "STATUS_CODE_ERROR")


def length_ms(span: dict[str, Any]) -> float:
    return (int(span["end_time_unix_nano"]) - int(span["start_time_unix_nano"])) / 1e6


POLL = "poll"
ENDINGS = [
    pytest.param(
        "normal",
        (),
        0,
        [
            "naps.wat",
            "  normal",
            *("    work", "      nap", f"        {POLL}"),
            *("      work", "        nap", f"          {POLL}"),
            *("        work", "          nap", f"            {POLL}"),
            *("    nap", f"      {POLL}"),
        ],
        (),
        id="normal",
    ),
    pytest.param(
        "crash",
        (),
        134,
        ["naps.wat", "  crash", "    work", "      nap", f"        {POLL}", "    boom", "      nap", f"        {POLL}"],
        ("naps.wat", "crash", "boom"),
        id="crash",
    ),
    pytest.param(
        "exit",
        (),
        3,
        ["naps.wat", "  exit", "    work", "      nap", f"        {POLL}", "    quit"],
        ("naps.wat", "exit", "quit"),
        id="exit",
    ),
    pytest.param(
        "hang",
        ("--timeout", "1.5"),
        124,
        ["naps.wat", "  hang", "    work", "      nap", f"        {POLL}", "    spin"],
        ("naps.wat", "hang", "spin"),
        id="timeout",
    ),
    pytest.param(
        "hang",
        ("--fuel", "100000000"),
        134,
        ["naps.wat", "  hang", "    work", "      nap", f"        {POLL}", "    spin"],
        ("naps.wat", "hang", "spin"),
        id="fuel",
    ),
    pytest.param("empty", (), 0, ["naps.wat"], (), id="empty"),
]


FUEL = {"normal": 4 * 17 + 9 + 9 + 5 + 5, "crash": 2 * 17 + 5 + 3 + 4, "exit": 17 + 5 + 5, "empty": 1}
"""Instructions, with one for each call: `nap` has 17, `work` 9 where it calls itself, else 5."""


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(("export", "options", "code", "tree", "failed"), ENDINGS)
def test_every_end_arrives(
    naps: Path,
    collector: Receiver,
    protocol: str,
    export: str,
    options: tuple[str, ...],
    code: int,
    tree: list[str],
    failed: tuple[str, ...],
) -> None:
    done = run(naps, export, "--otlp", *options, **collector.environment(protocol))
    assert done.code == code, done.err
    spans = until(lambda: [each for each in collector.spans() if each], waiting_for="spans")
    assert drawn(spans) == tree
    assert {each["trace_id"] for each in spans} == {spans[0]["trace_id"]}
    assert {each["name"] for each in spans if is_error(each)} == set(failed)
    assert [each["name"] for each in spans if each.get("events")] in ([], [failed[-1], failed[0]] if failed else [])
    root = attributes(named(spans, "naps.wat"))
    assert int(root.get("process.exit.code") or 0) == (code if export != "hang" or code == 134 else 0)
    fuel = int(root["wasm.fuel.consumed"])
    if export == "hang":
        assert fuel == 100_000_000 if options[0] == "--fuel" else fuel > FUEL["exit"]
    else:
        assert fuel == FUEL[export]


def test_without_fuel_the_root_tells_of_none(naps: Path, tmp_path: Path) -> None:
    run(naps, "empty", "--no-fuel", "--otlp-file", str(tmp_path / "spans"))
    assert "wasm.fuel.consumed" not in attributes(named(saved(tmp_path / "spans"), "naps.wat"))


def test_the_exception_holds_the_stack(naps: Path, tmp_path: Path) -> None:
    run(naps, "crash", "--otlp-file", str(tmp_path / "spans"))
    spans = saved(tmp_path / "spans")
    event = named(spans, "boom")["events"][0]
    assert event["name"] == "exception"
    told = {each["key"]: next(iter(each["value"].values())) for each in event["attributes"]}
    assert told["exception.type"] == "unreachable"
    innermost, outermost = told["exception.stacktrace"].split("\n")
    assert innermost.startswith("    at boom (0x")
    assert outermost.startswith("    at crash (0x")


def test_times_are_right_to_a_tick(naps: Path, tmp_path: Path) -> None:
    before_ns = time.time_ns()
    run(naps, "normal", "--otlp-file", str(tmp_path / "spans"))
    after_ns = time.time_ns()
    spans = saved(tmp_path / "spans")
    for span in spans:
        assert before_ns <= int(span["start_time_unix_nano"]) <= int(span["end_time_unix_nano"]) <= after_ns
    naps_ms = sorted(length_ms(each) for each in spans if each["name"] == POLL)
    for found, slept in zip(naps_ms, (10, 20, 20, 20), strict=True):
        assert slept - 2 <= found <= slept + LATE_NS / 1e6
    assert attributes(named(spans, "naps.wat"))["wasm.clock.resolution_us"] == 1000


def test_the_errno_of_a_failed_host_call(naps: Path, tmp_path: Path) -> None:
    run(naps, "failing", "--slow", "0", "--otlp-file", str(tmp_path / "spans"))
    failed = [each for each in saved(tmp_path / "spans") if each["name"] == "close"]
    assert len(failed) == 2
    for span in failed:
        told = attributes(span)
        assert (told["wasm.host_call.errno"], told["error.type"]) == (8, "badf")
        assert is_error(span)


CALLERS = [
    pytest.param({"TRACEPARENT": CALLER}, True, id="caller"),
    pytest.param({"TRACEPARENT": CALLER, "TRACESTATE": "a=b", "BAGGAGE": "k=v"}, True, id="all-three"),
    pytest.param({"TRACEPARENT": CALLER.replace("00-", "ff-", 1)}, False, id="version-ff"),
    pytest.param({"TRACEPARENT": CALLER.upper()}, False, id="upper-case"),
    pytest.param({"TRACEPARENT": "00-" + "0" * 32 + "-b7ad6b7169203331-01"}, False, id="zero-trace-id"),
    pytest.param({"TRACEPARENT": "x" * 100_000}, False, id="long"),
    pytest.param({"TRACESTATE": "a=b"}, False, id="state-alone"),
]


@pytest.mark.parametrize(("variables", "joined"), CALLERS)
def test_a_run_is_a_child_of_its_caller(naps: Path, tmp_path: Path, variables: dict[str, str], joined: bool) -> None:
    done = run(naps, "environment", "--propagate-env", "--otlp-file", str(tmp_path / "spans"), **variables)
    assert done.code == 0, done.err
    root = named(saved(tmp_path / "spans"), "naps.wat")
    assert (root["trace_id"] == CALLER.split("-")[1]) is joined
    assert root["parent_span_id"] == (CALLER.split("-")[2] if joined else "")
    handed = dict(each.split("=", 1) for each in done.out.decode().split("\0") if each)
    assert handed["TRACEPARENT"] == f"00-{root['trace_id']}-{root['span_id']}-01"
    assert handed.get("TRACESTATE") == (variables.get("TRACESTATE") if joined else None)
    assert handed.get("BAGGAGE") == variables.get("BAGGAGE")


def test_without_being_asked_the_guest_is_told_nothing(naps: Path, tmp_path: Path) -> None:
    assert run(naps, "environment", "--otlp-file", str(tmp_path / "spans"), TRACEPARENT=CALLER).out == b""


SAMPLERS = [
    pytest.param({"OTEL_TRACES_SAMPLER": "always_off"}, False, id="off"),
    pytest.param({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "0"}, False, id="ratio-0"),
    pytest.param({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "1"}, True, id="ratio-1"),
    pytest.param({"OTEL_TRACES_SAMPLER": "traceidratio", "OTEL_TRACES_SAMPLER_ARG": "x"}, True, id="ratio-x"),
    pytest.param({"TRACEPARENT": CALLER[:-1] + "0"}, False, id="caller-not-sampled"),
    pytest.param({"TRACEPARENT": CALLER[:-1] + "0", "OTEL_TRACES_SAMPLER": "always_on"}, True, id="on-whatever"),
    pytest.param({"OTEL_TRACES_SAMPLER": "nonsense"}, True, id="nonsense"),
    pytest.param({"OTEL_TRACES_EXPORTER": "none"}, False, id="no-exporter"),
    pytest.param({"OTEL_SDK_DISABLED": "true"}, False, id="disabled"),
]


@pytest.mark.parametrize(("variables", "sampled"), SAMPLERS)
def test_sampling_is_decided_at_the_root(naps: Path, tmp_path: Path, variables: dict[str, str], sampled: bool) -> None:
    done = run(naps, "normal", "--otlp-file", str(tmp_path / "spans"), **variables)
    assert done.code == 0, done.err
    assert bool(saved(tmp_path / "spans")) is sampled


@contextmanager
def running(naps: Path, *options: str, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [*COMMAND, "run", *options, "--no-summary", "--invoke", "hang", str(naps)],
        env=environment(naps.parent, **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_what_is_open_is_seen_and_a_signal_ends_it(naps: Path, collector: Receiver, protocol: str) -> None:
    def has(name: str) -> Callable[[], bool]:
        return lambda: any(each["name"] == name for each in collector.spans())

    with running(naps, "--otlp", "--flush-after", "0.5", **collector.environment(protocol)) as process:
        until(has("work"), waiting_for="a call that has ended")
        until(has("spin (still open)"), waiting_for="marker of the hang")
        assert process.poll() is None
        assert not has("spin")()
        process.send_signal(signal.SIGTERM)
        process.wait(30)
    assert process.returncode == 143
    spans = until(lambda: collector.spans() if has("naps.wat")() else [], waiting_for="the root")
    spin, marker = named(spans, "spin"), named(spans, "spin (still open)")
    assert marker["parent_span_id"] == spin["parent_span_id"] == named(spans, "hang")["span_id"]
    assert marker["links"][0]["span_id"] == spin["span_id"]
    assert is_error(spin)
    told = attributes(named(spans, "naps.wat"))
    assert told["wasm.outcome"] == told["error.type"] == "interrupted"


@contextmanager
def hanging_server() -> Iterator[int]:
    """Takes connections and never answers."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize("hangs", [False, True], ids=["down", "hangs"])
def test_a_collector_that_does_not_answer_changes_nothing(naps: Path, protocol: str, hangs: bool) -> None:
    with hanging_server() as port:
        began = time.monotonic()
        endpoint = f"http://127.0.0.1:{port if hangs else 9}"
        done = run(
            naps,
            "exit",
            f"--otlp={endpoint}",
            OTEL_EXPORTER_OTLP_PROTOCOL=protocol,
            OTEL_BSP_EXPORT_TIMEOUT="2000",
        )
        took = time.monotonic() - began
    assert done.code == 3
    lines = [each for each in done.err.splitlines() if "lost" in each]
    assert len(lines) == 1, done.err
    assert "spans" in lines[0]
    assert took < 20
