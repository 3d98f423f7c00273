"""The code of the events' probe: what it writes, when it has room and when not, and that the guest gives the same."""

from __future__ import annotations

import math
import struct
import threading
import time

import pytest
import wasmtime

from exit_cases import Exit, Shape, program
from test_exits import EACH_CASE
from test_odd_modules import long_body
from traced_guest import ENGINE, Guest, Host, Traced, wasm_of
from wasmtrace import layout as cells
from wasmtrace.errors import UnsupportedError, UsageError
from wasmtrace.instrument import Options, instrument
from wasmtrace.sites import EventSite

LEVELS = pytest.mark.parametrize("level", ["calls", "trace"])
DEADLINE_SECONDS = 30


def traced(
    wat: str, *globs: str, level: str = "trace", capacity: int = 64, hosts: dict[str, Host] | None = None
) -> Traced:
    options = Options(level=level, slow_threshold_us=0, events=globs or ("*",), event_capacity=capacity)
    return Traced(wasm_of(wat), hosts or {}, options)


def recorded(guest: Traced) -> list[tuple[str, int, tuple[int | float, ...]]]:
    """Name, depth and arguments of each event in the ring, oldest first, by the site table."""
    head, capacity = guest.cell(cells.EVENT_HEAD_OFFSET), guest.layout.event_capacity
    kinds = {site.funcidx: site.kinds for site in guest.sites.events}
    found = []
    for number in range(max(0, head - capacity), head):
        place = guest.layout.events_offset + number % capacity * cells.EVENT_BYTES
        frame, depth = struct.unpack_from("<QQ", guest._bytes, place)
        funcidx = cells.funcidx_of(frame)
        codes = "".join("d" if kind in "fd" else "q" for kind in kinds[funcidx])
        arguments = struct.unpack_from(f"<{codes}", guest._bytes, place + cells.EVENT_ARGUMENT_FIELDS[0])
        found.append((guest.names[funcidx], depth, arguments))
    return found


INF = float("inf")
ARGUMENTS = [
    pytest.param("", "", "", 0, (), id="none"),
    pytest.param("i32", "i32.const -1", "i", 0, (-1,), id="i32"),
    pytest.param("i64", "i64.const -9223372036854775808", "l", 0, (-(2**63),), id="i64"),
    pytest.param("i64", "i64.const 9007199254740993", "l", 0, (2**53 + 1,), id="i64-not-a-double"),
    pytest.param("f32", "f32.const 0.1", "f", 0, (struct.unpack("<f", struct.pack("<f", 0.1))[0],), id="f32"),
    pytest.param("f64", "f64.const 0.1", "d", 0, (0.1,), id="f64"),
    pytest.param("f32 f64", "f32.const inf f64.const -inf", "fd", 0, (INF, -INF), id="infinities"),
    pytest.param("f32 f64", "f32.const nan f64.const nan", "fd", 0, (math.nan, math.nan), id="nans"),
    pytest.param(
        "i32 f64 i64 f32",
        "i32.const 1 f64.const 2 i64.const 3 f32.const 4",
        "idlf",
        0,
        (1, 2.0, 3, 4.0),
        id="all-kinds",
    ),
    pytest.param("i32 i32 i32 i32 i32", "i32.const 1 " * 4 + "i32.const 5", "iiii", 1, (1, 1, 1, 1), id="five"),
    pytest.param(
        "v128 i32 externref f64",
        "v128.const i64x2 1 2 i32.const 7 ref.null extern f64.const 8",
        "id",
        2,
        (7, 8.0),
        id="others-left-out",
    ),
]


@LEVELS
@pytest.mark.parametrize(("params", "push", "kinds", "left_out", "expected"), ARGUMENTS)
def test_arguments(params: str, push: str, kinds: str, left_out: int, expected: tuple[float, ...], level: str) -> None:
    guest = traced(f'(module (func $foo (param {params})) (func (export "run") {push} call $foo))', "foo", level=level)
    guest.call("run")
    assert guest.sites.events == (EventSite(0, kinds, left_out),)
    ((name, depth, arguments),) = recorded(guest)
    assert (name, depth, repr(arguments)) == ("foo", int(level == "trace"), repr(expected))


