"""The thread that feeds the detectors: reads each watched instance ten times a second, and tells what they find.

An instance is watched while it runs and for a little after; one that nobody calls costs nothing. Who calls it says so.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from wasmtrace.errors import GuestError
from wasmtrace.records import Anomaly, AnomalyKind
from wasmtrace.runtime.anomaly.detector import Detector
from wasmtrace.runtime.anomaly.reading import TICK_US, Reading
from wasmtrace.runtime.anomaly.settings import AnomalyCallback
from wasmtrace.runtime.threads import start_daemon

IDLE_US = 2_000_000
"""After so long without a call, and if nothing goes on, an instance is no longer looked at."""
_REST, _MOST_REST = 9, 4
"""After a round the thread rests so many times as long as it worked, a tenth of a core, however many instances there
are; but never for longer than so many of its intervals: a window of a second needs readings."""


class Source(Protocol):
    """Where readings come from."""

    def reading(self) -> Reading: ...


class AnomalyWatch:
    """One instance: its detector, and who is told."""

    def __init__(
        self,
        detector: Callable[[], Detector],
        source: Source,
        emit: Callable[[Anomaly], None],
        callback: AnomalyCallback | None,
    ) -> None:
        """`detector` is called by the watching thread: it may read the names of all functions."""
        self._make_detector = detector
        self._detector: Detector | None = None
        self._source = source
        self._emit = emit
        self._callback = callback
        self._lock = threading.Lock()
        self._active_us = 0
        self._over = False
        self._shown: tuple[Anomaly, ...] = ()
        self._counts: Mapping[tuple[AnomalyKind, str], int] = {}
        self.attached = False
        self.callback_errors = 0
        """How often the callback has raised."""
        self.error: str | None = None
        """Why the instance is watched no more, if it is a fault of ours."""

    def look(self) -> bool:
        """Takes a reading and tells what it shows; whether to go on looking. Never raises."""
        try:
            with self._lock:
                if self._over:
                    return False
                reading = self._source.reading()
                changed, goes_on = self._observe(reading)
        except GuestError:
            return False
        except Exception as error:
            self.error = f"{type(error).__name__}: {error}"
            return False
        self._tell(changed)
        return goes_on

    def _observe(self, reading: Reading) -> tuple[list[Anomaly], bool]:
        if self._detector is None:
            self._detector = self._make_detector()
        if reading.running:
            self._active_us = reading.now_us
        changed = self._detector.observe(reading)
        self._show()
        idle = reading.now_us - self._active_us > IDLE_US
        return changed, not (idle and self._detector.quiet)

    def settle(self, now_us: int) -> None:
        """The run is over, and what went on has ended."""
        with self._lock:
            if self._over:
                return
            self._over = True
            changed = [] if self._detector is None else self._detector.settle(now_us)
            self._show()
        self._tell(changed)

    def _show(self) -> None:
        if self._detector is not None:
            self._shown, self._counts = self._detector.anomalies(), self._detector.counts()

    def _tell(self, changed: list[Anomaly]) -> None:
        for anomaly in changed:
            self._emit(anomaly)
            if self._callback is not None:
                try:
                    self._callback(anomaly)
                except Exception:
                    self.callback_errors += 1

    def anomalies(self) -> tuple[Anomaly, ...]:
        """As they stood at the last look; waits for nobody."""
        return self._shown

    def counts(self) -> Mapping[tuple[AnomalyKind, str], int]:
        """How many there were, by kind and name."""
        return self._counts


class Watcher:
    """Looks at each attached instance from one daemon thread; naps while there are none."""

    def __init__(self, interval_seconds: float = TICK_US / 1e6) -> None:
        self._interval = interval_seconds
        self._lock = threading.Lock()
        self._watches: list[AnomalyWatch] = []
        self._wake = threading.Event()
        self._ended = threading.Event()
        self._thread: threading.Thread | None = None
        self.cpu_seconds = 0.0

    def attach(self, watch: AnomalyWatch) -> None:
        """Looks at it from now on, until it says that it need not be. Does nothing for one that is looked at."""
        with self._lock:
            if watch.attached or self._ended.is_set():
                return
            watch.attached = True
            self._watches.append(watch)
            if self._thread is None:
                self._thread = start_daemon(self._run, "wasmtrace-anomalies")
        self._wake.set()

    def close(self) -> None:
        """Ends the thread."""
        self._ended.set()
        self._wake.set()
        thread = self._thread
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        due = time.monotonic()
        worked = 0.0
        while True:
            due = max(due + self._interval, time.monotonic() + self._rest(worked))
            if self._ended.wait(due - time.monotonic()):
                return
            with self._lock:
                watches = list(self._watches)
                if not watches:
                    self._wake.clear()
            if not watches:
                # `close` sets `_ended` first: whoever has cleared its wake sees that.
                if not self._ended.is_set():
                    self._wake.wait()
                due = time.monotonic()
                continue
            self._look(watches)
            used = time.thread_time()
            worked, self.cpu_seconds = used - self.cpu_seconds, used

    def _rest(self, worked: float) -> float:
        """Seconds, after so many of work."""
        return max(self._interval / 2, min(_REST * worked, _MOST_REST * self._interval))

    def _look(self, watches: list[AnomalyWatch]) -> None:
        for watch in watches:
            if not watch.look():
                with self._lock:
                    self._watches.remove(watch)
                    watch.attached = False
