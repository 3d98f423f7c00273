"""Traces of sessions: joins what the runtime tells with the spans that go out.

One thread looks at each traced session four times a second: which calls are open, which have ended since, whether
there are more than the budget allows. The guest's thread and the reader's do no more than hand over records.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from wasmtrace.exporters.exemplars import Exemplars
from wasmtrace.exporters.otlp import conventions as names
from wasmtrace.exporters.otlp.root import (
    MAX_GROW_EVENTS,
    MAX_ROOT_EVENTS,
    Tally,
    failure_of,
    module_attributes,
    root_span,
)
from wasmtrace.exporters.otlp.spans import SpanEvent, SpanTree, Value, shown_name
from wasmtrace.layout import TRACED_ALL
from wasmtrace.links import SpanLinks
from wasmtrace.records import (
    CallEnded,
    CallStarted,
    Event,
    EventSink,
    MemoryGrew,
    ModuleInfo,
    SlowCall,
    Snapshot,
    TracedCall,
)
from wasmtrace.runtime.budget import SpanBudget, ThresholdChange
from wasmtrace.runtime.session import Session
from wasmtrace.runtime.threads import start_daemon
from wasmtrace.runtime.wasi_errno import ERRNO_NAMES

if TYPE_CHECKING:
    from wasmtrace.exporters.otlp.traces import Root, TraceExport

LOOK_SECONDS = 0.25
DEFAULT_BUDGET = 200
DEFAULT_FLUSH_AFTER_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class TraceOptions:
    """How much becomes spans, and when. `span_budget` is calls a second, 0 for no limit."""

    span_budget: int = DEFAULT_BUDGET
    flush_after_seconds: float = DEFAULT_FLUSH_AFTER_SECONDS
    each_call: bool = False
    """Each call from the host is a trace of its own; else the whole run is one."""


class Tracing:
    """Give `observe` to `RuntimeConfig.observers`. `make` makes the way out, in a thread of its own, since that imports
    much; what it raises, `wait` raises. Close it at the end."""

    def __init__(self, make: Callable[[], TraceExport], options: TraceOptions | None = None) -> None:
        self._options = TraceOptions() if options is None else options
        self._make = make
        self._export: TraceExport | None = None
        self._error: BaseException | None = None
        self._root: Root | None = None
        self._lock = threading.Lock()
        self._active: set[SessionTrace] = set()
        self._ended = threading.Event()
        self._loader = threading.Thread(target=self._load, name="wasmtrace-otlp-load", daemon=True)
        self._loader.start()
        self._looker: threading.Thread | None = None
        self.roots: dict[Session, Root] = {}
        """With a trace for each call: the roots of the calls that are open."""
        self.exemplars = Exemplars()
        """Which spans show slow calls: for the readers of metrics."""
        self.caller: Mapping[str, str] | None = None
        """The context of the next traces, as variables: `TRACEPARENT` and friends. None: that of the environment."""

    @contextmanager
    def called_by(self, variables: Mapping[str, str]) -> Iterator[None]:
        """Traces that begin meanwhile are children of the span in `TRACEPARENT`, whichever thread begins them."""
        before, self.caller = self.caller, variables
        try:
            yield
        finally:
            self.caller = before

    def _load(self) -> None:
        try:
            self._export = self._make()
        except BaseException as error:
            self._error = error

    def wait(self) -> TraceExport:
        """The way out, as soon as it is there. Raises what making it raised."""
        self._loader.join()
        if self._error is not None:
            raise self._error
        assert self._export is not None
        return self._export

    def prepare(self, module: ModuleInfo) -> Root:
        """The root of the run that is about to start: what the guest and other signals are told of it."""
        if self._root is None:
            attributes = module_attributes(module)
            self._root = self.wait().new_root(str(attributes[names.MODULE_NAME]), attributes, self.caller)
        return self._root

    def guest_variables(self, module: ModuleInfo) -> dict[str, str]:
        """For the guest's environment, so that its own spans are children of the run's."""
        return self.wait().variables_of(self.prepare(module))

    def observe(self, session: Session) -> EventSink | None:
        """For the runtime: who is told of the session's events; nobody if the run is not sampled."""
        export = self.wait()
        options = self._options
        if options.each_call:
            session.subject.names()
            return CallTraces(self, session, export, options).sink
        root = self.prepare(session.subject.info)
        self._root = None
        if not root.sampled:
            return None
        # Reading the names of a large module keeps the clock's thread waiting: not while the guest runs.
        session.subject.names()
        budget = SpanBudget(options.span_budget, session.slow_threshold_us)
        trace = SessionTrace(session, export, root, options, links=self.links(session, root), budget=budget)
        self.follow(trace)
        return trace.sink

    def links(self, session: Session, root: Root) -> SpanLinks:
        """Notes the spans of the trace as exemplars."""
        return SpanLinks(session, root.context.trace_id, self.exemplars)

    def follow(self, trace: SessionTrace) -> None:
        """Looks at it from now on, until `leave`."""
        with self._lock:
            self._active.add(trace)
            if self._looker is None:
                self._looker = start_daemon(self._look, "wasmtrace-traces")

    def leave(self, trace: SessionTrace) -> None:
        with self._lock:
            self._active.discard(trace)

    def _look(self) -> None:
        while not self._ended.wait(LOOK_SECONDS):
            with self._lock:
                active = list(self._active)
            for trace in active:
                trace.look()

    def finish(self, snapshot: Snapshot) -> None:
        """The run is over: its open calls have ended, and so has its root."""
        with self._lock:
            active, self._active = list(self._active), set()
        for trace in active:
            trace.finish(snapshot)

    def close(self) -> None:
        """Sends the rest; waits no longer than the settings say."""
        self._ended.set()
        self._loader.join()
        if self._export is not None:
            self._export.close()


