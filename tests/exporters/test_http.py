from __future__ import annotations

import gzip
import http.client
import logging
import socket
import threading
from collections.abc import Iterator

import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from hand_made import snapshot
from wasmtrace.errors import ExportError, UsageError
from wasmtrace.exporters.http import MetricsServer, parse_address
from wasmtrace.exporters.prometheus import SnapshotCollector, encode_text
from wasmtrace.records import Snapshot

ADDRESSES = {
    "host-port": ("example.org:9000", ("example.org", 9000)),
    "v4": ("0.0.0.0:0", ("0.0.0.0", 0)),
    "v6": ("[::1]:9000", ("::1", 9000)),
    "colon-port": (":9000", ("127.0.0.1", 9000)),
    "port": ("65535", ("127.0.0.1", 65535)),
}


@pytest.mark.parametrize(("text", "address"), ADDRESSES.values(), ids=ADDRESSES)
def test_parse_address(text: str, address: tuple[str, int]) -> None:
    assert parse_address(text) == address


BAD_ADDRESSES = {
    "empty": ("", "the port is a number from 0 to 65535"),
    "no-port": ("localhost", "the port is a number from 0 to 65535"),
    "empty-port": ("localhost:", "the port is a number from 0 to 65535"),
    "large": (":65536", "the port is a number from 0 to 65535"),
    "huge": (":" + "9" * 5000, "the port is a number from 0 to 65535"),
    "negative": (":-1", "the port is a number from 0 to 65535"),
    "other-digits": (":\u0669", "the port is a number from 0 to 65535"),
    "bare-v6": ("::1:9000", "an IPv6 address goes in brackets"),
    "url": ("http://x:9000", "an IPv6 address goes in brackets"),
    "space": ("a b:9000", "not a host name"),
    "escape": ("\x1b[2J:9000", "not a host name"),
}


@pytest.mark.parametrize(("text", "why"), BAD_ADDRESSES.values(), ids=BAD_ADDRESSES)
def test_bad_address(text: str, why: str) -> None:
    with pytest.raises(UsageError, match=why) as caught:
        parse_address(text)
    assert str(caught.value).isprintable()


class State:
    """What the collector reads: runs, or an error."""

    def __init__(self) -> None:
        self.error: Exception | None = None

    def __call__(self) -> list[Snapshot]:
        if self.error is not None:
            raise self.error
        return [snapshot()]


@pytest.fixture
def state() -> State:
    return State()


@pytest.fixture
def server(state: State) -> Iterator[MetricsServer]:
    server = MetricsServer(SnapshotCollector(state), "127.0.0.1", 0)
    server.start()
    yield server
    server.close()


def no_thread(thread: threading.Thread) -> None:
    raise RuntimeError("can't start new thread")


def test_a_server_without_a_thread_frees_its_port(monkeypatch: pytest.MonkeyPatch) -> None:
    server = MetricsServer(SnapshotCollector(State()), "127.0.0.1", 0)
    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", no_thread)
        with pytest.raises(RuntimeError, match="start new thread"):
            server.start()
    server.close()
    MetricsServer(SnapshotCollector(State()), "127.0.0.1", server.port).close()


def fetch(
    server: MetricsServer, path: str, method: str = "GET", **headers: str
) -> tuple[int, http.client.HTTPMessage, bytes]:
    connection = http.client.HTTPConnection(server.host, server.port, timeout=20)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    body = response.read()
    connection.close()
    return response.status, response.headers, body


def test_metrics_are_what_encode_text_gives(server: MetricsServer) -> None:
    status, headers, body = fetch(server, "/metrics")
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    assert body == encode_text(SnapshotCollector(lambda: [snapshot()]))
    assert "Server" not in headers


def test_openmetrics_is_served_to_who_asks(server: MetricsServer) -> None:
    _, headers, body = fetch(server, "/metrics", Accept="application/openmetrics-text; version=1.0.0")
    assert headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0")
    assert body.endswith(b"# EOF\n")
    families = list(parse_openmetrics(body.decode()))  # type: ignore[no-untyped-call]
    assert len(families) == len(list(parse_text(fetch(server, "/metrics")[2].decode())))


def test_gzip(server: MetricsServer) -> None:
    _, headers, body = fetch(server, "/metrics", **{"Accept-Encoding": "gzip"})
    assert headers["Content-Encoding"] == "gzip"
    assert gzip.decompress(body) == fetch(server, "/metrics")[2]


def test_chosen_names(server: MetricsServer) -> None:
    _, _, body = fetch(server, "/metrics?name[]=wasmtrace_runs_active")
    assert body.splitlines()[-1] == b'wasmtrace_runs_active{module="app.wasm"} 0.0'
    assert body.count(b"# TYPE") == 1


