"""Whatever the collector does, the guest runs on, its exit code is its own, one line says what was lost, and the end
comes soon."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from concurrent import futures
from contextlib import ExitStack, contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import pytest

from command import started, wasmtrace
from otlp_guests import EXIT_3, LOOP, SLOW, guest
from receiver import Receiver, free_ports, receiver, until

HTTP, GRPC = "http/protobuf", "grpc"
END_SECONDS = 5.0
START_SECONDS = 25.0
"""For starting Python and compiling on a busy machine."""


@contextmanager
def nobody() -> Iterator[int]:
    """A port at which nobody listens."""
    yield free_ports(1)[0]


@contextmanager
def _tcp(treat: Callable[[socket.socket], None]) -> Iterator[int]:
    with ExitStack() as held, socket.create_server(("127.0.0.1", 0)) as server:

        def accept() -> None:
            try:
                while True:
                    connection, _ = server.accept()
                    held.push(connection)
                    treat(connection)
            except OSError:
                return

        thread = threading.Thread(target=accept, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@contextmanager
def hangs() -> Iterator[int]:
    """Takes connections and says nothing."""
    with _tcp(lambda connection: None) as port:
        yield port


@contextmanager
def resets() -> Iterator[int]:
    """Resets each connection as soon as something has come."""

    def treat(connection: socket.socket) -> None:
        connection.recv(1)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        connection.close()

    with _tcp(treat) as port:
        yield port


def answers(status: int) -> Callable[[], object]:
    """Answers every request with this status."""

    @contextmanager
    def server() -> Iterator[int]:
        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers["Content-Length"]))
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, format: str, *args: object) -> None:
                pass

        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as found:
            found.daemon_threads = True
            thread = threading.Thread(target=found.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
            thread.start()
            yield found.server_address[1]
            found.shutdown()
            thread.join()

    return server


def aborts(code: grpc.StatusCode) -> Callable[[], object]:
    """Ends every call with this code."""

    class Handler(grpc.GenericRpcHandler):  # type: ignore[misc]
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: context.abort(code, "no\x1b[31m"))

    @contextmanager
    def server() -> Iterator[int]:
        found = grpc.server(futures.ThreadPoolExecutor(2), handlers=(Handler(),))
        port = found.add_insecure_port("127.0.0.1:0")
        found.start()
        yield port
        found.stop(None).wait(10)

    return server


# id, protocol, server, what the warning says
BAD = [
    ("http-down", HTTP, nobody, "connection refused"),
    ("http-hangs", HTTP, hangs, "timed out|does not answer"),
    ("http-resets", HTTP, resets, "reset|abort|closed"),
    ("http-400", HTTP, answers(400), "400 Bad Request"),
    ("http-404", HTTP, answers(404), "404 Not Found"),
    ("http-500", HTTP, answers(500), "500 Internal Server Error"),
    ("http-503", HTTP, answers(503), "Service Unavailable"),
    ("grpc-down", GRPC, nobody, "UNAVAILABLE"),
    ("grpc-hangs", GRPC, hangs, "DEADLINE_EXCEEDED|UNAVAILABLE|does not answer"),
    ("grpc-resets", GRPC, resets, "UNAVAILABLE"),
    ("grpc-refuses", GRPC, aborts(grpc.StatusCode.PERMISSION_DENIED), "PERMISSION_DENIED"),
    ("grpc-internal", GRPC, aborts(grpc.StatusCode.INTERNAL), "INTERNAL"),
    ("grpc-exhausted", GRPC, aborts(grpc.StatusCode.RESOURCE_EXHAUSTED), "RESOURCE_EXHAUSTED"),
]


@pytest.mark.parametrize(("protocol", "server", "told"), [row[1:] for row in BAD], ids=[row[0] for row in BAD])
def test_bad_collector(tmp_path: Path, protocol: str, server: Callable[[], object], told: str) -> None:
    metrics = tmp_path / "metrics.prom"
    with server() as port:  # type: ignore[attr-defined]
        variables = {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }
        options = ["--no-summary", "--otlp", "--logs", "--metrics-file", str(metrics)]
        began = time.monotonic()
        done = wasmtrace(tmp_path, "run", *options, guest(tmp_path, EXIT_3), stdin=b"", **variables)
        took = time.monotonic() - began
    assert (done.code, done.out) == (3, b"hello\nworld\nhello\nworld\n")
    assert took < END_SECONDS + START_SECONDS
    oops, *warnings = done.err.splitlines()
    assert oops == "oops"
    assert len(warnings) == 1, done.err
    assert warnings[0].startswith("wasmtrace: telemetry was lost (5 log records, ")
    assert re.search(told, warnings[0])
    assert warnings[0].isprintable()
    lost = dict(re.findall(r'dropped_records_total\{module="talk.wat",reason="(\w+)"\} (\d+)', metrics.read_text()))
    assert sum(int(count) for reason, count in lost.items() if reason.startswith("otlp_logs_")) == 5
    assert sum(int(count) for reason, count in lost.items() if reason.startswith("otlp_traces_")) >= 1
    assert sum(int(count) for reason, count in lost.items() if reason.startswith("otlp_metrics_")) >= 30


def test_the_end_waits_no_longer_than_it_is_told(tmp_path: Path) -> None:
    path = guest(tmp_path, EXIT_3)
    wasmtrace(tmp_path, "run", "--no-summary", path)
    with hangs() as port:
        took = []
        for milliseconds in ("200", "4000"):
            began = time.monotonic()
            more = {"OTEL_BSP_EXPORT_TIMEOUT": milliseconds}
            done = wasmtrace(
                tmp_path, "run", "--no-summary", f"--otlp=http://127.0.0.1:{port}", path, stdin=b"", **more
            )
            took.append(time.monotonic() - began)
            assert done.code == 3
    assert 2.0 < took[1] - took[0] < 4.0 + START_SECONDS


@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_collector_that_dies_in_the_middle(tmp_path: Path, protocol: str) -> None:
    with receiver(tmp_path) as found:
        endpoint = found.endpoint(protocol)
        options = ["run", "--no-summary", f"--otlp={endpoint}", "--logs", str(guest(tmp_path, SLOW))]
        variables = {"OTEL_EXPORTER_OTLP_PROTOCOL": protocol}
        with started(tmp_path, options, **variables) as process:
            until(found.log_records, waiting_for="log records")
            found.process.kill()
            out, err = process.communicate(timeout=60)
    assert process.returncode == 3
    assert out == b"hello\nworld\n" * 60
    warnings = [line for line in err.decode().splitlines() if line.startswith("wasmtrace: telemetry was lost")]
    assert len(warnings) == 1, err


def test_a_guest_that_is_stopped_while_the_collector_hangs(tmp_path: Path) -> None:
    with hangs() as port:
        options = ["--no-summary", "--timeout", "0.3", f"--otlp=http://127.0.0.1:{port}"]
        done = wasmtrace(tmp_path, "run", *options, guest(tmp_path, LOOP))
    assert done.code == 124
    assert done.out == b"hello\nworld\n"


def test_disabled_sends_nothing(collector: Receiver, tmp_path: Path) -> None:
    more = {"OTEL_SDK_DISABLED": "true", **collector.environment(HTTP)}
    done = wasmtrace(tmp_path, "run", "--no-summary", "--otlp", "--logs", guest(tmp_path, EXIT_3), stdin=b"", **more)
    assert (done.code, done.out, done.err) == (3, b"hello\nworld\nhello\nworld\n", "oops\n")
    assert (collector.spans(), collector.metrics(), collector.logs()) == ([], [], [])


@pytest.mark.parametrize("variable", ["CERTIFICATE", "CLIENT_KEY", "CLIENT_CERTIFICATE"])
@pytest.mark.parametrize("protocol", [HTTP, GRPC])
def test_a_certificate_that_is_not_there(tmp_path: Path, variable: str, protocol: str) -> None:
    more = {
        "OTEL_EXPORTER_OTLP_ENDPOINT": "https://127.0.0.1:1",
        "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        f"OTEL_EXPORTER_OTLP_{variable}": str(tmp_path / "none.pem"),
    }
    done = wasmtrace(tmp_path, "run", "--otlp", guest(tmp_path, EXIT_3), stdin=b"", **more)
    assert (done.code, done.out) == (1, b"")
    assert done.err == f"wasmtrace: cannot read {tmp_path / 'none.pem'}: no such file or directory\n"


@pytest.mark.parametrize("option", [["--logs"], ["--span-budget", "1"], ["--flush-after", "1"], ["--propagate-env"]])
def test_options_without_a_place(tmp_path: Path, option: list[str]) -> None:
    done = wasmtrace(tmp_path, "run", *option, guest(tmp_path, EXIT_3))
    assert (done.code, done.out) == (2, b"")
    assert "needs --otlp or --otlp-file" in done.err
