"""Which span shows a slow call: for each series of slow calls, the last one that has a span.

Whoever sends spans notes them here; the readers of metrics look them up: `/metrics` in OpenMetrics format, and OTLP.
An exemplar's value is what the call has added to the counter: 1, or its seconds.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from dataclasses import dataclass

from wasmtrace.exporters.series import Key
from wasmtrace.exporters.totals import label

MOST_SERIES = 4096
COUNTS: Mapping[str, str] = {"function_slow_calls": "function", "host_slow_calls": "host"}
"""Metrics that count slow calls, by their keys in `families`, and what is called."""
SECONDS: Mapping[str, str] = {"function_slow_ns": "function", "host_slow_ns": "host"}
"""Metrics that add up their time."""
LINKED = frozenset(COUNTS) | frozenset(SECONDS)


@dataclass(frozen=True, slots=True)
class Exemplar:
    """One slow call, and the span that shows it."""

    trace_id: int
    span_id: int
    seconds: float
    at_unix_ns: int
    """When it ended."""


def function_key(module: str, function: str) -> Key:
    """The label values of a function's series."""
    return label(module), label(function)


def host_key(module: str, namespace: str, function: str) -> Key:
    """The label values of an import's series."""
    return label(module), label(namespace), label(function)


class Exemplars:
    """The latest of each series; of at most `most` series, those that were slow last. Any thread."""

    def __init__(self, most: int = MOST_SERIES) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._latest: dict[Key, Exemplar] = {}

    def note(self, key: Key, exemplar: Exemplar) -> None:
        """A slow call has a span. Calls of one series may come in any order."""
        with self._lock:
            before = self._latest.pop(key, None)
            if before is not None and before.at_unix_ns > exemplar.at_unix_ns:
                exemplar = before
            elif before is None and len(self._latest) >= self._most:
                del self._latest[next(iter(self._latest))]
            self._latest[key] = exemplar

    def of(self, metric: str, key: Key) -> tuple[Exemplar, float] | None:
        """The exemplar of a sample, and its value; None for metrics that have none."""
        if metric not in LINKED:
            return None
        with self._lock:
            found = self._latest.get(key)
        return None if found is None else (found, 1.0 if metric in COUNTS else found.seconds)
