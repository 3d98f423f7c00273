"""Collectors and guests at their worst, against traces: the guest notices nothing, every span is sent or counted."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import grpc
import pytest
from google.protobuf.duration_pb2 import Duration
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)

from command import COMMAND, environment, started, wasmtrace
from hand_made import HOSTILE_NAMES
from otlp_guests import EXIT_3, LOOP, guest
from receiver import Receiver, attributes, free_ports, receiver, until
from test_traces import NAPS as QUICK_NAPS
from test_traces import PROTOCOLS, drawn, named, saved
from wasmtrace.runtime.engine import binary_of

HTTP, GRPC = "http/protobuf", "grpc"
NAPS = QUICK_NAPS.replace("(call $nap (i64.const 20))", "(call $nap (i64.const 300))")
"""So long that the latest tick of a busy machine comes before a call ends: all of them are seen."""
SPANS = ["naps.wat", "  exit", "    work", "      nap", "        poll", "    quit"]
ONLY_TRACES = {"OTEL_METRICS_EXPORTER": "none", "OTEL_LOGS_EXPORTER": "none"}
END_SECONDS = 2.0
START_SECONDS = 25.0
"""For starting Python and compiling on a busy machine."""
MOST_REQUESTS = 8


@dataclass(slots=True)
class Moody:
    """A collector that answers its first requests with an error, and takes what comes then."""

    port: int = 0
    failures: int = 0
    requests: int = 0
    taken: list[ExportTraceServiceRequest] = field(default_factory=list)

    def fails(self) -> bool:
        """A request has come: whether it gets an error."""
        self.requests += 1
        return self.requests <= self.failures

    def names(self) -> list[str]:
        """Of all spans that were taken."""
        return [
            span.name
            for request in self.taken
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        ]


Collector = Callable[[int], AbstractContextManager[Moody]]


def over_http(status: int, retry_after: str | None = None) -> Collector:
    """Fails with this status."""

    @contextmanager
    def server(failures: int) -> Iterator[Moody]:
        moody = Moody(failures=failures)

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fails = moody.fails()
                if not fails:
                    moody.taken.append(ExportTraceServiceRequest.FromString(body))
                self.send_response(status if fails else 200)
                if fails and retry_after is not None:
                    self.send_header("Retry-After", retry_after)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
            found.daemon_threads = True
            thread = Thread(target=found.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            moody.port = found.server_address[1]
            yield moody
            found.shutdown()
            thread.join()

    return server


def over_grpc(code: grpc.StatusCode, retry_seconds: int | None = None) -> Collector:
    """Fails with this code."""

    @contextmanager
    def server(failures: int) -> Iterator[Moody]:
        moody = Moody(failures=failures)

        def answer(request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
            if moody.fails():
                if retry_seconds is not None:
                    info = RetryInfo(retry_delay=Duration(seconds=retry_seconds)).SerializeToString()
                    context.set_trailing_metadata((("google.rpc.retryinfo-bin", info),))
                context.abort(code, "not now")
            moody.taken.append(request)
            return ExportTraceServiceResponse()

        class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
            def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
                return grpc.unary_unary_rpc_method_handler(
                    answer, ExportTraceServiceRequest.FromString, ExportTraceServiceResponse.SerializeToString
                )

        found = grpc.server(futures.ThreadPoolExecutor(2), handlers=(Handler(),))
        moody.port = found.add_insecure_port("127.0.0.1:0")
        found.start()
        yield moody
        found.stop(None).wait(10)

    return server


def lost_in(metrics: Path) -> dict[str, int]:
    """Spans that are counted as lost, by reason."""
    found = re.findall(r'dropped_records_total\{.*reason="otlp_traces_(\w+)"\} (\d+)', metrics.read_text())
    return {reason: int(count) for reason, count in found}


def complaints(err: bytes) -> list[str]:
    """What wasmtrace says besides the summary."""
    lines = err.decode().splitlines()
    return [line.removeprefix("wasmtrace: ") for line in lines if line.startswith("wasmtrace: ")]


@pytest.fixture
def naps(tmp_path: Path) -> Path:
    return guest(tmp_path, NAPS, "naps.wat")


NEVER = 1 << 30
# id, protocol, collector, what the warning says
REFUSALS = [
    ("http-400", HTTP, over_http(400), "400 Bad Request"),
    ("http-404", HTTP, over_http(404), "404 Not Found"),
    ("http-429", HTTP, over_http(429, "1"), "Too Many Requests"),
    ("http-429-far-off", HTTP, over_http(429, "86400"), "asks to wait longer"),
    ("http-500", HTTP, over_http(500), "500 Internal Server Error"),
    ("http-503", HTTP, over_http(503, "0"), "Service Unavailable"),
    ("http-503-nonsense", HTTP, over_http(503, "tomorrow"), "Service Unavailable"),
    ("http-503-negative", HTTP, over_http(503, "-5"), "Service Unavailable"),
    ("grpc-unimplemented", GRPC, over_grpc(grpc.StatusCode.UNIMPLEMENTED), "UNIMPLEMENTED"),
    ("grpc-unavailable", GRPC, over_grpc(grpc.StatusCode.UNAVAILABLE), "UNAVAILABLE"),
    ("grpc-unavailable-soon", GRPC, over_grpc(grpc.StatusCode.UNAVAILABLE, 1), "UNAVAILABLE"),
    ("grpc-exhausted-far-off", GRPC, over_grpc(grpc.StatusCode.RESOURCE_EXHAUSTED, 86400), "RESOURCE_EXHAUSTED"),
]


@pytest.mark.parametrize(("protocol", "collector", "told"), [row[1:] for row in REFUSALS], ids=[r[0] for r in REFUSALS])
def test_refusal(naps: Path, protocol: str, collector: Collector, told: str) -> None:
    metrics = naps.parent / "metrics.prom"
    with collector(NEVER) as moody:
        more = {**ONLY_TRACES, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_BSP_EXPORT_TIMEOUT": "2000"}
        began = time.monotonic()
        options = ["--no-summary", f"--otlp=http://127.0.0.1:{moody.port}", "--metrics-file", str(metrics)]
        done = wasmtrace(naps.parent, "run", *options, "--invoke", "exit", naps, stdin=b"", **more)
        took = time.monotonic() - began
    assert (done.code, done.out) == (3, b"")
    assert took < END_SECONDS + START_SECONDS
    (warning,) = done.err.splitlines()
    assert warning.startswith(f"wasmtrace: telemetry was lost ({len(SPANS)} spans): http://127.0.0.1:")
    assert re.search(told, warning)
    assert sum(lost_in(metrics).values()) == len(SPANS)
    assert 1 <= moody.requests <= MOST_REQUESTS


RECOVERIES = [
    ("http-429", HTTP, over_http(429, "1")),
    ("http-503", HTTP, over_http(503)),
    ("http-503-at-once", HTTP, over_http(503, "0")),
    ("grpc-unavailable", GRPC, over_grpc(grpc.StatusCode.UNAVAILABLE)),
    ("grpc-exhausted", GRPC, over_grpc(grpc.StatusCode.RESOURCE_EXHAUSTED, 1)),
]


@pytest.mark.parametrize(("protocol", "collector"), [row[1:] for row in RECOVERIES], ids=[row[0] for row in RECOVERIES])
def test_what_is_asked_for_again_is_sent_again(naps: Path, protocol: str, collector: Collector) -> None:
    with collector(1) as moody:
        # A collector that has only refused so far is not waited for at the end: this guest has time.
        more = {**ONLY_TRACES, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        command = ["run", "--no-summary", f"--otlp=http://127.0.0.1:{moody.port}", "--invoke", "hang", str(naps)]
        with started(naps.parent, command, **more) as process:
            until(lambda: "poll" in moody.names(), waiting_for="spans")
            process.send_signal(signal.SIGTERM)
            _, err = process.communicate(timeout=60)
    assert process.returncode == 143
    assert complaints(err) == []
    assert sorted(moody.names()) == sorted(["naps.wat", "hang", "work", "nap", "poll", "spin"])


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_a_collector_that_dies_and_comes_back(tmp_path: Path, protocol: str) -> None:
    """What it got before and what it gets after are of one trace; the rest is sent again, or counted."""
    metrics, ports = tmp_path / "metrics.prom", free_ports(3)
    more = {**ONLY_TRACES, "OTEL_EXPORTER_OTLP_PROTOCOL": protocol, "OTEL_EXPORTER_OTLP_TIMEOUT": "1500"}
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        folder.mkdir()
    with receiver(folders[0], ports) as first:
        options = [f"--otlp={first.endpoint(protocol)}", "--metrics-file", str(metrics), "--span-budget", "0"]
        with started(tmp_path, ["run", "--no-summary", *options, str(guest(tmp_path, LOOP))], **more) as process:
            until(lambda: len(first.spans()) > 20, waiting_for="spans")
            before = first.spans()
            first.process.kill()
            first.process.wait()
            with receiver(folders[1], ports) as second:
                until(lambda: len(second.spans()) > 20, waiting_for="spans after the death")
                process.send_signal(signal.SIGTERM)
                out, err = process.communicate(timeout=60)
                root = until(lambda: [each for each in second.spans() if each["name"] == "talk.wat"], waiting_for="end")
                after = second.spans()
    assert (process.returncode, out) == (143, b"hello\nworld\n")
    assert {each["trace_id"] for each in (*before, *after)} == {root[0]["trace_id"]}
    ids = [each["span_id"] for each in after]
    assert len(ids) == len(set(ids))
    lost = sum(lost_in(metrics).values())
    assert [re.sub(": .*", "", each) for each in complaints(err)] == (
        [f"telemetry was lost ({lost:,} spans)"] * (lost > 0)
    )


STEP = """
import sys, time
real, calls = time.time_ns, 0
def stepped():
    global calls
    calls += 1
    return real() - (3_600_000_000_000 if calls > 40 else 0)