class SessionTrace:
    """The trace of one run, or of one call from the host."""

    def __init__(
        self,
        session: Session,
        export: TraceExport,
        root: Root,
        options: TraceOptions,
        export_name: str | None = None,
        *,
        links: SpanLinks,
        budget: SpanBudget,
    ) -> None:
        from wasmtrace.exporters.otlp.traces import new_span_id

        self.root = root
        self._session = session
        self._export = export
        self._export_name = export_name
        self._links = links
        self._lock = threading.Lock()
        self._start_us = session.now_us() if export_name is not None else 0
        self._end_us: int | None = None
        self._fuel: int | None = None
        self._tree = SpanTree(
            root.context.span_id, new_span_id, _errno_name, round(options.flush_after_seconds * 1_000_000)
        )
        self._budget = budget
        self._left_out_before = budget.left_out
        self._events: list[SpanEvent] = []
        self._grows = 0
        self._events_left_out = 0
        live = session.live
        self._dropped = 0 if live is None else live.dropped
        self._traced_before = self._traced_left_out = 0 if live is None else live.traced_left_out
        self._finished = False
        self._allow(0 if live is None else live.traced_count, self._start_us)

    def sink(self, event: Event) -> None:
        """The session's events. Quick, and never waits."""
        if isinstance(event, SlowCall):
            with self._lock:
                if not self._finished and self._budget.admit(event.end_us - event.start_us, event.end_us):
                    self._tree.add(event)
        elif isinstance(event, TracedCall):
            with self._lock:
                if not self._finished and self._budget.admit_traced(event.end_us):
                    self._tree.add(event)
        elif isinstance(event, MemoryGrew):
            self._note_growth(event)
        elif isinstance(event, CallEnded):
            self._end_us, self._fuel = event.end_us, event.fuel

    def _allow(self, traced: int, now_us: int) -> None:
        """Tells the guest how many traced calls it may record from now on; it has recorded so many."""
        room = self._budget.room(now_us)
        self._session.allow_traced(TRACED_ALL if room is None else traced + room)

    def look(self) -> None:
        """Sends what has ended, marks what is open for long, keeps to the budget."""
        live = self._session.live
        if live is None or live.closed or self._finished:
            return
        traced = live.traced_count  # those that come later count twice: never more than there is room for
        open_calls, at_us = live.read()
        dropped, traced_left_out = live.dropped, live.traced_left_out
        with self._lock:
            if self._finished:
                return
            self._tree.flush(open_calls, at_us)
            missed, traced_missed = dropped - self._dropped, traced_left_out - self._traced_left_out
            change = self._budget.adjust(at_us, missed, traced_missed)
            self._dropped, self._traced_left_out = dropped, traced_left_out
            self._allow(traced, at_us)
            self._send()
        if change is not None:
            self._session.set_slow_threshold(change.to_us)
            self._note(change)

    def _note(self, change: ThresholdChange) -> None:
        if len(self._events) >= MAX_ROOT_EVENTS:
            self._events_left_out += 1
            return
        attributes = {names.THRESHOLD_FROM: change.from_us, names.THRESHOLD_TO: change.to_us}
        self._events.append(SpanEvent(names.THRESHOLD_CHANGED, change.at_us, attributes))

    def _note_growth(self, grew: MemoryGrew) -> None:
        """The first of them: a guest may grow its memory, or ask in vain, as often as it likes."""
        live = self._session.live
        if live is None or self._grows >= MAX_GROW_EVENTS or len(self._events) >= MAX_ROOT_EVENTS:
            self._events_left_out += 1
            return
        self._grows += 1
        attributes: dict[str, Value] = {
            names.FUNCTION_NAME: shown_name(grew.function),
            names.FUNCTION_INDEX: grew.function.index,
            names.MEMORY_INDEX: grew.memory,
            names.MEMORY_DELTA: grew.delta_pages,
            names.MEMORY_REFUSED: grew.failed,
            names.MEMORY_PAGES: live.pages(grew.memory),
        }
        self._events.append(SpanEvent(names.MEMORY_GREW, grew.at_us, attributes))

    def _send(self) -> None:
        spans, self._tree.ready = self._tree.ready, []
        self._links.note(spans)
        self._export.put(self.root, self._session.started_unix_ns, spans)

    def finish(self, snapshot: Snapshot) -> None:
        """No more will come: what is open has ended now."""
        with self._lock:
            if self._finished:
                return
            self._finished = True
            end_us = snapshot.now_us if self._end_us is None else self._end_us
            self._tree.end(snapshot.open_calls, end_us, failure_of(snapshot))
            tally = Tally(self._calls_left_out(), tuple(self._events), self._events_left_out)
            fuel = snapshot.fuel if self._export_name is None else self._fuel
            self._tree.ready.append(
                root_span(
                    replace(snapshot, fuel=fuel),
                    self.root.context.span_id,
                    start_us=self._start_us,
                    end_us=max(end_us, self._start_us),
                    tally=tally,
                    export=self._export_name,
                )
            )
            self._send()

    def _calls_left_out(self) -> int:
        live = self._session.live
        traced = 0 if live is None else live.traced_left_out - self._traced_before
        return self._budget.left_out - self._left_out_before + traced


