"""Which calls are recorded as slow when the clock moves, with which times, and what happens when the ring is full."""

from __future__ import annotations

import pytest

from traced_guest import Host, Traced, wasm_of
from wasmtrace import layout as cells
from wasmtrace.instrument import Options

PROGRAM = wasm_of("""
(module
  (import "host" "tick" (func $host.tick (param i32)))
  (func $leaf)
  (func $quick call $leaf)
  (func $short call $quick i32.const 2000 call $host.tick call $quick)
  (func $inner (param $us i32) call $quick local.get $us call $host.tick call $quick)
  (func $outer (param i32 i32) call $quick local.get 0 call $inner local.get 1 call $inner call $quick)
  (func (export "one") (param i32) local.get 0 call $inner)
  (func (export "two") (param i32 i32) local.get 0 local.get 1 call $outer)
  (func (export "short") call $short)
  (func (export "spin") (param i32)
    loop call $quick local.get 0 i32.const 1 i32.sub local.tee 0 br_if 0 end))
""")
THRESHOLD_US = 1000


class Ticking:
    """A guest whose host function moves the clock."""

    def __init__(self, options: Options = Options(slow_threshold_us=THRESHOLD_US)) -> None:  # noqa: B008
        hosts: dict[str, Host] = {"host.tick": (["i32"], [], self._tick)}
        self.traced = Traced(PROGRAM, hosts, options)

    def _tick(self, now_us: int) -> None:
        self.traced.tick(now_us, THRESHOLD_US)


# id, export, arguments (the times of ticks), what is recorded: name, depth, start, end
CASES: list[tuple[str, str, tuple[int, ...], list[tuple[str, int, int, int]]]] = [
    ("no-tick", "spin", (5,), []),
    ("straddles-one-tick", "short", (), []),
    ("short-of-the-threshold", "two", (500, 1400), []),
    (
        "outer-spans-two-ticks",
        "two",
        (1000, 2000),
        [("outer", 1, 0, 2000), ("two", 0, 0, 2000)],
    ),
    (
        "first-tick-late-enough",
        "two",
        (500, 1500),
        [("outer", 1, 0, 1500), ("two", 0, 0, 1500)],
    ),
]


@pytest.mark.parametrize(("export", "arguments", "expected"), [case[1:] for case in CASES], ids=[c[0] for c in CASES])
def test_calls_that_span_the_clock(
    export: str, arguments: tuple[int, ...], expected: list[tuple[str, int, int, int]]
) -> None:
    traced = Ticking().traced
    traced.call(export, *arguments)
    got = [(each.name, each.depth, each.start_us, each.end_us) for each in traced.ring()]
    assert got == expected
    assert traced.slow_calls == {name: 1 for name, *_ in expected}
    assert traced.slow_us == {name: end - start for name, _, start, end in expected}
    assert traced.depth == 0


def test_calls_that_begin_after_the_tick_are_young() -> None:
    """The watermark still stands above their frames: the first of them lowers it."""
    traced = Ticking().traced
    traced.call("two", 1000, 2000)
    traced.ring()
    traced.put(cells.WATERMARK_OFFSET, cells.WATERMARK_ALL)
    traced.call("spin", 3)
    assert traced.ring() == []
    assert traced.cell(cells.WATERMARK_OFFSET) <= traced.layout.stack_offset + cells.CELL_BYTES


def test_a_host_call_that_spans_two_ticks() -> None:
    hosts: dict[str, Host] = {"host.tick": (["i32"], [], lambda now: _tick_twice(traced, now))}
    traced = Traced(PROGRAM, hosts, Options(slow_threshold_us=THRESHOLD_US))
    traced.call("one", 1000)
    assert [(each.name, each.depth, each.end_us) for each in traced.ring()] == [
        ("host.tick", 2, 2000),
        ("inner", 1, 2000),
        ("one", 0, 2000),
    ]


def _tick_twice(traced: Traced, now_us: int) -> None:
    traced.tick(now_us, THRESHOLD_US)
    traced.tick(2 * now_us, THRESHOLD_US)


def test_the_second_run_counts_on() -> None:
    traced = Ticking().traced
    traced.call("two", 1000, 2000)
    traced.call("two", 4000, 6000)
    assert traced.slow_calls == {"outer": 2, "two": 2}
    assert traced.slow_us == {"outer": 6000, "two": 6000}


@pytest.mark.parametrize(("calls", "dropped"), [(3, 0), (4, 1), (100, 97)], ids=["full", "one-over", "far-over"])
def test_a_full_ring_drops_and_counts(calls: int, dropped: int) -> None:
    traced = Ticking(Options(slow_threshold_us=0, ring_capacity=4)).traced
    traced.call("spin", calls)
    assert traced.cell(cells.RING_DROPPED_OFFSET) == dropped
    assert traced.slow_calls == {"quick": calls, "spin": 1}
    kept = traced.recorded()
    assert kept == [("quick", 1)] * min(calls, 4) + [("spin", 0)] * (calls < 4)
    traced.call("spin", 2)
    assert traced.recorded() == [("quick", 1), ("quick", 1), ("spin", 0)]


def test_the_ring_wraps_at_each_place() -> None:
    traced = Ticking(Options(slow_threshold_us=0, ring_capacity=4)).traced
    for _ in range(9):
        traced.call("spin", 2)
        assert traced.recorded() == [("quick", 1), ("quick", 1), ("spin", 0)]
    assert traced.cell(cells.RING_DROPPED_OFFSET) == 0
