"""Host calls: counted, timed, errors by value, results as they were; and which of them nobody sees."""

from __future__ import annotations

import pytest

from traced_guest import Guest, Host, Traced, wasm_of
from wasmtrace import layout as cells
from wasmtrace.instrument import Options, instrument

PROGRAM = wasm_of("""
(module
  (import "wasi_snapshot_preview1" "sched_yield" (func $wasi_snapshot_preview1.sched_yield (result i32)))
  (import "host" "pair" (func $host.pair (param i32 i64) (result i64 i32)))
  (import "wasi_snapshot_preview1" "random_get" (func $wasi_snapshot_preview1.random_get (param i32 i32) (result i32)))
  (import "host" "float" (func $host.float (param f32) (result f64)))
  (import "host" "status" (func $host.status (result i32)))
  (func (export "yield") (result i32) call $wasi_snapshot_preview1.sched_yield)
  (func (export "yield_tail") (result i32) return_call $wasi_snapshot_preview1.sched_yield)
  (func (export "random") (result i32) i32.const 1 i32.const 2 call $wasi_snapshot_preview1.random_get)
  (func (export "pair") (result i64) (local i32) i32.const -5 i64.const 7 call $host.pair local.set 0 local.get 0
    i64.extend_i32_s i64.mul)
  (func (export "pair_tail") (param i32 i64) (result i64 i32) local.get 0 local.get 1 return_call $host.pair)
  (func (export "float") (result f64) f32.const 2.5 call $host.float)
  (func (export "status") (result i32) call $host.status))
""")
ERRNOS = [0, 1, 8, 63, 64, 75, 76, 77, 78, 200, 65535, 0x7FFF_FFFF, -1, -(2**31)]


def hosts(errno: int = 0) -> dict[str, Host]:
    return {
        "wasi_snapshot_preview1.sched_yield": ([], ["i32"], lambda: errno),
        "wasi_snapshot_preview1.random_get": (["i32", "i32"], ["i32"], lambda a, b: a + b),
        "host.pair": (["i32", "i64"], ["i64", "i32"], lambda a, b: [b * 2, a]),
        "host.float": (["f32"], ["f64"], lambda a: a * 4),
        "host.status": ([], ["i32"], lambda: 52),
    }


def errors(traced: Traced, funcidx: int) -> dict[int, int]:
    ordinal = traced.sites.host_functions[funcidx].errno_ordinal
    assert ordinal is not None
    place = traced.layout.errno_cells(ordinal)
    counts = {each: traced.cell(place + each * cells.CELL_BYTES) for each in range(cells.ERRNO_COUNT)}
    return {errno: count for errno, count in counts.items() if count}


@pytest.mark.parametrize("level", ["calls", "trace"])
@pytest.mark.parametrize("export", ["yield", "yield_tail"])
@pytest.mark.parametrize("errno", ERRNOS)
def test_errnos(errno: int, export: str, level: str) -> None:
    traced = Traced(PROGRAM, hosts(errno), Options(level=level, slow_threshold_us=0))
    assert [traced.call(export), traced.call(export)] == [errno, errno]
    expected = {min(errno & 0xFFFF_FFFF, cells.ERRNO_COUNT - 1): 2} if errno else {}
    assert errors(traced, 0) == expected
    assert errors(traced, 2) == {}
    assert traced.calls["wasi_snapshot_preview1.sched_yield"] == 2
    payloads = [each.payloads[0] for each in traced.ring() if each.name.startswith("wasi")]
    assert payloads == ([errno & 0xFFFF_FFFF] * 2 if level == "trace" else [])


@pytest.mark.parametrize(
    ("export", "arguments", "host", "depth"),
    [
        ("yield", (), "wasi_snapshot_preview1.sched_yield", 1),
        ("yield_tail", (), "wasi_snapshot_preview1.sched_yield", 0),
        ("random", (), "wasi_snapshot_preview1.random_get", 1),
        ("pair", (), "host.pair", 1),
        ("pair_tail", (3, 4), "host.pair", None),
        ("float", (), "host.float", 1),
        ("status", (), "host.status", 1),
    ],
)
def test_frames_and_results(export: str, arguments: tuple[int, ...], host: str, depth: int | None) -> None:
    """A tail call of an import that returns no errno has no frame: it may go on without end."""
    traced = Traced(PROGRAM, hosts(5))
    assert traced.call(export, *arguments) == Guest(PROGRAM, hosts(5)).call(export, *arguments)
    records = traced.recorded()
    assert sorted(records) == sorted([*([] if depth is None else [(host, depth)]), (export, 0)])
    assert (traced.calls, traced.depth) == ({host: 1, export: 1}, 0)


