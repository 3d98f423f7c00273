"""A real receiver of OTLP over gRPC and HTTP, started on free ports of 127.0.0.1, and read back over HTTP.

It is ddapm-test-agent, in a virtual environment of its own (`make test` makes it): its dependencies are not ours.
Where it is not, the tests that need it are skipped.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import pytest

from servers import stop

BINARY = Path(__file__).parents[2] / ".cache" / "ddapm" / "bin" / "ddapm-test-agent"
READY_SECONDS = 60.0
ARRIVAL_SECONDS = 30.0
_POLL_SECONDS = 0.05
T = TypeVar("T")


def until(what: Callable[[], T], *, seconds: float = ARRIVAL_SECONDS, waiting_for: str) -> T:
    """The first result that is true; fails after `seconds`."""
    ends = time.monotonic() + seconds
    while time.monotonic() < ends:
        found = what()
        if found:
            return found
        time.sleep(_POLL_SECONDS)
    raise AssertionError(f"no {waiting_for} within {seconds:g} s")


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


@dataclass(frozen=True, slots=True)
class Receiver:
    """What has come in since the start, or since `clear`. Names of fields are those of the protocol's JSON form with
    underscores as the receiver gives them."""

    http_port: int
    grpc_port: int
    process: subprocess.Popen[bytes]

    def endpoint(self, protocol: str) -> str:
        """For `--otlp=` and `OTEL_EXPORTER_OTLP_ENDPOINT`."""
        return f"http://127.0.0.1:{self.grpc_port if protocol == 'grpc' else self.http_port}"

    def environment(self, protocol: str) -> dict[str, str]:
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": self.endpoint(protocol),
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }

    def _get(self, what: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.http_port}/test/session/{what}", timeout=30) as answer:
            return json.load(answer) if what != "clear" else answer.read()

    def clear(self) -> None:
        self._get("clear")

    def traces(self) -> list[dict[str, Any]]:
        """Each request for traces."""
        return list(self._get("traces"))

    def metrics(self) -> list[dict[str, Any]]:
        return list(self._get("metrics"))

    def logs(self) -> list[dict[str, Any]]:
        return list(self._get("logs"))

    def spans(self) -> list[dict[str, Any]]:
        """All spans of all requests."""
        return [
            span
            for request in self.traces()
            for resource in request["resource_spans"]
            for scope in resource["scope_spans"]
            for span in scope["spans"]
        ]

    def metric_points(self) -> dict[str, list[dict[str, Any]]]:
        """By name of the metric: the points of all requests, each with its attributes as a mapping."""
        found: dict[str, list[dict[str, Any]]] = {}
        for request in self.metrics():
            for resource in request["resource_metrics"]:
                for scope in resource["scope_metrics"]:
                    for metric in scope["metrics"]:
                        data = metric.get("sum") or metric.get("gauge") or {}
                        for point in data.get("data_points", ()):
                            entry = {**point, "attributes": attributes(point)}
                            found.setdefault(metric["name"], []).append(entry)
        return found

    def log_records(self) -> list[dict[str, Any]]:
        """All log records, attributes as a mapping, the body as its text."""
        return [
            {**record, "attributes": attributes(record), "body": record["body"]["string_value"]}
            for request in self.logs()
            for resource in request["resource_logs"]
            for scope in resource["scope_logs"]
            for record in scope["log_records"]
        ]


def attributes(owner: dict[str, Any]) -> dict[str, Any]:
    """The attributes of a span, point, record or resource, by key."""
    return {each["key"]: next(iter(each["value"].values()), None) for each in owner.get("attributes", ())}


@contextmanager
def receiver(folder: Path, ports: Sequence[int] = ()) -> Iterator[Receiver]:
    """The receiver, started; its files are in `folder`. `ports`: its own, of HTTP and of gRPC, if not just any."""
    if not BINARY.exists():
        pytest.skip(f"no receiver: {BINARY} is not there (make test puts it there)")
    agent, http, grpc = ports or free_ports(3)
    log = folder / "receiver.log"
    options = ["--port", agent, "--otlp-http-port", http, "--otlp-grpc-port", grpc, "--web-ui-port", 0]
    with log.open("wb") as output:
        process = subprocess.Popen(
            [BINARY, *map(str, options)],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"PATH": os.environ.get("PATH", ""), "HOME": str(folder)},
        )
    try:
        found = Receiver(http, grpc, process)
        until(lambda: _ready(found, log), seconds=READY_SECONDS, waiting_for="answer of the receiver")
        yield found
    finally:
        stop(process)


def _ready(found: Receiver, log: Path) -> bool:
    assert found.process.poll() is None, log.read_text()
    try:
        found.clear()
        with socket.create_connection(("127.0.0.1", found.grpc_port), timeout=5):
            return True
    except OSError:
        return False
