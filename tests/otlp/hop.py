"""rotel, a collector that takes OTLP and passes it on: started on free ports of 127.0.0.1.

It is in the virtual environment of the receiver (`make test` puts it there). Where it is not, its tests are skipped.
"""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from receiver import BINARY, READY_SECONDS, free_ports, until
from servers import stop

_PLACES = "lib/python3*/site-packages/rotel/rotel-agent"


@dataclass(frozen=True, slots=True)
class Hop:
    """Where the collector listens."""

    http_port: int
    grpc_port: int

    def environment(self, protocol: str) -> dict[str, str]:
        port = self.grpc_port if protocol == "grpc" else self.http_port
        return {
            "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{port}",
            "OTEL_EXPORTER_OTLP_PROTOCOL": protocol,
        }


@contextmanager
def hop(folder: Path, onward: str, protocol: str) -> Iterator[Hop]:
    """The collector; it sends all that it gets to `onward`, by this protocol."""
    agent = next(BINARY.parent.parent.glob(_PLACES), None)
    if agent is None:
        pytest.skip(f"no rotel in {BINARY.parent.parent} (make test puts it there)")
    http, grpc = free_ports(2)
    options = {
        "otlp-http-endpoint": f"127.0.0.1:{http}",
        "otlp-grpc-endpoint": f"127.0.0.1:{grpc}",
        "exporter": "otlp",
        "otlp-exporter-endpoint": onward,
        "otlp-exporter-protocol": "grpc" if protocol == "grpc" else "http",
        "otlp-exporter-retry-initial-backoff": "100ms",
        "pid-file": str(folder / "rotel.pid"),
        "log-file": str(folder / "rotel-own.log"),
    }
    log = folder / "rotel.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            [agent, "start", *(f"--{name}={value}" for name, value in options.items())],
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={"HOME": str(folder)},
        )
    try:
        until(
            lambda: _listens(process, (http, grpc), log), seconds=READY_SECONDS, waiting_for="answer of the collector"
        )
        yield Hop(http, grpc)
    finally:
        stop(process)


def _listens(process: subprocess.Popen[bytes], ports: tuple[int, ...], log: Path) -> bool:
    assert process.poll() is None, log.read_text()
    try:
        for port in ports:
            socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
