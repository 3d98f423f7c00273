"""Who used how much time: wall and CPU seconds of the guest alone, readable while it runs."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable


class Account:
    """Adds up the periods in which one guest ran, each on one thread."""

    def __init__(self, now_ns: Callable[[], int]) -> None:
        self._now_ns = now_ns
        self._lock = threading.Lock()
        self._wall_ns = 0
        self._cpu_seconds = 0.0
        self._began_ns = 0
        self._cpu_began = 0.0
        self._thread_ident: int | None = None

    def begin(self) -> None:
        """The guest begins to run on this thread."""
        with self._lock:
            self._began_ns = self._now_ns()
            self._cpu_began = time.thread_time()
            self._thread_ident = threading.get_ident()

    def end(self) -> None:
        """It has ended, on the same thread."""
        with self._lock:
            self._wall_ns += self._now_ns() - self._began_ns
            self._cpu_seconds += time.thread_time() - self._cpu_began
            self._thread_ident = None

    def read(self) -> tuple[float, float]:
        """Wall and CPU seconds up to now. Any thread."""
        with self._lock:
            if self._thread_ident is None:
                return self._wall_ns / 1e9, self._cpu_seconds
            # The thread cannot have ended: it would have to take the lock in `end` first.
            clock = time.pthread_getcpuclockid(self._thread_ident)
            cpu = self._cpu_seconds + time.clock_gettime(clock) - self._cpu_began
            return (self._wall_ns + self._now_ns() - self._began_ns) / 1e9, cpu