@LEVELS
@EACH_CASE
def test_each_exit_gives_what_it_gave(row: Exit, shape: Shape, level: str) -> None:
    wat = program(row, shape)
    plain = Guest(wasm_of(wat))
    guest = traced(wat, level=level)
    assert guest.outcome("run") == plain.outcome("run")
    counted: dict[str, int] = {}
    for name, _, _ in recorded(guest):
        counted[name] = counted.get(name, 0) + 1
    assert counted == guest.calls


CALLS = [
    pytest.param(
        "(func $foo (param i32) (if (local.get 0) (then (call $foo (i32.sub (local.get 0) (i32.const 1))))))"
        '(func (export "run") (call $foo (i32.const 2)))',
        [("foo", 1, (2,)), ("foo", 2, (1,)), ("foo", 3, (0,))],
        id="recursion",
    ),
    pytest.param(
        "(func $foo (param i32) (if (local.get 0) (then (return_call $foo (i32.sub (local.get 0) (i32.const 1))))))"
        '(func (export "run") (call $foo (i32.const 1)))',
        [("foo", 1, (1,)), ("foo", 1, (0,))],
        id="tail-call",
    ),
    pytest.param(
        "(table funcref (elem $foo)) (type $t (func (param i32))) (func $foo (param i32))"
        '(func (export "run") (call_indirect (type $t) (i32.const 5) (i32.const 0)))',
        [("foo", 1, (5,))],
        id="through-a-table",
    ),
    pytest.param('(func $foo (export "run"))', [("foo", 0, ())], id="from-the-host"),
    pytest.param(
        '(func $foo (param i32)) (func $s (call $foo (i32.const 8))) (start $s) (func (export "run"))',
        [("foo", 1, (8,))],
        id="start-function",
    ),
    pytest.param(
        "(func $foo (param i32) (result i32 i32) (local.get 0) (local.set 0 (i32.const 9)) (local.get 0))"
        '(func (export "run") (result i32 i32) (call $foo (i32.const 3)))',
        [("foo", 1, (3,))],
        id="multi-value-and-a-parameter-that-changes",
    ),
    pytest.param(
        '(func $foo (param i64) (unreachable)) (func (export "run") (call $foo (i64.const 4)))',
        [("foo", 1, (4,))],
        id="trap",
    ),
    pytest.param(
        '(func $foo (loop (br_if 0 (i32.const 0)))) (func (export "run") (loop (call $foo)))',
        [("foo", 1, ())],
        id="begins-with-a-loop",
    ),
]


@pytest.mark.parametrize(("functions", "expected"), CALLS)
def test_calls(functions: str, expected: list[object]) -> None:
    wat = f"(module {functions})"
    guest = traced(wat, "foo")
    assert guest.outcome("run") == Guest(wasm_of(wat)).outcome("run")
    assert recorded(guest) == expected


@LEVELS
def test_host_functions(level: str) -> None:
    wat = """(module (import "h" "foo" (func $foo (param i32 f64) (result i32)))
      (func (export "run") (result i32) (call $foo (i32.const 3) (f64.const 1.5))))"""
    hosts: dict[str, Host] = {"h.foo": (["i32", "f64"], ["i32"], lambda first, second: first + 1)}
    guest = traced(wat, "foo", level=level, hosts=hosts)
    assert guest.call("run") == 4
    assert recorded(guest) == [("foo", int(level == "trace"), (3, 1.5))]


MANGLED = "_ZN5outer5innerEi"
GLOBS = [
    pytest.param(("a*",), ["ab", "ac"], (), id="one"),
    pytest.param(("ab", "a[cd]"), ["ab", "ac"], (), id="two"),
    pytest.param(("outer::*",), ["outer::inner(int)"], (), id="demangled"),
    pytest.param((MANGLED,), ["outer::inner(int)"], (), id="raw"),
    pytest.param(("AB", "ab", "x*"), ["ab"], ("AB", "x*"), id="unmatched"),
    pytest.param(("x",), [], ("x",), id="nothing"),
    pytest.param(("[", ""), [], ("[", ""), id="odd"),
    pytest.param(("ab", "ab"), ["ab"], (), id="twice"),
]


