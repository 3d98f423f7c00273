"""Spans: from ring to wire, what a budget costs the guest, and what many slow calls cost in memory.

    python benchmarks/bench_otlp.py [spans|guest|memory]
    python benchmarks/bench_otlp.py long [SECONDS [ENDPOINT [BUDGET]]]

The wire ends at a socket that answers 200 and throws away what it gets, in a process of its own. `long` is not among
those that run when none is named: 600 seconds with 50 million calls, each of them slow, and RSS over time.
"""

from __future__ import annotations

import http.server
import itertools
import json
import multiprocessing
import os
import re
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
from c_programs import FULL, computing
from wasmtrace.api import Runtime, RuntimeConfig
from wasmtrace.exporters.otlp.config import otlp_settings
from wasmtrace.exporters.otlp.losses import Losses
from wasmtrace.exporters.otlp.senders import span_exporter
from wasmtrace.exporters.otlp.spans import SpanTree
from wasmtrace.exporters.otlp.traces import TraceExport, new_span_id
from wasmtrace.layout import KIND_SLOW_CALL, RECORD_STRUCT, stamp
from wasmtrace.records import FunctionName, OpenCall, SlowCall
from wasmtrace.runtime.drain import RawSlowCall, decode_records
from wasmtrace.runtime.sandbox import Sandbox
from wasmtrace.tracing import TraceOptions, Tracing

SPANS = 100_000
# Outer loops of inner calls that each take some 20 µs: many calls of which, at threshold 0, every one is slow.
CALLS = """
(module
  (func $leaf (param $n i32) (loop $l (br_if $l (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func $inner (param $size i32) (call $leaf (local.get $size)))
  (func (export "run") (param $calls i32) (param $size i32)
    (loop $l
      (call $inner (local.get $size))
      (br_if $l (local.tee $calls (i32.sub (local.get $calls) (i32.const 1)))))))
"""


class _Sink(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


def _serve(port: multiprocessing.Queue[int]) -> None:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Sink)
    port.put(server.server_address[1])
    server.serve_forever()


@contextmanager
def collector() -> Iterator[str]:
    ports: multiprocessing.Queue[int] = multiprocessing.Queue()
    process = multiprocessing.Process(target=_serve, args=(ports,), daemon=True)
    process.start()
    try:
        yield f"http://127.0.0.1:{ports.get(timeout=30)}"
    finally:
        process.kill()


def export_to(endpoint: str, losses: Losses) -> TraceExport:
    settings = otlp_settings({}, endpoint=endpoint)
    exporter = span_exporter(settings, None, losses)
    assert exporter is not None
    return TraceExport(settings, {}, exporter, losses, {"service.name": "bench"}, "0")


