"""From slow and traced calls to a tree of spans. Pure: records in, descriptions out; ids come from who makes the tree.

Calls arrive as they return, so children come before their parents. A call waits here until its parent has come, at
most until the next `flush`. That one is given the calls which are open: the parent of what still waits is among them,
and gets its id then, before it has ended. Such a call is *announced*: whatever becomes of it, a span with that id
follows, from its record or, when it has vanished without one, with an estimated end. So no span has a parent that
never comes.

What is recorded of a call's ancestors may have gaps: the threshold has risen, the ring was full, the budget spent.
Then the parent is the nearest ancestor that has a span, and `wasm.call.elided_depth` says how many lie between.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from wasmtrace.exporters.otlp import conventions as names
from wasmtrace.exporters.text import capped, printable
from wasmtrace.records import FunctionName, OpenCall, SlowCall, TracedCall

Value = str | int | float | bool
NAME_LENGTH = 256
OPEN_SPANS = 128
"""Of a deeper stack only so many outermost calls become spans: of those the depth is known, too."""
SHOWN_OPEN = 32
_EVER_US = 1 << 62
SETTLED_US = 20_000
"""A call that is so old surely ended before the stack was read: its end is the last tick before it."""


@dataclass(frozen=True, slots=True)
class SpanEvent:
    name: str
    at_us: int
    attributes: Mapping[str, Value]


@dataclass(frozen=True, slots=True)
class SpanData:
    """One span. Times are µs since the run's clock began."""

    name: str
    span_id: int
    parent_id: int | None
    """None: the parent is outside of the run, or there is none."""
    start_us: int
    end_us: int
    attributes: Mapping[str, Value]
    error: str | None = None
    """What to say with status error; None: the status is unset."""
    events: tuple[SpanEvent, ...] = ()
    link_id: int | None = None
    wanted: bool = False
    """Others name it as their parent, or it tells of a failure: the last to be dropped."""


@dataclass(frozen=True, slots=True)
class Failure:
    """Why what is open at the end did not return."""

    kind: str
    message: str
    stack: str

    def event(self, at_us: int) -> SpanEvent:
        attributes = {
            names.EXCEPTION_TYPE: self.kind,
            names.EXCEPTION_MESSAGE: self.message,
            names.EXCEPTION_STACKTRACE: self.stack,
        }
        return SpanEvent(names.EXCEPTION, at_us, {name: value for name, value in attributes.items() if value})


@dataclass(slots=True)
class _Call:
    """A call that has ended and waits for its parent."""

    function: FunctionName
    host: bool
    start_us: int
    end_us: int
    depth: int
    errno: int
    span_id: int
    estimated: bool = False
    wanted: bool = False


@dataclass(slots=True)
class _Announced:
    """An open call whose id others know already."""

    function: FunctionName
    host: bool
    start_us: int
    depth: int
    span_id: int
    show_at_us: int


