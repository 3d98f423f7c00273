"""`/metrics` gives metrics and nothing else, to loopback, and nobody can hold it up: sizes, connections and time
are bounded."""

from __future__ import annotations

import gzip
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack

import pytest
from prometheus_client.parser import text_string_to_metric_families

from hostile_client import DEADLINE_SECONDS, Answer, ask, connect, drip, read_answer, wait_until_closed
from wasmtrace import Runtime
from wasmtrace.exporters.http import DEFAULT_HOST, MetricsServer, parse_address
from wasmtrace.exporters.prometheus import SnapshotCollector
from wasmtrace.records import Snapshot

MANY = 10_000
LARGEST_ANSWER = 256 * 1024
LARGEST_REQUEST = 16384
IDLE_SECONDS = 1
SECRET = "wasmtrace-secret-variable"


def _many_functions() -> bytes:
    functions = "".join(f"(func ${'long_name_' * 20}{index} nop)" for index in range(MANY))
    calls = "".join(f"(call {index})" for index in range(MANY))
    return f'(module {functions} (func (export "all") {calls}))'.encode()


@pytest.fixture(scope="module")
def large() -> Snapshot:
    """10,000 functions with names of 200 characters, all of them called."""
    with Runtime() as runtime, runtime.instantiate(runtime.load(_many_functions(), "many")) as instance:
        instance.call("all")
        return instance.snapshot()


@pytest.fixture
def server(large: Snapshot, monkeypatch: pytest.MonkeyPatch) -> Iterator[MetricsServer]:
    monkeypatch.setenv("WASMTRACE_TEST_SECRET", SECRET)
    server = MetricsServer(SnapshotCollector(lambda: [large]), "127.0.0.1", 0, idle_seconds=IDLE_SECONDS)
    server.start()
    yield server
    server.close()


def test_the_answer_is_bounded_and_its_sum_is_right(server: MetricsServer) -> None:
    answer = ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
    assert answer.status == 200
    assert len(answer.body) < LARGEST_ANSWER
    families = {each.name: each for each in text_string_to_metric_families(answer.body.decode())}
    calls = families["wasmtrace_function_calls"].samples
    assert len(calls) < 1000
    assert sum(each.value for each in calls) == MANY + 1
    again = ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\nAccept-Encoding: gzip\r\n\r\n")
    assert len(gzip.decompress(again.body)) < LARGEST_ANSWER


@pytest.mark.parametrize("address", ["9100", ":9100"])
def test_without_an_address_it_binds_to_loopback(address: str) -> None:
    assert parse_address(address) == (DEFAULT_HOST, 9100)
    assert DEFAULT_HOST == "127.0.0.1"


def test_loopback_is_not_reached_by_another_address_of_this_machine(server: MetricsServer) -> None:
    with pytest.raises(OSError), socket.create_connection(("127.0.0.2", server.port), timeout=DEADLINE_SECONDS):
        pass


NOT_METRICS = {
    "root": (b"GET / HTTP/1.1", 404),
    "traversal": (b"GET /metrics/../../etc/passwd HTTP/1.1", 404),
    "encoded traversal": (b"GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1", 404),
    "encoded slash": (b"GET /metrics%2f..%2fetc HTTP/1.1", 404),
    "double slash": (b"GET //etc/passwd HTTP/1.1", 404),
    "zero byte": (b"GET /metrics%00 HTTP/1.1", 404),
    "upper case": (b"GET /METRICS HTTP/1.1", 404),
    "debug": (b"GET /debug/pprof HTTP/1.1", 404),
    "other host": (b"GET http://example.org/ HTTP/1.1", 404),
    "post": (b"POST /metrics HTTP/1.1", 405),
    "put": (b"PUT /metrics HTTP/1.1", 405),
    "delete": (b"DELETE /healthz HTTP/1.1", 405),
    "trace": (b"TRACE /metrics HTTP/1.1", 405),
    "connect": (b"CONNECT x:1 HTTP/1.1", 404),
    "no version": (b"GET /nothing", 404),
    "bad version": (b"GET /metrics HTTP/x.y", 400),
    "not http": (b"\x16\x03\x01\x02\x00\x01\x00", 400),
    "lower case method": (b"get /metrics HTTP/1.1", 400),
    "bytes": (b"GET /\xff\xfe HTTP/1.1", 400),
}