def test_only_wasi_results_are_errnos() -> None:
    sites = instrument(PROGRAM).sites
    assert [each.errno_ordinal for each in sites.host_functions] == [0, None, 1, None, None]


def test_a_host_that_raises_leaves_the_frame() -> None:
    def fail() -> int:
        raise ValueError("no")

    traced = Traced(PROGRAM, {**hosts(), "host.status": ([], ["i32"], fail)})
    with pytest.raises(ValueError, match="no"):
        traced.call("status")
    assert traced.open_frames == ["status", "host.status"]


def test_a_host_that_calls_back() -> None:
    again: Host = ([], ["i32"], lambda: traced.call("yield"))
    traced = Traced(PROGRAM, {**hosts(6), "host.status": again})
    assert traced.call("status") == 6
    assert traced.recorded() == [
        ("wasi_snapshot_preview1.sched_yield", 3),
        ("yield", 2),
        ("host.status", 1),
        ("status", 0),
    ]


IMPORTS = """(module
  (import "host" "zero" (func $host.zero))
  (import "host" "one" (func $host.one))
  (type $void (func))
  FIELDS
  (func $own (export "own") call $host.zero call $host.one))"""
IN_TABLE = "also in a table or taken by reference: calls through that are not counted"
EXPORTED = "also exported: calls from outside are not counted"

# id, fields, (funcidx, reason) of what is reported
BYPASSES: list[tuple[str, str, list[tuple[int, str]]]] = [
    ("none", "(table 2 funcref) (elem (i32.const 0) $own)", []),
    ("active", "(table 2 funcref) (elem (i32.const 0) $own $host.one)", [(1, IN_TABLE)]),
    ("active-both", "(table 2 funcref) (elem (i32.const 0) $host.one $host.zero)", [(0, IN_TABLE), (1, IN_TABLE)]),
    ("table-1", "(table 1 funcref) (table 2 funcref) (elem (table 1) (i32.const 0) func $host.one)", [(1, IN_TABLE)]),
    ("passive", "(elem func $host.one)", [(1, IN_TABLE)]),
    ("declared", "(elem declare func $host.one) (func (drop (ref.func $host.one)))", [(1, IN_TABLE)]),
    ("expressions", "(table 3 funcref) (elem (i32.const 0) funcref (ref.null func) (ref.func 1))", [(1, IN_TABLE)]),
    (
        "table-1-expressions",
        "(table 1 funcref) (table 3 funcref) (elem (table 1) (i32.const 0) funcref (item ref.func 1))",
        [(1, IN_TABLE)],
    ),
    ("passive-expressions", "(elem funcref (ref.func 0))", [(0, IN_TABLE)]),
    ("declared-expressions", "(elem declare (ref null $void) (ref.func 0))", [(0, IN_TABLE)]),
    ("global", "(global funcref (ref.func 0))", [(0, IN_TABLE)]),
    ("table-value", "(table 3 (ref func) (ref.func 1))", [(1, IN_TABLE)]),
    (
        "struct-in-global",
        "(type $box (struct (field funcref))) (global (ref $box) (struct.new $box (ref.func 1)))",
        [(1, IN_TABLE)],
    ),
    ("start", "(start $host.zero)", [(0, "also the start function: that call is not counted")]),
    ("export", '(export "a" (func $host.one)) (export "b" (func $host.one))', [(1, EXPORTED)]),
    ("export-and-global", '(export "a" (func 0)) (global funcref (ref.func 0))', [(0, EXPORTED), (0, IN_TABLE)]),
]


@pytest.mark.parametrize(("fields", "expected"), [row[1:] for row in BYPASSES], ids=[row[0] for row in BYPASSES])
def test_ways_past_the_wrapper_are_reported(fields: str, expected: list[tuple[int, str]]) -> None:
    calls: list[int] = []
    both: dict[str, Host] = {
        "host.zero": ([], [], lambda: calls.append(0)),
        "host.one": ([], [], lambda: calls.append(1)),
    }
    traced = Traced(wasm_of(IMPORTS.replace("FIELDS", fields)), both)
    assert [(each.funcidx, each.reason) for each in traced.sites.skipped] == expected
    traced.call("own")
    assert calls[-2:] == [0, 1]
    assert traced.calls == {"host.zero": 1, "host.one": 1, "own": 1}