@pytest.mark.parametrize(("globs", "expected", "unmatched"), GLOBS)
def test_globs(globs: tuple[str, ...], expected: list[str], unmatched: tuple[str, ...]) -> None:
    wat = f'(module (func $ab) (func $ac) (func ${MANGLED}) (func $b) (func (export "run")))'
    guest = traced(wat, *globs)
    assert [guest.names[site.funcidx] for site in guest.sites.events] == expected
    assert guest.sites.unmatched_events == unmatched
    assert guest.layout.event_capacity == (64 if expected else 0)


@LEVELS
def test_a_module_without_events_is_the_same_as_before(level: str) -> None:
    wasm = wasm_of('(module (func $f (param i32)) (func (export "run") (call $f (i32.const 1))))')
    plain = instrument(wasm, Options(level=level))
    assert instrument(wasm, Options(level=level, events=("nothing",))).wasm == plain.wasm
    assert plain.sites.layout.events_offset == plain.sites.layout.grow_offset


@pytest.mark.parametrize("capacity", [0, -1, 3, 1 << 25])
def test_bad_capacities(capacity: int) -> None:
    with pytest.raises(UsageError, match="power of two"):
        Options(events=("*",), event_capacity=capacity)


def test_a_ring_that_passes_the_memory_is_refused() -> None:
    with pytest.raises(UnsupportedError, match="pages"):
        instrument(wasm_of("(module (func))"), Options(events=("*",), ring_capacity=1 << 25, event_capacity=1 << 24))


@pytest.mark.parametrize(("less", "skipped"), [(21, []), (18, [0])], ids=["room-for-it", "room-for-the-counter"])
def test_a_body_at_the_limit_is_reported(less: int, skipped: list[int]) -> None:
    made = instrument(long_body(7_654_321 - less), Options(level="calls", events=("*",)))
    assert [each.funcidx for each in made.sites.skipped] == skipped
    wasmtime.Module.validate(ENGINE, made.wasm)


COUNTING = """(module (func $foo (param i32))
  (func (export "run") (param $n i32)
    (loop (call $foo (local.get $n)) (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))"""


def test_a_full_ring_drops_and_counts() -> None:
    guest = traced(COUNTING, "foo", capacity=4)
    guest.call("run", 6)
    assert [arguments for _, _, arguments in recorded(guest)] == [(6,), (5,), (4,), (3,)]
    assert guest.cell(cells.EVENT_DROPPED_OFFSET) == 2
    guest.put(cells.EVENT_TAIL_OFFSET, 3)
    guest.call("run", 4)
    assert [arguments for _, _, arguments in recorded(guest)] == [(3,), (4,), (3,), (2,)]
    assert (guest.cell(cells.EVENT_HEAD_OFFSET), guest.cell(cells.EVENT_DROPPED_OFFSET)) == (7, 3)


def wait_for_head(guest: Traced, head: int) -> None:
    deadline = time.monotonic() + DEADLINE_SECONDS
    while guest.cell(cells.EVENT_HEAD_OFFSET) < head:
        assert time.monotonic() < deadline, "the guest did not come so far"


def test_a_guest_that_is_asked_to_waits_for_room_and_no_longer_than_it_is_asked() -> None:
    guest = traced(COUNTING, "foo", capacity=4)
    guest.put(cells.EVENT_WAIT_OFFSET, 1)
    runner = threading.Thread(target=guest.call, args=("run", 20), daemon=True)
    runner.start()
    wait_for_head(guest, 4)
    for tail in range(1, 9):
        guest.put(cells.EVENT_TAIL_OFFSET, tail)
        wait_for_head(guest, tail + 4)
    assert guest.cell(cells.EVENT_DROPPED_OFFSET) == 0
    assert runner.is_alive()
    guest.put(cells.EVENT_WAIT_OFFSET, 0)
    runner.join(DEADLINE_SECONDS)
    assert not runner.is_alive()
    assert (guest.cell(cells.EVENT_HEAD_OFFSET), guest.cell(cells.EVENT_DROPPED_OFFSET)) == (12, 8)