time.time_ns = stepped
time.time = lambda: stepped() / 1e9
from wasmtrace.cli import main
sys.exit(main(sys.argv[1:]))
"""


def test_a_clock_that_steps_back(naps: Path) -> None:
    """By an hour, while the guest runs: the spans stand on the clock that never does."""
    path = naps.parent / "spans"
    command = [sys.executable, "-c", STEP, "run", "--no-summary", "--logs", f"--otlp-file={path}"]
    done = subprocess.run(
        [*command, "--invoke", "normal", str(naps)],
        env=environment(naps.parent, OTEL_METRIC_EXPORT_INTERVAL="50"),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    spans = saved(path)
    assert drawn(spans)[:2] == ["naps.wat", "  normal"]
    assert len(spans) >= 11
    by_id = {each["span_id"]: each for each in spans}
    for span in spans:
        start, end = int(span["start_time_unix_nano"]), int(span["end_time_unix_nano"])
        assert start <= end <= start + 100_000_000_000
        around = by_id.get(span["parent_span_id"], span)
        assert int(around["start_time_unix_nano"]) <= start
        assert end <= int(around["end_time_unix_nano"])


# Names that others choose


def u32(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes([*out, value])


def with_names(names: dict[int, bytes]) -> bytes:
    """A module that sleeps in functions of these names; they need not be UTF-8."""
    functions = u32(len(names)) + b"".join(u32(index) + u32(len(name)) + name for index, name in sorted(names.items()))
    content = b"\x04name\x01" + u32(len(functions)) + functions
    return (
        binary_of(NAPS.replace("$nap ", "$nap0 ").replace("$nap)", "$nap0)").encode())
        + b"\x00"
        + u32(len(content))
        + content
    )


NAP, WORK = 6, 7
BROKEN = {
    "no-utf8": b"a\xff\xfeb",
    "surrogate": b"\xed\xa0\x80",
    "overlong": b"\xc0\xaf..",
    "zero": b"a\x00b",
    "megabyte": b"x" * 1_000_000,
    **{name: text.encode("utf-8", "surrogatepass") for name, text in HOSTILE_NAMES.items()},
}


@pytest.mark.parametrize("name", BROKEN.values(), ids=BROKEN)
def test_hostile_function_name(collector: Receiver, tmp_path: Path, name: bytes) -> None:
    path = tmp_path / "hostile.wasm"
    path.write_bytes(with_names({0: b"poll", NAP: name, WORK: name + b"2"}))
    done = wasmtrace(
        tmp_path, "run", "--no-summary", "--otlp", "--invoke", "exit", path, stdin=b"", **collector.environment(HTTP)
    )
    assert (done.code, done.err) == (3, "")
    spans = until(lambda: found if len(found := collector.spans()) >= len(SPANS) else [], waiting_for="spans")
    poll = named(spans, "poll")
    by_id = {each["span_id"]: each for each in spans}
    for span in (nap := by_id[poll["parent_span_id"]], by_id[nap["parent_span_id"]]):
        texts = [span["name"], *(each for each in attributes(span).values() if isinstance(each, str))]
        assert all(each.isprintable() and 0 < len(each) <= 300 for each in texts), texts


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_words_that_are_no_utf8(collector: Receiver, tmp_path: Path, protocol: str) -> None:
    """The guest's arguments and environment, the name of the file, and what the platform says of the service."""
    path = os.path.join(os.fsencode(tmp_path), b"na\xc2\x9b\x1b[31mps.wat")
    with open(path, "w") as file:
        file.write(EXIT_3)
    variables = {name.encode(): value.encode() for name, value in collector.environment(protocol).items()}
    hostile = {
        b"OTEL_SERVICE_NAME": b"shop\xff",
        b"OTEL_RESOURCE_ATTRIBUTES": b"a=b\xff,long=" + b"x" * 100_000,
        b"TRACESTATE": b"\xff=1",
        b"BAGGAGE": b"\xff=1",
        b"POD_NAME": b"\xfe",
    }
    kept = {name.encode(): value.encode() for name, value in environment(tmp_path).items()}
    done = subprocess.run(
        [
            *(word.encode() for word in COMMAND),
            b"run",
            b"--no-summary",
            b"--otlp",
            b"--logs",
            path,
            b"--a=" + b"x" * 9999,
        ],
        env={**kept, **variables, **hostile},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        check=False,
        timeout=120,
    )
    assert (done.returncode, done.stdout) == (3, b"hello\nworld\nhello\nworld\n"), done.stderr
    assert b"telemetry was lost" not in done.stderr
    assert b"Traceback" not in done.stderr
    told = collector.traces()
    assert told
    assert collector.log_records()
    assert collector.metric_points()
    for request in told:
        for resource in request["resource_spans"]:
            texts: list[Any] = list(attributes(resource["resource"]).values())
            texts += [span["name"] for scope in resource["scope_spans"] for span in scope["spans"]]
            assert all(each.isprintable() for each in texts if isinstance(each, str))
