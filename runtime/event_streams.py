"""Where the guest events of one instance go: to sinks that take whole blocks, and to streams that Python code iterates.

A stream keeps undecoded records, and decodes them in the thread that asks for them: the reading thread serves the
others meanwhile. What the guest did before the first stream was made is kept for that one.
"""

from __future__ import annotations

import threading
import weakref
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import Self

from wasmtrace import layout as cells
from wasmtrace.errors import UsageError
from wasmtrace.layout import EVENT_BYTES, EVENT_STRUCT
from wasmtrace.records import EventBlock, EventBlockSink, EventSource, GuestEvent
from wasmtrace.runtime.drain import decode_events, event_struct
from wasmtrace.sites import FunctionNames, SiteTable

STREAM_LIMIT = 1 << 16
"""Events that a stream, and what is kept for the first one, holds for a consumer that is slower than the guest."""


LOSSLESS_KEPT = 1 << 20
"""What is kept for the first stream where none may be lost: there need not be any, so the guest cannot wait for it."""


class EventStream:
    """Iterates the events of one run as they come, and ends with it. For one thread; `close` may come from any."""

    def __init__(self, decode: Callable[[bytes], EventBlock], wanted: frozenset[int] | None, limit: int | None) -> None:
        self._decode = decode
        self._wanted = wanted
        self._limit = limit
        self._changed = threading.Condition()
        self._blocks: deque[bytes] = deque()
        self._queued = 0
        self._ended = False
        self._ready: Iterator[GuestEvent] = iter(())
        self.dropped = 0
        """Events that came while the queue was full."""

    def put(self, data: bytes) -> None:
        """For the hub: a whole number of records. Never waits."""
        data = self._chosen(data)
        with self._changed:
            if self._ended:
                return
            count = len(data) // EVENT_BYTES
            taken = count if self._limit is None else min(count, self._limit - self._queued)
            self.dropped += count - taken
            if taken:
                self._queued += taken
                self._blocks.append(data[: taken * EVENT_BYTES])
                self._changed.notify()

    def _chosen(self, data: bytes) -> bytes:
        wanted = self._wanted
        if wanted is None:
            return data
        frames = [row[0] for row in EVENT_STRUCT.iter_unpack(data)]
        return b"".join(
            data[number * EVENT_BYTES : (number + 1) * EVENT_BYTES]
            for number, frame in enumerate(frames)
            if frame & cells.SITE_MASK in wanted
        )

    def waiting(self) -> int:
        """How many events are there that nobody has asked for yet."""
        return self._queued

    def end(self) -> None:
        """No more will come; those that are there can still be had."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def close(self) -> None:
        """Ends at once, and lets go of what is there."""
        with self._changed:
            self._blocks.clear()
            self._queued = 0
        self._ready = iter(())
        self.end()

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> GuestEvent:
        while True:
            event = next(self._ready, None)
            if event is not None:
                return event
            with self._changed:
                while not self._blocks:
                    if self._ended:
                        raise StopIteration
                    self._changed.wait()
                data = self._blocks.popleft()
                self._queued -= len(data) // EVENT_BYTES
            self._ready = self._decode(data).events()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class EventHub:
    """Gives each block of events to those who want it. A sink that raises is dropped, and that block counted as lost.

    With `lossless` no stream drops: the ring is left alone while one is full, and so the guest waits.
    """

    def __init__(
        self,
        sites: SiteTable,
        names: Callable[[], FunctionNames],
        started_unix_ns: int,
        sinks: Sequence[EventBlockSink] = (),
        *,
        lossless: bool = False,
    ) -> None:
        self._names = names
        self._started_unix_ns = started_unix_ns
        self._hosts = len(sites.host_functions)
        self._sites = {site.funcidx: site for site in sites.events}
        self._floats = {site.funcidx: event_struct(site.kinds) for site in sites.events if {"f", "d"} & set(site.kinds)}
        self._sources: dict[int, EventSource] = {}
        self._sinks = list(sinks)
        self._lock = threading.Lock()
        self._streams: weakref.WeakSet[EventStream] = weakref.WeakSet()
        self._kept: list[bytes] | None = []
        """What came before the first stream, while there is room; None once it has been handed out."""
        self._kept_count = 0
        self._missed = 0
        self._ended = False
        self.lossless = lossless
        self.lost = 0
        """Events that a sink could not take."""
        self.malformed = 0
        self.sink_errors: list[str] = []

    def add_sink(self, sink: EventBlockSink) -> None:
        self._sinks.append(sink)

    def describe(self, key: int) -> tuple[EventSource, int]:
        """What a row's key says: the function, and the time in µs."""
        funcidx = key & cells.SITE_MASK
        source = self._sources.get(funcidx)
        if source is None:
            site = self._sites[funcidx]
            name = self._names()[funcidx]
            source = EventSource(name, funcidx < self._hosts, site.kinds, site.left_out)
            self._sources[funcidx] = source
        return source, key >> cells.SITE_BITS

    def decode(self, data: bytes) -> EventBlock:
        """A whole number of records as a block; those that make no sense are left out."""
        rows, malformed = decode_events(data, self._sites, self._floats)
        self.malformed += malformed
        return EventBlock(rows, self.describe, self._started_unix_ns)

    def deliver(self, data: bytes) -> None:
        """To every stream, and if there are any, to the sinks."""
        with self._lock:
            if self._kept is not None:
                self._keep(data)
            for stream in list(self._streams):
                stream.put(data)
        if self._sinks:
            self._give(self.decode(data))

    def _keep(self, data: bytes) -> None:
        assert self._kept is not None
        room = (LOSSLESS_KEPT if self.lossless else STREAM_LIMIT) - self._kept_count
        count = len(data) // EVENT_BYTES
        if room:
            self._kept.append(data[: room * EVENT_BYTES])
        self._kept_count += min(room, count)
        self._missed += max(0, count - room)

    def _give(self, block: EventBlock) -> None:
        for sink in tuple(self._sinks):
            try:
                self.lost += sink(block)
            except Exception as error:
                self._sinks.remove(sink)
                self.lost += len(block.rows)
                self.sink_errors.append(f"{type(error).__name__}: {error}")

    def subscribe(self, glob: str, limit: int = STREAM_LIMIT) -> EventStream:
        """A stream of the events of the functions that `glob` names, in either form.

        Raises `UsageError` if none of them is an event in this program.
        """
        if limit < 1:
            raise UsageError(f"expected room for at least one event, got {limit}")
        wanted = None if glob == "*" else frozenset(filter(lambda index: self._named(index, glob), self._sites))
        if not (self._sites if wanted is None else wanted):
            raise UsageError(f"no function of the name {glob!r} is an event: RuntimeConfig.events says which are")
        with self._lock:
            kept, self._kept = self._kept or [], None
            stream = EventStream(self.decode, wanted, None if self.lossless else limit)
            for data in kept:
                stream.put(data)
            stream.dropped += self._missed
            self._missed = 0
            if self._ended:
                stream.end()
            self._streams.add(stream)
        return stream

    def _named(self, funcidx: int, glob: str) -> bool:
        name = self._names()[funcidx]
        return fnmatchcase(name.name, glob) or fnmatchcase(name.raw_name, glob)

    @property
    def held_up(self) -> bool:
        """Whether a consumer that must not miss anything has to catch up first."""
        if not self.lossless:
            return False
        with self._lock:
            return any(stream.waiting() >= STREAM_LIMIT for stream in self._streams)

    def end(self) -> None:
        """The run is over: streams end when they are empty."""
        with self._lock:
            self._ended = True
            for stream in list(self._streams):
                stream.end()
