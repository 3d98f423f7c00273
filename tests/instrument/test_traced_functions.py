"""Each call of the functions that were asked for becomes a record, within what the host allows."""

from __future__ import annotations

import pytest

from exit_cases import EXITS, SHAPES, Exit, Shape, program
from traced_guest import Guest, Host, Traced, wasm_of
from wasmtrace import layout as cells
from wasmtrace.errors import UsageError
from wasmtrace.instrument import Options, instrument

THRESHOLD_US = 1000
PROGRAM = wasm_of("""
(module
  (import "host" "tick" (func $tick (param i32)))
  (import "wasi_snapshot_preview1" "fd_close" (func $close (param i32) (result i32)))
  (func $leaf (param i32) (result i32) (if (local.get 0) (then (return (i32.const 7)))) (i32.const 8))
  (func $around (param i32)
    (drop (call $leaf (i32.const 0))) (call $tick (local.get 0)) (drop (call $leaf (i32.const 1))))
  (func (export "run") (param i32) (call $around (local.get 0)))
  (func (export "close") (drop (call $close (i32.const 5))))
  (func (export "spin") (param i32)
    (loop (drop (call $leaf (local.get 0)))
      (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1)))))))
""")


def guest(*globs: str, program: bytes = PROGRAM, **options: object) -> Traced:
    threshold_us = int(str(options.get("slow_threshold_us", THRESHOLD_US)))
    hosts: dict[str, Host] = {
        "host.tick": (["i32"], [], lambda now_us: found.tick(now_us, threshold_us) if now_us else None),
        "wasi_snapshot_preview1.fd_close": (["i32"], ["i32"], lambda descriptor: descriptor + 3),
    }
    settings = Options(trace_functions=globs, **{"slow_threshold_us": THRESHOLD_US, **options})  # type: ignore[arg-type]
    found = Traced(program, hosts, settings)
    return found


def records(found: Traced) -> list[tuple[str, int, bool]]:
    """Name, depth, and whether it was slow."""
    return [(each.name, each.depth, each.kind == cells.KIND_SLOW_CALL) for each in found.ring()]


def test_a_function_that_cannot_be_slow_is_timed_too() -> None:
    found = guest("leaf")
    found.call("run", 0)
    assert records(found) == [("leaf", 2, False), ("leaf", 2, False)]
    assert found.slow_calls == found.slow_us == {}
    assert found.depth == 0
    assert found.sites.framed_functions == instrument(PROGRAM).sites.framed_functions + 1


def test_a_slow_call_is_recorded_once_and_counted_as_slow() -> None:
    found = guest("leaf", "around")
    found.call("run", 0)
    assert records(found) == [("leaf", 2, False), ("leaf", 2, False), ("around", 1, False)]
    assert found.slow_calls == {}
    found.put(cells.SLOW_CUTOFF_OFFSET, cells.CUTOFF_ALL)
    found.put(cells.WATERMARK_OFFSET, cells.WATERMARK_ALL)
    found.call("run", 0)
    assert records(found) == [
        ("leaf", 2, True),
        ("tick", 2, True),
        ("leaf", 2, True),
        ("around", 1, True),
        ("run", 0, True),
    ]
    assert found.cell(cells.TRACED_COUNT_OFFSET) == 3
    assert found.slow_calls == {"leaf": 2, "tick": 1, "around": 1, "run": 1}


@pytest.mark.parametrize(("limit", "kept"), [(0, 0), (1, 1), (3, 3), (50, 10)], ids=str)
def test_the_host_says_how_many(limit: int, kept: int) -> None:
    found = guest("leaf")
    found.put(cells.TRACED_LIMIT_OFFSET, limit)
    found.call("spin", 10)
    assert len(records(found)) == kept
    assert found.cell(cells.TRACED_COUNT_OFFSET) == kept
    assert found.cell(cells.TRACED_LEFT_OUT_OFFSET) == 10 - kept
    assert found.cell(cells.RING_DROPPED_OFFSET) == 0


