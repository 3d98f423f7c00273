"""Guests that call whatever hypothesis says, with some functions traced and some calls slow: each span has the nearest
ancestor that was recorded as its parent."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from hypothesis import given, settings
from hypothesis import strategies as st

from traced_guest import Host, Traced, wasm_of
from wasmtrace import layout as cells
from wasmtrace.exporters.otlp import conventions as names
from wasmtrace.exporters.otlp.spans import SpanTree
from wasmtrace.instrument import Options
from wasmtrace.records import FunctionName, SlowCall, TracedCall

RETURN, CALLS = 0, 4
TICKS = {5: 400, 6: 1500}
"""By step: the clock moves on by so many µs."""
THRESHOLD_US = 1000
ROOT_ID = 1 << 60
MOST_STEPS = 120
# `next` says what to do: 0 is to return, 1 to 4 to call that function.
_BODY = """(local $what i32)
    (loop $more
      (local.set $what (call $next))
      (if (local.get $what) (then
        (call_indirect (type $f) (i32.sub (local.get $what) (i32.const 1)))
        (br $more))))"""
PROGRAM = wasm_of(f"""(module
  (type $f (func))
  (import "host" "next" (func $next (result i32)))
  (table funcref (elem $f1 $f2 $f3 $f4))
  {"".join(f"(func $f{number} {_BODY})" for number in range(1, CALLS + 1))}
  (func (export "run") {_BODY}))""")


@dataclass(eq=False)
class Call:
    """A call as it really was."""

    name: str
    caller: Call | None
    depth: int
    span_id: int | None = None


class Script:
    """Tells the guest what to do, and keeps which call each record is of: it looks at the ring at each step."""

    def __init__(self, steps: list[int], traced: set[str]) -> None:
        self._steps = iter(steps)
        self._now_us = 0
        self._ids = itertools.count(1)
        self._open = Call("run", None, 0)
        self._asks = self._ended = self._open
        self.calls: list[Call] = []
        """Those that were recorded, in the order of the records."""
        self.tree = SpanTree(ROOT_ID, lambda: next(self._ids))
        hosts: dict[str, Host] = {"host.next": ([], ["i32"], self._next)}
        options = Options(trace_functions=tuple(sorted(traced)), slow_threshold_us=THRESHOLD_US)
        self.guest = Traced(PROGRAM, hosts, options)

    def run(self) -> None:
        self.guest.call("run")
        self._look()
        self.tree.end((), self._now_us, None)

    def _next(self) -> int:
        self._look()
        self._asks = self._open
        for step in self._steps:
            if step in TICKS:
                self._now_us += TICKS[step]
                self.guest.tick(self._now_us, THRESHOLD_US)
            elif step == RETURN:
                break
            else:
                self._open = Call(f"f{step}", self._open, self._open.depth + 1)
                return step
        self._ended = self._open
        self._open = self._open.caller or self._open
        return RETURN

    def _look(self) -> None:
        """At most two calls have ended since the last look: that of `next`, and the one that was told to return."""
        for record in self.guest.ring():
            call = Call("next", self._asks, self._asks.depth + 1) if record.name == "next" else self._ended
            assert (call.name, call.depth) == (record.name, record.depth)
            call.span_id = len(self.calls) + 1
            self.calls.append(call)
            kind = SlowCall if record.kind == cells.KIND_SLOW_CALL else TracedCall
            name = FunctionName(self.guest.names.index(record.name), record.name, record.name)
            self.tree.add(kind(name, False, record.start_us, record.end_us, record.depth, 0))


def nearest(call: Call) -> tuple[int, int]:
    """The id of the span of the innermost call around it that has one, and how many lie between."""
    elided, around = 0, call.caller
    while around is not None and around.span_id is None:
        elided, around = elided + 1, around.caller
    return (ROOT_ID, elided) if around is None or around.span_id is None else (around.span_id, elided)


@given(
    steps=st.lists(st.sampled_from((RETURN, RETURN, 1, 2, 3, 4, 4, *TICKS)), max_size=MOST_STEPS),
    traced=st.sets(st.sampled_from(("f1", "f2", "f3", "run", "next"))),
)
@settings(max_examples=200, deadline=None)
def test_parents(steps: list[int], traced: set[str]) -> None:
    script = Script(steps, traced)
    script.run()
    spans = {each.span_id: each for each in script.tree.ready}
    assert sorted(spans) == list(range(1, len(script.calls) + 1))
    for call in script.calls:
        assert call.span_id is not None
        span = spans[call.span_id]
        assert span.name == call.name
        assert (span.parent_id, span.attributes.get(names.ELIDED_DEPTH, 0)) == nearest(call)
