"""A queue of bounded size between the guest and the network: whoever puts never waits, what does not fit is counted.

It takes items from the first moment on; a worker sends them, in batches, from when `start` said how.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from typing import Generic, TypeVar

from wasmtrace.exporters.otlp.losses import QUEUE_FULL, UNFINISHED, Losses

T = TypeVar("T")
MOST_ITEMS = 8192
MOST_BYTES = 4 << 20
BATCH_ITEMS = 512
SEND_SECONDS = 1.0


class Batches(Generic[T]):
    """Items of one signal on their way. `weigh` gives the bytes that an item holds."""

    def __init__(
        self,
        signal: str,
        losses: Losses,
        weigh: Callable[[T], int],
        *,
        most_items: int = MOST_ITEMS,
        most_bytes: int = MOST_BYTES,
    ) -> None:
        self._signal = signal
        self._losses = losses
        self._weigh = weigh
        self._most_items = most_items
        self._most_bytes = most_bytes
        self._bytes = 0
        self._items: deque[T] = deque()
        self._changed = threading.Condition()
        self._ending = False
        self._over = False
        self._worker: threading.Thread | None = None

    def put(self, items: Sequence[T]) -> None:
        """Takes what there is room for, the oldest first. Any thread; never waits for the network."""
        dropped = 0
        with self._changed:
            for item in items:
                weight = self._weigh(item)
                if self._over or len(self._items) >= self._most_items or self._bytes + weight > self._most_bytes:
                    dropped += 1
                else:
                    self._items.append(item)
                    self._bytes += weight
            if len(self._items) >= BATCH_ITEMS:
                self._changed.notify()
        self._losses.add(self._signal, QUEUE_FULL, dropped)

    def start(self, send: Callable[[list[T]], object], *, every_seconds: float = SEND_SECONDS) -> None:
        """From now on `send` gets what has been put, in a thread of its own; it counts by itself what it loses."""
        worker = threading.Thread(
            target=self._work, args=(send, every_seconds), name=f"wasmtrace-{self._signal}", daemon=True
        )
        worker.start()  # where there is none to be had, `close` must find none
        self._worker = worker

    def _work(self, send: Callable[[list[T]], object], every_seconds: float) -> None:
        while True:
            batch = self._next(every_seconds)
            if batch:
                send(batch)
            elif self._ending:
                return

    def _next(self, every_seconds: float) -> list[T]:
        with self._changed:
            ends = time.monotonic() + every_seconds
            while not self._ending and len(self._items) < BATCH_ITEMS and (left := ends - time.monotonic()) > 0:
                self._changed.wait(left)
            batch = [self._items.popleft() for _ in range(min(BATCH_ITEMS, len(self._items)))]
            self._bytes -= sum(map(self._weigh, batch))
            return batch

    def close(self, seconds: float) -> None:
        """Sends what is left, and waits at most so long for that."""
        with self._changed:
            self._ending = True
            self._changed.notify()
        if self._worker is not None:
            self._worker.join(seconds)

    def abandon(self) -> None:
        """The time is over: what is left is lost."""
        with self._changed:
            self._over = self._ending = True
            left = len(self._items)
            self._items.clear()
            self._bytes = 0
            self._changed.notify()
        self._losses.add(self._signal, UNFINISHED, left)