@pytest.mark.parametrize(("line", "status"), NOT_METRICS.values(), ids=NOT_METRICS)
def test_nothing_but_metrics(server: MetricsServer, line: bytes, status: int) -> None:
    answer = ask(server, line + b"\r\nHost: x\r\n\r\n")
    assert answer.status == status
    assert len(answer.body) < 400
    assert b"wasmtrace_" not in answer.body
    _tells_nothing(answer)


def _tells_nothing(answer: Answer) -> None:
    """No server's name, no path of ours, no trace of Python, no variable, nothing for other web pages."""
    shown = answer.head.lower() + answer.body.lower()
    for word in (b"server:", b"waitress", b"traceback", b".py", b"access-control", b"set-cookie", SECRET.encode()):
        assert word not in shown


def test_metrics_tell_no_secret(server: MetricsServer) -> None:
    _tells_nothing(ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n"))


def test_a_query_cannot_enlarge_the_answer(server: MetricsServer) -> None:
    names = b"&".join([b"name[]=wasmtrace_function_calls_total"] * 300)
    answer = ask(server, b"GET /metrics?" + names + b" HTTP/1.1\r\nHost: x\r\n\r\n")
    assert len(answer.body) < LARGEST_ANSWER


TOO_LARGE = {
    "line": b"GET /" + b"x" * LARGEST_REQUEST,
    "header": b"GET /metrics HTTP/1.1\r\nX: " + b"x" * LARGEST_REQUEST,
    "headers": b"GET /metrics HTTP/1.1\r\n" + b"".join(b"X-%d: y\r\n" % each for each in range(3000)),
    "body": b"POST /metrics HTTP/1.1\r\nContent-Length: 100000000\r\n\r\n",
    "chunks": b"POST /metrics HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n"
    + b"400\r\n"
    + b"x" * 1024
    + b"\r\n400\r\n",
}


@pytest.mark.parametrize("request_bytes", TOO_LARGE.values(), ids=TOO_LARGE)
def test_a_large_request_is_refused_before_its_end(server: MetricsServer, request_bytes: bytes) -> None:
    with connect(server) as client:
        client.sendall(request_bytes)
        if b"chunked" in request_bytes:
            client.sendall(b"x" * 1024 + b"\r\n")
        answer = read_answer(client)
    assert answer.status in (413, 431)
    assert ask(server, b"GET /healthz HTTP/1.0\r\n\r\n").body == b"ok\n"


def test_one_request_a_connection(server: MetricsServer) -> None:
    """Else a client queues up thousands of answers with one packet, and takes none."""
    with connect(server) as client:
        client.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: keep-alive\r\n\r\n" * 100)
        answer = read_answer(client)
    assert answer.body == b"ok\n"
    assert b"connection: close" in answer.head.lower()


@pytest.mark.parametrize("begin", [b"", b"GET /met", b"GET /metrics HTTP/1.1\r\nHo"])
def test_an_idle_connection_is_closed(server: MetricsServer, begin: bytes) -> None:
    with connect(server) as client:
        client.sendall(begin)
        wait_until_closed(client)


def test_a_connection_that_drips_is_closed(server: MetricsServer) -> None:
    """A header byte now and then keeps no connection open."""
    with connect(server) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nX: ")
        assert drip(client, b"x") < DEADLINE_SECONDS


def test_a_client_that_takes_no_answer_is_closed(server: MetricsServer) -> None:
    with connect(server, receive_buffer=1024) as client:
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n" * 50)
        deadline = time.monotonic() + DEADLINE_SECONDS
        while _open_channels(server) and time.monotonic() < deadline:
            assert ask(server, b"GET /healthz HTTP/1.0\r\n\r\n").body == b"ok\n"
        assert not _open_channels(server)


def _open_channels(server: MetricsServer) -> int:
    return len(server._server.active_channels)


def test_connections_are_bounded_and_come_back(server: MetricsServer) -> None:
    """With more idle clients than there is room for, a scrape waits until they are closed, and is answered."""
    with ExitStack() as clients:
        for _ in range(100):
            clients.enter_context(connect(server))
        answer = ask(server, b"GET /healthz HTTP/1.0\r\n\r\n")
        assert answer.body == b"ok\n"
        assert _open_channels(server) <= 64


def test_many_scrapes_at_once(server: MetricsServer) -> None:
    lengths: list[int] = []

    def scrape() -> None:
        for _ in range(3):
            lengths.append(len(ask(server, b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n").body))

    threads = [threading.Thread(target=scrape) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert len(lengths) == 48
    assert max(lengths) < LARGEST_ANSWER