@dataclass(slots=True)
class SpanTree:
    """The spans below one root. Not for several threads at a time."""

    root_id: int
    new_id: Callable[[], int]
    errno_name: Callable[[int], str] = str
    flush_after_us: int = 5_000_000
    ready: list[SpanData] = field(default_factory=list)
    """Finished spans; who takes them empties the list."""
    _waiting: list[_Call] = field(default_factory=list)
    _announced: dict[int, _Announced] = field(default_factory=dict)
    _closed: dict[int, tuple[int, int]] = field(default_factory=dict)
    """Since the last flush, by depth: function and start of the call that was last to end."""
    _described: dict[int, tuple[str, Mapping[str, Value]]] = field(default_factory=dict)

    def add(self, call: SlowCall | TracedCall) -> None:
        """The next call, in the order in which they returned."""
        depth = call.depth
        span_id = 0
        if self._announced:
            span_id = self._settle_announced(call)
        done = _Call(call.function, call.host, call.start_us, call.end_us, depth, call.errno, span_id or self.new_id())
        done.wanted = span_id != 0
        self._closed[depth] = (call.function.index, call.start_us)
        self._take(done)

    def _settle_announced(self, call: SlowCall | TracedCall) -> int:
        """The id under which this very call was announced, or 0. Deeper ones must have ended without a record."""
        for depth in sorted((each for each in self._announced if each > call.depth), reverse=True):
            self._vanish(self._announced[depth], call.end_us)
        same = self._announced.get(call.depth)
        if same is None:
            return 0
        if same.function.index == call.function.index and same.start_us == call.start_us:
            del self._announced[call.depth]
            return same.span_id
        self._vanish(same, call.start_us)
        return 0

    def _vanish(self, gone: _Announced, at_us: int) -> None:
        del self._announced[gone.depth]
        end_us = max(at_us, gone.start_us)
        self._take(_Call(gone.function, gone.host, gone.start_us, end_us, gone.depth, 0, gone.span_id, True, True))

    def _take(self, done: _Call) -> None:
        """Its children have come before it, and are the last that wait."""
        waiting = self._waiting
        depth, start_us = done.depth, done.start_us
        first = len(waiting)
        while first and waiting[first - 1].depth > depth and waiting[first - 1].start_us >= start_us:
            first -= 1
        for child in waiting[first:]:
            self._emit(child, done.span_id, depth)
            done.wanted = True
        del waiting[first:]
        if depth == 0:
            self._emit(done, self.root_id, -1)
        else:
            waiting.append(done)

    def _emit(self, call: _Call, parent_id: int, parent_depth: int) -> None:
        name, attributes = self._describe(call.function, call.host)
        more: dict[str, Value] = {**attributes, names.CALL_DEPTH: call.depth}
        elided = call.depth - parent_depth - 1
        if elided > 0:
            more[names.ELIDED_DEPTH] = elided
        if call.estimated:
            more[names.END_ESTIMATED] = True
        error = None
        if call.errno:
            error = more[names.ERROR_TYPE] = self.errno_name(call.errno)
            more[names.ERRNO] = call.errno
        self.ready.append(
            SpanData(name, call.span_id, parent_id, call.start_us, call.end_us, more, error, wanted=call.wanted)
        )

    def _describe(self, function: FunctionName, host: bool) -> tuple[str, Mapping[str, Value]]:
        found = self._described.get(function.index)
        if found is None:
            name = shown_name(function)
            attributes: dict[str, Value] = {names.FUNCTION_NAME: name, names.FUNCTION_INDEX: function.index}
            if host:
                attributes[names.CALL_HOST] = True
            raw_name = capped(printable(function.raw_name), NAME_LENGTH)
            if raw_name not in (name, ""):
                attributes[names.FUNCTION_RAW_NAME] = raw_name
            found = self._described[function.index] = (name, attributes)
        return found

    # Calls that are open

    def flush(self, open_calls: Sequence[OpenCall], at_us: int) -> None:
        """Finds a parent for what waits. `open_calls` were open at `at_us`, and every call that had returned by then
        has been added since. If there are none, nothing is done: the guest may just have trapped, and `end` is told of
        what was open."""
        if not open_calls:
            return
        frames = self._still_open(open_calls)
        for depth in sorted(self._announced, reverse=True):
            each = self._announced[depth]
            if depth < OPEN_SPANS and (depth >= len(frames) or not _is(each, frames[depth])):
                self._vanish(each, at_us)
        self._closed.clear()
        self._resolve(frames, at_us - SETTLED_US)
        self._show(frames, at_us)

    def _still_open(self, open_calls: Sequence[OpenCall]) -> Sequence[OpenCall]:
        """Without those that have ended since the stack was read, and what was called by these."""
        for depth, call in enumerate(open_calls[:OPEN_SPANS]):
            if self._closed.get(depth) == (call.function.index, call.start_us):
                return open_calls[:depth]
        return open_calls[:OPEN_SPANS]

    def _resolve(self, frames: Sequence[OpenCall], before_us: int) -> None:
        still: list[_Call] = []
        waiting, self._waiting = self._waiting, still
        for call in waiting:
            if call.end_us > before_us:
                still.append(call)
                continue
            depth = self._parent_among(frames, call)
            parent_id = self.root_id if depth < 0 else self._announce(frames[depth], depth).span_id
            self._emit(call, parent_id, depth)

    def _parent_among(self, frames: Sequence[OpenCall], call: _Call) -> int:
        depth = min(call.depth, len(frames)) - 1
        while depth >= 0 and frames[depth].start_us > call.start_us:
            depth -= 1
        return depth

    def _announce(self, frame: OpenCall, depth: int) -> _Announced:
        found = self._announced.get(depth)
        if found is None:
            found = _Announced(
                frame.function,
                frame.host,
                frame.start_us,
                depth,
                self.new_id(),
                frame.start_us + self.flush_after_us,
            )
            self._announced[depth] = found
        return found

    def _show(self, frames: Sequence[OpenCall], at_us: int) -> None:
        """Markers of calls that are open for long; the next of the same call when it is twice as old."""
        old = [each for each in frames[:SHOWN_OPEN] if at_us - each.start_us >= self.flush_after_us]
        parent_id = self.root_id
        for depth, frame in enumerate(old):
            call = self._announce(frame, depth)
            if at_us >= call.show_at_us:
                call.show_at_us = at_us + (at_us - call.start_us)
                self._mark(call, parent_id, at_us)
            parent_id = call.span_id

    def _mark(self, call: _Announced, parent_id: int, at_us: int) -> None:
        name, attributes = self._describe(call.function, call.host)
        more = {**attributes, names.CALL_DEPTH: call.depth, names.STILL_OPEN: True}
        marker = SpanData(
            f"{name} (still open)", self.new_id(), parent_id, call.start_us, at_us, more, link_id=call.span_id
        )
        self.ready.append(marker)

    # The end

    def end(self, open_calls: Sequence[OpenCall], end_us: int, failure: Failure | None) -> None:
        """No more calls will come; those that are open end now, in error if there was a failure."""
        frames = self._still_open(open_calls)
        for depth in sorted(self._announced, reverse=True):
            each = self._announced[depth]
            if depth >= len(frames) or not _is(each, frames[depth]):
                self._vanish(each, end_us)
        self._resolve(frames, _EVER_US)
        parent_id = self.root_id
        for depth, frame in enumerate(frames):
            call = self._announce(frame, depth)
            innermost = depth == len(frames) - 1
            omitted = len(open_calls) - len(frames) if innermost else 0
            self._finish(call, parent_id, max(end_us, frame.start_us), failure, innermost=innermost, omitted=omitted)
            parent_id = call.span_id
        self._announced.clear()

    def _finish(
        self,
        call: _Announced,
        parent_id: int,
        end_us: int,
        failure: Failure | None,
        *,
        innermost: bool,
        omitted: int,
    ) -> None:
        name, attributes = self._describe(call.function, call.host)
        more: dict[str, Value] = {**attributes, names.CALL_DEPTH: call.depth, names.CALL_UNFINISHED: True}
        if omitted:
            more[names.OPEN_OMITTED] = omitted
        if failure is not None:
            more[names.ERROR_TYPE] = failure.kind
        events = (failure.event(end_us),) if failure is not None and innermost else ()
        error = None if failure is None else failure.message
        span = SpanData(name, call.span_id, parent_id, call.start_us, end_us, more, error, events, wanted=True)
        self.ready.append(span)


def shown_name(function: FunctionName) -> str:
    """Fit for any viewer: no control characters, of bounded length, never empty."""
    return capped(printable(function.name), NAME_LENGTH) or f"func[{function.index}]"


def _is(call: _Announced, frame: OpenCall) -> bool:
    return call.function.index == frame.function.index and call.start_us == frame.start_us
