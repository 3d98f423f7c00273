"""A client of the metrics port that speaks in raw bytes, and may stop speaking or listening at any time."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

from wasmtrace.exporters.http import MetricsServer

DEADLINE_SECONDS = 20.0
_DRIP_SECONDS = 0.05


@dataclass(frozen=True, slots=True)
class Answer:
    status: int
    head: bytes
    body: bytes


def connect(server: MetricsServer, *, receive_buffer: int = 0) -> socket.socket:
    client = socket.socket()
    if receive_buffer:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    client.settimeout(DEADLINE_SECONDS)
    client.connect((server.host, server.port))
    return client


def ask(server: MetricsServer, request: bytes) -> Answer:
    with connect(server) as client:
        client.sendall(request)
        return read_answer(client)


def read_answer(client: socket.socket) -> Answer:
    """All that the server says until it closes."""
    data = b""
    while piece := _receive(client):
        data += piece
    head, _, body = data.partition(b"\r\n\r\n")
    return Answer(int(head.split(b" ", 2)[1]), head, body)


def _receive(client: socket.socket) -> bytes:
    try:
        return client.recv(65536)
    except ConnectionResetError:
        # The server closed before it had read all that was sent.
        return b""


def wait_until_closed(client: socket.socket) -> None:
    """Until the server closes; TimeoutError if it does not."""
    while _receive(client):
        pass


def drip(client: socket.socket, piece: bytes) -> float:
    """Sends the same bytes again and again, for how many seconds the server let it."""
    began = time.monotonic()
    client.settimeout(_DRIP_SECONDS)
    while (now := time.monotonic() - began) < DEADLINE_SECONDS:
        try:
            client.sendall(piece)
            if not client.recv(65536):
                break
        except TimeoutError:
            continue
        except OSError:
            break
    return now