ANSWERS = [
    ("GET", "/healthz", 200, b"ok\n"),
    ("HEAD", "/healthz", 200, b""),
    ("POST", "/healthz", 405, b"use GET\n"),
    ("GET", "/", 404, b"not found: try /metrics or /healthz\n"),
    ("GET", "/metrics/", 404, b"not found: try /metrics or /healthz\n"),
    ("GET", "/%0d%0aX:y", 404, b"not found: try /metrics or /healthz\n"),
    ("POST", "/metrics", 405, b"# HTTP 405 Method Not Allowed: POST; use OPTIONS or GET\n"),
]


@pytest.mark.parametrize(("method", "path", "status", "body"), ANSWERS)
def test_answer(server: MetricsServer, method: str, path: str, status: int, body: bytes) -> None:
    answer = fetch(server, path, method)
    assert (answer[0], answer[2]) == (status, body)


def test_strange_accept_header_gets_text(server: MetricsServer) -> None:
    status, _, body = fetch(server, "/metrics", Accept="text/plain; version=x")
    assert (status, body) == (200, fetch(server, "/metrics")[2])


def test_error_in_a_scrape_is_an_answer_and_passes(
    server: MetricsServer, state: State, capfd: pytest.CaptureFixture[str]
) -> None:
    state.error = RuntimeError("it broke\x1b[2J")
    assert fetch(server, "/metrics")[::2] == (500, b"cannot read the telemetry: it broke\\x1b[2J\n")
    state.error = None
    assert fetch(server, "/metrics")[0] == 200
    assert capfd.readouterr() == ("", "")


def test_large_request_is_refused(server: MetricsServer) -> None:
    assert fetch(server, "/metrics", **{"X-Large": "x" * 20_000})[0] == 431
    assert fetch(server, "/metrics")[0] == 200


def test_two_servers_at_once(server: MetricsServer) -> None:
    other = MetricsServer(SnapshotCollector(list), "127.0.0.1", 0)
    other.start()
    assert b"app.wasm" in fetch(server, "/metrics")[2]
    assert b"app.wasm" not in fetch(other, "/metrics")[2]
    other.close()
    assert fetch(server, "/healthz")[0] == 200


def test_many_scrapes_at_once(server: MetricsServer) -> None:
    bodies: list[bytes] = []
    threads = [threading.Thread(target=lambda: bodies.append(fetch(server, "/metrics")[2])) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(bodies) == 16
    assert len(set(bodies)) == 1


def test_taken_port(server: MetricsServer) -> None:
    with pytest.raises(ExportError) as caught:
        MetricsServer(SnapshotCollector(list), "127.0.0.1", server.port)
    assert str(caught.value) == f"cannot listen on 127.0.0.1:{server.port}: address already in use"


BAD_HOSTS = {
    "not-ours": ("192.0.2.1", "cannot listen on 192.0.2.1:0: cannot assign requested address"),
    "v6-not-ours": ("2001:db8::1", "cannot listen on [2001:db8::1]:0: "),
    "no-such-name": ("no-such-host.invalid", "cannot listen on no-such-host.invalid:0: "),
    "nul": ("a\0b", "cannot listen on a\\x00b:0: "),
}


@pytest.mark.parametrize(("host", "message"), BAD_HOSTS.values(), ids=BAD_HOSTS)
def test_bad_host(host: str, message: str) -> None:
    with pytest.raises(ExportError) as caught:
        MetricsServer(SnapshotCollector(list), host, 0)
    assert str(caught.value).startswith(message)


def test_close_frees_the_port_and_ends_the_threads(state: State) -> None:
    before = threading.active_count()
    server = MetricsServer(SnapshotCollector(state), "127.0.0.1", 0)
    server.start()
    idle = socket.create_connection((server.host, server.port))
    assert fetch(server, "/healthz")[0] == 200
    server.close()
    again = MetricsServer(SnapshotCollector(state), "127.0.0.1", server.port)
    assert again.port == server.port
    again.close()
    server.close()
    idle.close()
    assert threading.active_count() == before


def test_close_before_start_frees_the_port() -> None:
    server = MetricsServer(SnapshotCollector(list), "localhost", 0)
    server.close()
    server.start()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.host, server.port), timeout=5)


def test_warnings_of_the_server_are_not_shown(server: MetricsServer, capfd: pytest.CaptureFixture[str]) -> None:
    logging.getLogger("waitress.queue").warning("task queue depth is 1")
    assert fetch(server, "/healthz")[0] == 200
    assert capfd.readouterr().err == ""


@pytest.mark.skipif(not socket.has_ipv6, reason="no IPv6 here")
def test_ipv6() -> None:
    try:
        server = MetricsServer(SnapshotCollector(list), "::1", 0)
    except ExportError as error:
        pytest.skip(str(error))
    server.start()
    assert fetch(server, "/healthz")[2] == b"ok\n"
    server.close()
