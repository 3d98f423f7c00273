"""Prometheus, Alertmanager and a webhook, started on free ports of 127.0.0.1, with their data in the test's folder."""

from __future__ import annotations

import functools
import json
import os
import shutil
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeVar

import pytest
import yaml

READY_SECONDS = 30.0
_POLL_SECONDS = 0.1
T = TypeVar("T")


def program(*names: str) -> str:
    """The path of the first that is installed; the test is skipped if none is."""
    for name in names:
        path = shutil.which(name)
        if path is not None:
            return path
    pytest.skip(f"{names[0]} is not installed")


def promtool(*arguments: str | Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [program("promtool"), *map(str, arguments)], input=stdin, capture_output=True, check=False, timeout=60
    )


def until(what: Callable[[], T | None], *, seconds: float, waiting_for: str) -> T:
    """The first result that is not None; fails after `seconds`."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = what()
        if found is not None:
            return found
        time.sleep(_POLL_SECONDS)
    raise AssertionError(f"no {waiting_for} within {seconds:g} s")


def stop(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


@dataclass(frozen=True, slots=True)
class Server:
    """What answers at a port of 127.0.0.1."""

    port: int

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}"

    def get(self, path: str, **parameters: str) -> Any:
        """The JSON answer; errors of the server are raised with its own words."""
        url = f"http://{self.address}{path}?{urllib.parse.urlencode(parameters)}"
        try:
            with urllib.request.urlopen(url, timeout=30) as answer:
                return json.load(answer)
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path} {parameters}: {error.read().decode()}") from error


@dataclass(frozen=True, slots=True)
class Prometheus(Server):
    def instant(self, query: str, at: float) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get("/api/v1/query", query=query, time=str(at))["data"]["result"]
        return found

    def over_time(self, query: str, start: float, end: float, step: float) -> list[dict[str, Any]]:
        parameters = {"query": query, "start": str(start), "end": str(end), "step": str(step)}
        found: list[dict[str, Any]] = self.get("/api/v1/query_range", **parameters)["data"]["result"]
        return found


@contextmanager
def prometheus(folder: Path, config: Mapping[str, Any], *options: str) -> Iterator[Prometheus]:
    """Prometheus with this configuration."""
    path = _config(folder, "prometheus", config)
    storage = f"--storage.tsdb.path={folder / 'prometheus-data'}"
    with _started(
        folder, program("prometheus"), f"--config.file={path}", storage, "--log.level=warn", *options, path="/-/ready"
    ) as port:
        yield Prometheus(port)


@contextmanager
def alertmanager(folder: Path, config: Mapping[str, Any]) -> Iterator[Server]:
    """Alertmanager with this configuration, alone."""
    path = _config(folder, "alertmanager", config)
    storage = f"--storage.path={folder / 'alertmanager-data'}"
    with _started(
        folder,
        program("prometheus-alertmanager", "alertmanager"),
        f"--config.file={path}",
        storage,
        "--cluster.listen-address=",
        path="/-/ready",
    ) as port:
        yield Server(port)


def _config(folder: Path, name: str, config: Mapping[str, Any]) -> Path:
    path = folder / f"{name}.yml"
    path.write_text(yaml.safe_dump(dict(config)))
    return path


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def _started(folder: Path, binary: str, *options: str, path: str) -> Iterator[int]:
    port = _free_port()
    log = folder / f"{Path(binary).name}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [binary, *options, f"--web.listen-address=127.0.0.1:{port}"],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder), "GOMAXPROCS": "1"},
        )
    try:
        until(functools.partial(_answers, process, port, path, log), seconds=READY_SECONDS, waiting_for=binary)
        yield port
    finally:
        stop(process)


def _answers(process: subprocess.Popen[bytes], port: int, path: str, log: Path) -> bool | None:
    assert process.poll() is None, log.read_text()
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status == 200 or None
    except OSError:
        return None


@dataclass(slots=True)
class Inbox:
    """What a webhook was sent: the time at which it came, and each alert."""

    url: str = ""
    alerts: list[tuple[float, dict[str, Any]]] = field(default_factory=list)

    def first(self, name: str, status: str) -> tuple[float, dict[str, Any]] | None:
        for at, alert in tuple(self.alerts):
            if (alert["labels"]["alertname"], alert["status"]) == (name, status):
                return at, alert
        return None


@contextmanager
def webhook() -> Iterator[Inbox]:
    """A receiver for Alertmanager's webhook notifications."""
    inbox = Inbox()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            now = time.time()
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            inbox.alerts.extend((now, each) for each in body["alerts"])
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _served(Handler) as port:
        inbox.url = f"http://127.0.0.1:{port}/"
        yield inbox


@contextmanager
def files(folder: Path) -> Iterator[Server]:
    """The files of a folder, over HTTP: stands where node_exporter's textfile collector would."""

    class Handler(SimpleHTTPRequestHandler):
        extensions_map = {"": "text/plain"}  # noqa: RUF012

        def log_message(self, format: str, *args: object) -> None:
            pass

    with _served(functools.partial(Handler, directory=str(folder))) as port:
        yield Server(port)


@contextmanager
def _served(handler: Callable[..., BaseHTTPRequestHandler]) -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        server.daemon_threads = True
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield server.server_address[1]
        finally:
            server.shutdown()
            thread.join()