def ring_bytes(count: int) -> bytes:
    """Slow calls in twos: an inner one, and the one around it, inside a frame that is open."""
    records = bytearray()
    for number in range(count // 2):
        start = number * 20
        records += RECORD_STRUCT.pack(KIND_SLOW_CALL, 2, stamp(start + 5) | 2, stamp(start + 15), 0, 0, 0)
        records += RECORD_STRUCT.pack(KIND_SLOW_CALL, 1, stamp(start) | 1, stamp(start + 19), 0, 0, 0)
    return bytes(records)


def bench_spans() -> None:
    """Ring bytes, decoded, made a tree, made SDK spans, encoded and sent; CPU time of this process."""
    names = [FunctionName(index, f"function_{index}", f"function_{index}") for index in range(3)]
    outer = (OpenCall(names[0], False, 0, 0.0),)
    with collector() as endpoint:
        losses = Losses()
        export = export_to(endpoint, losses)
        root = export.new_root("bench", {})
        ring = ring_bytes(SPANS)
        queued_began = _queued_seconds()
        began, cpu_began = time.perf_counter(), time.process_time()
        tree = SpanTree(root.context.span_id, new_span_id)
        step = 2048 * RECORD_STRUCT.size
        for offset in range(0, len(ring), step):
            for record in decode_records(ring[offset : offset + step], function_count=3, memory_count=1).records:
                assert isinstance(record, RawSlowCall)
                tree.add(
                    SlowCall(names[record.funcidx], False, record.start_us, record.end_us, record.depth, record.result)
                )
            tree.flush(outer, 1 << 40)
            spans, tree.ready = tree.ready, []
            while export.sender.queued > 4096:
                time.sleep(0.001)
            export.put(root, 0, spans)
        while export.sender.queued:
            time.sleep(0.001)
        queued = _queued_seconds()  # before the thread ends
        export.sender.close(60)
        cpu, wall = time.process_time() - cpu_began, time.perf_counter() - began
    assert export.sender.sent >= SPANS, (export.sender.sent, losses.by_reason)
    print(
        f"ring to wire: {SPANS / cpu:,.0f} spans/s of CPU time, {SPANS / wall:,.0f} spans/s of wall time;"
        f" its threads waited {queued - queued_began:.1f} of {wall:.1f} s for a processor"
    )


def _queued_seconds() -> float:
    """How long the threads of this process could have run, while others ran."""
    found = 0.0
    for each in Path("/proc/self/task").iterdir():
        with suppress(OSError):
            found += int((each / "schedstat").read_text().split()[1]) / 1e9
    return found


def run_once(config: RuntimeConfig, calls: int, size: int) -> float:
    with Runtime(config) as runtime:
        program = runtime.load(CALLS.encode(), name="calls")
        result = runtime.run(program, Sandbox(), invoke="run", invoke_args=(calls, size))
        return result.snapshot.wall_seconds


def traced(endpoint: str, slow_us: int, budget: int) -> Callable[[int, int], float]:
    def run(calls: int, size: int) -> float:
        losses = Losses()
        tracing = Tracing(lambda: export_to(endpoint, losses), TraceOptions(span_budget=budget))
        tracing.wait()
        config = RuntimeConfig(slow_threshold_us=slow_us, observers=(tracing.observe,), engine_cache=False)
        with Runtime(config) as runtime:
            program = runtime.load(CALLS.encode(), name="calls")
            with runtime.start(program, invoke="run", invoke_args=(calls, size)) as run:
                run.wait()
                snapshot = run.result().snapshot
                tracing.finish(snapshot)
            tracing.close()
        return snapshot.wall_seconds

    return run


GUESTS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("calls", "1", ("200", "4000000")),
    ("calls", "1", ("100000", "8000")),
    ("calls", "0.01", ("1000000", "8000")),
    ("calls", "0", ("1000000", "8000")),
    ("calls", "0", ("20000000", "1")),
    ("fib", "1", ()),
    ("fib", "0", ()),
    ("hashtable", "1", ()),
    ("hashtable", "0", ()),
)
"""Program, `--slow`, arguments."""


def bench_guest(rounds: int = 9) -> None:
    """`wasmtrace run` with and without `--otlp`, in turns: times of the guest, from the report."""
    with collector() as endpoint, tempfile.TemporaryDirectory() as folder:
        report = Path(folder, "report")
        for name, slow_ms, words in GUESTS:
            path = Path(folder, f"{name}.wat")
            if name == "calls":
                path.write_text(CALLS)
            else:
                path = computing(name, FULL).path
            invoke = ("--invoke", "run") if words else ()
            options = ("--slow", slow_ms, "--no-fuel", "--no-summary", "--report", report, *invoke, path, *words)
            times: dict[bool, list[tuple[float, float]]] = {False: [], True: []}
            for number in range(2 * rounds + 2):
                otlp = bool(number % 2)
                extra = (f"--otlp={endpoint}",) if otlp else ()
                command = [sys.executable, "-m", "wasmtrace", "run", *extra, *options]
                subprocess.run(list(map(str, command)), check=True, stdout=subprocess.DEVNULL)
                found = json.loads(report.read_bytes())
                times[otlp].append((found["wall_seconds"], found["cpu_seconds"]))
            wall, cpu = (_ratio(times[False][1:], times[True][1:], column) for column in (0, 1))
            seconds = statistics.median(each[1] for each in times[False][1:])
            shown = f"{name} {' '.join(words)} --slow {slow_ms}"
            print(f"guest, {shown}: {seconds:.3f} s, with OTLP {cpu:.3f}x CPU time, {wall:.3f}x wall time", flush=True)


