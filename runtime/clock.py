"""The clock that the guests read: a thread that writes the time into each telemetry memory about every
millisecond.

Reading WASI's clock costs the guest 68 ns, reading a cell one load. The same thread looks which frame is
innermost and adds the time since the last tick to that function: a sampling profile for nothing.

Only memories with a call in progress are attached. With none, the thread naps after a while and is woken by
the next call; a burst of short calls from the host does not pay for waking it each time.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Protocol

from wasmtrace.runtime.threads import start_daemon

TICK_SECONDS = 0.001
IDLE_TICKS = 50
_MANY, _REST = 32, 3
"""With so many memories attached, the thread sleeps at least so many times as long as it worked after each tick: a
quarter of a core is all it takes. With fewer a tick costs little, and of that most is the interpreter's lock."""
_TRIES = 3


def both_clocks(now_ns: Callable[[], int], wall_ns: Callable[[], int] = time.time_ns) -> tuple[int, int]:
    """Now on both clocks. A thread may be kept waiting between two readings: of a few tries the quickest counts."""
    tries = []
    for _ in range(_TRIES):
        before, wall, after = now_ns(), wall_ns(), now_ns()
        tries.append((after - before, before, wall))
    _, now, wall = min(tries)
    return now, wall


class Tickable(Protocol):
    """What the clock needs of a telemetry memory."""

    def tick(self, time_us: int) -> int: ...


class Face:
    """One telemetry memory as the clock sees it: when its time began, and who used the time."""

    __slots__ = ("_last_ns", "_memory", "_running", "origin_ns", "self_ns")

    def __init__(self, memory: Tickable, origin_ns: int) -> None:
        self._memory = memory
        self._last_ns = 0
        self._running = False
        self.origin_ns = origin_ns
        self.self_ns: dict[int, int] = {}
        """By function index: the time in which it was the innermost frame, sampled."""

    def begin(self, now_ns: int) -> None:
        """The guest is about to run."""
        self._last_ns = now_ns
        self._running = True
        self._memory.tick((now_ns - self.origin_ns) // 1000)

    def stop(self) -> None:
        """It has ended: what passes until the clock lets go is nobody's time."""
        self._running = False

    def show(self, now_ns: int) -> None:
        funcidx = self._memory.tick((now_ns - self.origin_ns) // 1000)
        if funcidx >= 0 and self._running:
            self.self_ns[funcidx] = self.self_ns.get(funcidx, 0) + now_ns - self._last_ns
        self._last_ns = now_ns


class Clock:
    """Ticks attached faces from one daemon thread. `now_ns` must never go back."""

    def __init__(
        self, now_ns: Callable[[], int] = time.perf_counter_ns, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.now_ns = now_ns
        self._sleep = sleep
        self._lock = threading.Lock()
        self._faces: dict[int, Face] = {}
        self._last_ns = 0
        self._wake = threading.Event()
        self._napping = False
        self._stopping = False
        self._thread: threading.Thread | None = None
        self.ticks = 0
        self.late_max_ns = 0
        """The longest time between two ticks while a guest ran."""
        self.cpu_seconds = 0.0

    @property
    def napping(self) -> bool:
        """Whether the thread waits for a face, without ticking."""
        return self._napping

    @property
    def alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread is not None and self._thread.is_alive()

    def attach(self, face: Face) -> None:
        """Sets the face's time now, and at each tick from now on."""
        with self._lock:
            now = self.now_ns()
            if not self._faces:
                self._last_ns = now
            self._faces[id(face)] = face
            face.begin(now)
            if self._thread is None and not self._stopping:
                self._thread = start_daemon(self._run, "wasmtrace-clock")
            elif self._napping:
                self._wake.set()

    def detach(self, face: Face) -> None:
        """After this returns the clock does not touch the face's memory any more."""
        with self._lock:
            self._faces.pop(id(face), None)

    def tick(self) -> int:
        """Shows the time on each attached face; returns how many there are."""
        with self._lock:
            faces = self._faces
            if faces:
                now = self.now_ns()
                elapsed = now - self._last_ns
                self._last_ns = now
                self.ticks += 1
                self.late_max_ns = max(self.late_max_ns, elapsed)
                for face in faces.values():
                    face.show(now)
            return len(faces)

    def close(self) -> None:
        """Ends the thread."""
        with self._lock:
            self._stopping = True
            thread = self._thread
        self._wake.set()
        if thread is not None and thread is not threading.current_thread():
            thread.join()

    def _run(self) -> None:
        idle = 0
        rest = 0.0
        while not self._stopping:
            self._sleep(max(TICK_SECONDS, rest))
            attached = self.tick()
            idle = 0 if attached else idle + 1
            used = time.thread_time()
            rest = _REST * (used - self.cpu_seconds) if attached >= _MANY else 0.0
            self.cpu_seconds = used
            if idle > IDLE_TICKS and self._nap():
                idle = 0

    def _nap(self) -> bool:
        """Waits for the next attach, if nothing is attached."""
        with self._lock:
            if self._faces or self._stopping:
                return True
            self._napping = True
            self._wake.clear()
        self._wake.wait()
        self._napping = False
        return True
