"""Counts what was meant to be sent and was not, by reason. Any thread."""

from __future__ import annotations

import threading
from collections.abc import Mapping

QUEUE_FULL = "queue_full"
REFUSED = "refused"
"""The collector did not take it: not there, too slow, or an answer that is no success."""
UNFINISHED = "unfinished"
"""The run ended, and so did the time to wait for the collector."""


class Losses:
    """Counters by reason, such as `otlp_logs_refused`, and one sentence on the first failure."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: dict[tuple[str, str], int] = {}
        self._first: str | None = None

    def add(self, signal: str, reason: str, count: int, why: str | None = None) -> None:
        """`count` items of a signal were lost; `why` is kept if it is the first."""
        if count <= 0:
            return
        with self._lock:
            self._counts[signal, reason] = self._counts.get((signal, reason), 0) + count
            self._first = self._first or why

    @property
    def by_reason(self) -> Mapping[str, int]:
        """For `wasmtrace_dropped_records_total`."""
        with self._lock:
            return {f"otlp_{signal}_{reason}": count for (signal, reason), count in sorted(self._counts.items())}

    @property
    def complaint(self) -> str | None:
        """What to say of it at the end, in one line; None if nothing was lost."""
        with self._lock:
            if not self._counts:
                return None
            by_signal: dict[str, int] = {}
            for (signal, _), count in sorted(self._counts.items()):
                by_signal[signal] = by_signal.get(signal, 0) + count
            lost = ", ".join(f"{count:,} {_ITEMS.get(signal, signal)}" for signal, count in by_signal.items())
            reasons = "queue full" if {reason for _, reason in self._counts} == {QUEUE_FULL} else "not taken in time"
            return f"telemetry was lost ({lost}): {self._first or reasons}"


_ITEMS = {"logs": "log records", "metrics": "metric points", "traces": "spans"}
