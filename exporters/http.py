"""Serves `/metrics` and `/healthz` while the guest runs.

Waitress is the server: it bounds connections and request sizes. A connection is for one request, which must
have come, and whose answer must have been taken, within a time that no drip of bytes prolongs. The format and
the negotiation are `exporters.prometheus`'s. The port is bound in the constructor: a taken one is known before
the guest starts.
"""

from __future__ import annotations

import contextlib
import logging
import math
import socket
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from waitress import wasyncore
from waitress.channel import HTTPChannel
from waitress.server import create_server

from wasmtrace.errors import ExportError, UsageError
from wasmtrace.exporters.prometheus import SnapshotCollector, metrics_app
from wasmtrace.exporters.text import printable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

DEFAULT_HOST = "127.0.0.1"
_PLAIN = ("Content-Type", "text/plain; charset=utf-8")
_LIMITS: dict[str, Any] = {
    "threads": 2,
    "backlog": 64,
    "connection_limit": 64,
    "max_request_header_size": 16384,
    "max_request_body_size": 1024,
    "ident": None,
    "asyncore_use_poll": True,  # select() takes no descriptor above 1023
}
_STOP_SECONDS = 5.0
IDLE_SECONDS = 15
"""For the request to come, and then for its answer to be taken."""


def parse_address(text: str) -> tuple[str, int]:
    """Host and port of `ADDR:PORT`, `[V6]:PORT`, `:PORT` or `PORT`. Raises: `UsageError`."""
    host, colon, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise _bad_address(text, "an IPv6 address goes in brackets")
    if not (port.isascii() and port.isdigit() and len(port) <= 5 and int(port) <= 65535):
        raise _bad_address(text, "the port is a number from 0 to 65535")
    if any(not char.isprintable() or char in " []/" for char in host):
        raise _bad_address(text, "not a host name")
    return (host or DEFAULT_HOST) if colon else DEFAULT_HOST, int(port)


def _bad_address(text: str, why: str) -> UsageError:
    return UsageError(f"expected ADDR:PORT, got '{printable(text)}': {why}")


class MetricsServer:
    """One listening port. `start` serves in a thread, `close` frees the port; a second call does nothing.

    Raises: `ExportError` from the constructor if the address cannot be had.
    """

    def __init__(self, collector: SnapshotCollector, host: str, port: int, *, idle_seconds: int = IDLE_SECONDS) -> None:
        listener = _listen(host, port)
        self.host = host
        self.port: int = listener.getsockname()[1]
        self._sockets: dict[int, Any] = {}
        logging.getLogger("waitress").addHandler(logging.NullHandler())  # else warnings land on the guest's stderr
        limits = {**_LIMITS, "channel_timeout": idle_seconds, "cleanup_interval": min(idle_seconds, 5)}
        server: Any = create_server(_app(collector), map=self._sockets, sockets=[listener], **limits)
        server.channel_class = _OneRequest
        self._server = server
        self._thread: threading.Thread | None = None
        self._closed = False

    def start(self) -> None:
        """Serve in a daemon thread."""
        if self._thread is None and not self._closed:
            thread = threading.Thread(target=self._server.run, name="wasmtrace-metrics", daemon=True)
            thread.start()  # where there is none to be had, `close` must find none
            self._thread = thread

    def close(self) -> None:
        """Free the port, let the answers in progress end (5 s at most), stop the threads."""
        if self._closed:
            return
        self._closed = True
        self._in_loop(lambda: wasyncore.dispatcher.close(self._server))
        self._server.task_dispatcher.shutdown(timeout=_STOP_SECONDS)
        if self._server.task_dispatcher.threads:
            return  # a thread still answers: it may write to the trigger, whose descriptor must not be reused
        self._in_loop(lambda: wasyncore.close_all(self._sockets))
        if self._thread is not None:
            self._thread.join(_STOP_SECONDS)

    def _in_loop(self, action: Any) -> None:
        """Do it in the thread that owns the sockets, and wait for that; here, if none was started."""
        if self._thread is None or not self._thread.is_alive():
            action()
            return
        done = threading.Event()

        def act() -> None:
            try:
                action()
            finally:
                done.set()

        self._server.trigger.pull_trigger(act)
        done.wait(_STOP_SECONDS)


class _OneRequest(HTTPChannel):
    """A connection that closes after its first request, so that nobody queues up answers without taking them,
    and whose time runs from its beginning, and anew from its answer, whatever bytes come or go."""

    _since: float | None = None

    @property
    def last_activity(self) -> float:
        return self.creation_time if self._since is None else self._since

    @last_activity.setter
    def last_activity(self, now: float) -> None:
        """Waitress tells of each byte here."""

    def service(self) -> None:
        self._since = math.inf
        headers: Any = self.requests[0].headers
        headers["CONNECTION"] = "close"
        super().service()
        self._since = time.time()


def _listen(host: str, port: int) -> socket.socket:
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(
            host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(_LIMITS["backlog"])
    except (OSError, ValueError) as error:
        with contextlib.suppress(OSError):
            if listener is not None:
                listener.close()
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        shown = f"[{host}]" if ":" in host else host
        raise ExportError(f"cannot listen on {printable(shown)}:{port}: {reason.lower()}") from error
    return listener


def _app(collector: SnapshotCollector) -> WSGIApplication:
    metrics = metrics_app(collector)

    def app(environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            return metrics(environ, start_response)
        if path != "/healthz":
            start_response("404 Not Found", [_PLAIN])
            return [b"not found: try /metrics or /healthz\n"]
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            start_response("405 Method Not Allowed", [_PLAIN, ("Allow", "GET, HEAD")])
            return [b"use GET\n"]
        start_response("200 OK", [_PLAIN])
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [b"ok\n"]

    return app