def test_a_ring_that_nobody_reads_stays_empty_and_slow_calls_are_counted_all_the_same() -> None:
    found = guest("leaf", slow_threshold_us=0)
    found.put(cells.RING_MUTED_OFFSET, 1)
    found.call("spin", 5)
    assert (records(found), found.cell(cells.RING_HEAD_OFFSET), found.cell(cells.RING_DROPPED_OFFSET)) == ([], 0, 0)
    assert found.slow_calls == {"leaf": 5, "spin": 1}
    found.put(cells.SLOW_CUTOFF_OFFSET, 0)
    found.put(cells.WATERMARK_OFFSET, 0)
    found.call("spin", 5)
    assert (found.cell(cells.TRACED_COUNT_OFFSET), found.cell(cells.TRACED_LEFT_OUT_OFFSET)) == (0, 0)


def test_the_slowest_call_is_kept() -> None:
    found = guest(slow_threshold_us=0)
    for now_us in (100, 5100, 5200):
        found.call("run", now_us)
    longest = found.cell(found.layout.slowest_us_offset + found.names.index("around") * cells.CELL_BYTES)
    assert (longest, found.slow_us["around"]) == (5000, 5200)


def test_what_begins_later_has_a_later_stamp() -> None:
    found = guest("leaf")
    found.tick(5000, THRESHOLD_US)
    found.call("spin", 4)
    assert [(each.start_us, each.end_us) for each in found.ring()] == [(5000 + n, 5001 + n) for n in range(4)]


def test_the_clock_is_not_moved_past_the_next_tick() -> None:
    found = guest("leaf", ring_capacity=4096)
    found.tick(5000, THRESHOLD_US)
    found.call("spin", 2000)
    assert found.cell(cells.CLOCK_OFFSET) == cells.stamp(5000 + cells.MOST_AHEAD_US)
    assert len(records(found)) == 2000


def test_an_import_is_recorded_with_its_errno() -> None:
    found = guest("wasi_snapshot_preview1.fd_close", "close")
    found.call("close")
    assert [(each.name, each.depth, each.payloads[0]) for each in found.ring()] == [("close", 1, 8), ("close", 0, 0)]


@pytest.mark.parametrize("options", [{"exclude": ("*",)}, {"include": ("nothing",)}], ids=["excluded", "not-included"])
def test_who_asks_for_a_function_gets_it(options: dict[str, tuple[str, ...]]) -> None:
    found = guest("leaf", **options)  # type: ignore[arg-type]
    found.call("run", 0)
    assert records(found) == [("leaf", 0, False), ("leaf", 0, False)]


@pytest.mark.parametrize("row", EXITS, ids=[each.id for each in EXITS])
@pytest.mark.parametrize("shape", SHAPES, ids=[each.id for each in SHAPES])
def test_each_exit(row: Exit, shape: Shape) -> None:
    wasm = wasm_of(program(row, shape))
    plain, found = Guest(wasm), Traced(wasm, options=Options(trace_functions=("*",)))
    assert found.call("run") == plain.call("run")
    assert found.depth == 0
    recorded = [(each.name, each.depth) for each in found.ring() if each.name not in ("touch", "seven")]
    assert recorded == list(row.recorded)
    assert found.slow_calls == {}


def test_a_module_of_which_nothing_is_traced_is_the_same_as_before() -> None:
    plain = instrument(PROGRAM, Options())
    found = instrument(PROGRAM, Options(trace_functions=("nothing", "x*")))
    assert found.wasm == plain.wasm
    assert found.sites.unmatched_traced == ("nothing", "x*")


def test_the_site_table_tells() -> None:
    found = guest("leaf", "*tick", "nothing")
    assert [found.names[each] for each in found.sites.traced] == ["tick", "leaf"]
    assert found.sites.unmatched_traced == ("nothing",)
    assert type(found.sites).from_json(found.sites.as_json()) == found.sites


def test_it_needs_frames() -> None:
    with pytest.raises(UsageError, match="level trace"):
        Options(level="calls", trace_functions=("*",))