def _ratio(plain: list[tuple[float, float]], spans: list[tuple[float, float]], column: int) -> float:
    return statistics.median(each[column] for each in spans) / statistics.median(each[column] for each in plain)


def bench_memory(seconds: float = 5.0) -> None:
    """Slow calls as fast as the guest can, without and with a budget."""
    with collector() as endpoint:
        for budget in (200, 0):
            before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
            wall, total = 0.0, 0
            while wall < seconds:
                wall += traced(endpoint, 0, budget)(20_000_000, 2)
                total += 40_000_000
            grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
            print(
                f"memory, budget {budget}: {total / 1e6:,.0f} million calls at --slow 0: {grown / 1024:,.0f} MiB more"
            )


def resident_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    found = re.search(r"VmRSS:\s*(\d+) kB", status)
    return int(found[1]) / 1024 if found else 0.0


def command(path: Path, calls: int, size: int, *options: str) -> subprocess.Popen[str]:
    words = ["run", "--slow", "0", "--no-fuel", "--no-summary", *options, "--invoke", "run", str(path)]
    return subprocess.Popen(
        [sys.executable, "-m", "wasmtrace", *words, str(calls), str(size)],
        env={**os.environ, "OTEL_METRIC_EXPORT_INTERVAL": "10000"},
        stderr=subprocess.PIPE,
        text=True,
    )


def watched(process: subprocess.Popen[str], every_seconds: float) -> tuple[float, float]:
    """The most memory, in MiB, and how long it ran. Prints what it holds over time."""
    began = time.monotonic()
    most, said = 0.0, 0.0
    while process.poll() is None:
        passed = time.monotonic() - began
        with suppress(OSError):
            most = max(most, resident_mib(process.pid))
            if passed >= said:
                print(f"  {passed:5.0f} s: {resident_mib(process.pid):5.0f} MiB", flush=True)
                said += every_seconds
        time.sleep(0.2)
    passed = time.monotonic() - began
    assert process.stderr is not None
    print(f"  exit code {process.returncode} {process.stderr.read().strip()}")
    return most, passed


def bench_long(seconds: float = 600.0, endpoint: str = "", budget: str = "200") -> None:
    """`wasmtrace run` with 50 million slow calls in ten minutes, and one function of which each call is asked for."""
    calls, probe = round(50_000_000 * seconds / 600 / 2), 100_000
    with collector() as sink, tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "calls.wat")
        path.write_text(CALLS)
        size = 4000
        taken = min(run_once(RuntimeConfig(fuel=False, slow_threshold_us=0), probe, size) for _ in range(3))
        size = round(size * seconds / calls / (taken / probe))
        print(f"without OTLP, {2 * probe:,} calls:")
        plain, _ = watched(command(path, probe, size), 1.0)
        print(f"--span-budget {budget}, {2 * calls:,} calls at --slow 0:")
        options = (f"--otlp={endpoint or sink}", "--span-budget", budget, "--trace-function", "inner")
        most, passed = watched(command(path, calls, size, *options), seconds / 20)
        print(f"  {passed:.0f} s, at most {most:.0f} MiB, {most - plain:.0f} MiB more than without OTLP")


BENCHMARKS = {"spans": bench_spans, "guest": bench_guest, "memory": bench_memory}


def main(names: list[str]) -> None:
    os.environ.pop("TRACEPARENT", None)
    if names and names[0] == "long":
        bench_long(float(names[1]) if names[1:] else 600.0, *names[2:4])
        return
    for name in names or BENCHMARKS:
        BENCHMARKS[name]()


if __name__ == "__main__":
    main(list(itertools.islice(sys.argv, 1, None)))