class CallTraces:
    """A trace for each outermost call of one session from the host."""

    def __init__(self, tracing: Tracing, session: Session, export: TraceExport, options: TraceOptions) -> None:
        self._tracing = tracing
        self._session = session
        self._export = export
        self._options = options
        self._budget = SpanBudget(options.span_budget, session.slow_threshold_us)
        """Of all calls together: their rate is the host's, what becomes of each the guest's."""
        self._depth = 0
        self._trace: SessionTrace | None = None

    def sink(self, event: Event) -> None:
        """The session's events: calls from the host may be inside others."""
        if isinstance(event, CallStarted):
            if self._depth == 0:
                self._begin(event.export)
            self._depth += 1
        elif self._trace is not None:
            self._trace.sink(event)
        if isinstance(event, CallEnded):
            self._depth -= 1
            if self._depth == 0:
                self._end()

    def _begin(self, export_name: str) -> None:
        info = self._session.subject.info
        attributes = module_attributes(info, export_name)
        name = f"{attributes[names.MODULE_NAME]} {attributes[names.EXPORT]}"
        root = self._export.new_root(name, attributes, self._tracing.caller)
        self._session.rest(self.sink, not root.sampled)
        if root.sampled:
            self._tracing.roots[self._session] = root
            links = self._tracing.links(self._session, root)
            self._trace = SessionTrace(
                self._session, self._export, root, self._options, export_name, links=links, budget=self._budget
            )
            self._tracing.follow(self._trace)

    def _end(self) -> None:
        trace, self._trace = self._trace, None
        self._tracing.roots.pop(self._session, None)
        if trace is not None:
            self._tracing.leave(trace)
            trace.finish(self._session.snapshot(top=0))


def _errno_name(errno: int) -> str:
    return ERRNO_NAMES[min(errno, len(ERRNO_NAMES) - 1)]
