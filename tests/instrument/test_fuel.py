"""Fuel by function is what was executed: by hand, by the engine, and by a counter before each instruction."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import wasmtime
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from compiled import Missing
from fuel_cases import CASES, Case
from fuel_guest import MOST_FRAMES, OPTIONS, Guest, Rewritten, check, wasm_of
from fuel_oracle import printer
from fuel_programs import CALLS, program
from wasmtrace.instrument import Options
from wasmtrace.instrument.kernel import host
from wasmtrace.instrument.kernel.build import SOURCE, build

try:
    printer()
except Missing as missing:
    pytest.skip(str(missing), allow_module_level=True)

LEVELS = pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)


def module_of(case: Case) -> bytes:
    result = f"(result {case.result})" if case.result else ""
    return wasm_of(f'(module {case.more} (func $run (export "run") (param i32) {result} {case.body}))')


@pytest.mark.parametrize("case", CASES, ids=[each.id for each in CASES])
def test_counted_by_hand(case: Case) -> None:
    """At every level, and each function for itself; traps too, once what open calls have used is added."""
    seen = check(module_of(case), [("run", (each,)) for each in case.expected])
    assert {
        argument: list((each.fuel or {}).values())[-1] for argument, each in zip(case.expected, seen[1:], strict=True)
    } == case.expected


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(st.data(), st.booleans())
def test_any_control_flow(data: st.DataObject, exceptions: bool) -> None:
    """Blocks, loops, arms, tables, handlers and calls in each other, in any way."""
    text = program(lambda below: data.draw(st.integers(0, max(0, below - 1))), exceptions=exceptions)
    check(wasm_of(text), CALLS)


@pytest.mark.parametrize("seed", range(30))
def test_larger_programs(seed: int) -> None:
    rng = random.Random(seed)
    check(wasm_of(program(lambda below: rng.randrange(below or 1), exceptions=bool(seed % 2))), CALLS)


START = """(module (memory 1)
  (func $inner (param i32) (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))))
  (func $start (call $inner (i32.const 5)) (i32.store (i32.const 0) (i32.const 1)))
  (func (export "run"))
  (start $start))"""


def test_start_function() -> None:
    """The engine takes 2 more: 1 for the function of its own that makes an instance, 1 for its call of the start."""
    wasm = wasm_of(START)
    start, run = check(wasm, [("run", ())])
    assert start.fuel == {0: 1 + 5 * 5, 1: 1 + 2 + 3, 2: 0}
    assert run.fuel == {0: 0, 1: 0, 2: 1}
    assert Guest(wasm, fuel=True).engine_fuel() == sum(start.fuel.values()) + 2


# Calls that are open at the end of the program.

EXIT = """(module
  (import "wasi_snapshot_preview1" "proc_exit" (func $exit (param i32)))
  (memory (export "memory") 1)
  (func $deep (param i32)
    (loop $again
      (if (i32.eqz (local.get 0)) (then (call $HOW (i32.const 3)) (drop (i32.const 9))))
      (call $middle (i32.sub (local.get 0) (i32.const 1)))
      (br $again)))
  (func $middle (param i32) (local i32)
    (loop $again
      (local.set 1 (i32.add (local.get 1) (i32.const 1)))
      (br_if $again (i32.lt_u (local.get 1) (local.get 0))))
    (block $one (block $two (br_table $one $two (i32.and (local.get 0) (i32.const 1)))) (drop (i32.const 4)))
    (call $deep (local.get 0))
    (call $deep (local.get 0)))
  (func $trap (param i32) (drop (i32.div_u (local.get 0) (i32.const 0))))
  (func (export "run") (param i32) (drop (i32.const 1)) (call $deep (local.get 0)) (call $exit (i32.const 0))))"""


@pytest.mark.parametrize("depth", [0, 1, 2, 5, 8])
@pytest.mark.parametrize(("how", "end"), [("exit", "exit 3"), ("trap", "trap ")])
def test_open_calls(how: str, end: str, depth: int) -> None:
    """`check` holds each function's count, with that of its open calls, against the truth; after `proc_exit` the
    engine's count is the same, too."""
    seen = check(wasm_of(EXIT.replace("HOW", how)), [("run", (depth,))])
    assert seen[1].end.startswith(end)
    assert sum((seen[1].fuel or {}).values()) > 5 * depth


@LEVELS
def test_more_open_calls_than_the_engine_names(options: Options) -> None:
    wasm = wasm_of(EXIT.replace("HOW", "exit"))
    guest = Rewritten(wasm, options)
    _, frames = guest.call("run", (40,))
    assert len(frames) == MOST_FRAMES
    plain = Guest(wasm, fuel=True)
    plain.call("run", (40,))
    difference = sum(guest.fuel().values()) + sum(guest.uncounted(frames).values()) - plain.engine_fuel()
    # Each of the others lacks what one pass through its function takes, at most.
    assert abs(difference) < 30 * (2 * 40 + 3 - MOST_FRAMES)


# That these tests can find faults: each of these, put into the walk, is found. What is there, and what is written over
# it.

SPOILT = {
    "nothing added on a branch": (
        "if (event->lag != NONE) put_add(difference(event->lag, event->goes_to));",
        "",
    ),
    "a conditional branch that adds nothing": (
        "put_add(difference(event->lag, event->goes_to));\n                put_byte(BR);",
        "put_byte(BR);",
    ),
    "too much on a detour": (
        "put_add(difference(event->lag, innermost[operand].event) - common_difference);",
        "put_add(difference(event->lag, innermost[operand].event));",
    ),
    "nothing common to the ways of a table": ("put_add(common_difference);", ""),
    "nothing added before else": ("case ELSE: put_add(difference(event->lag, event->operand)); break;", ""),
    "nothing added where there is no else": (
        "            put_byte(ELSE);\n            put_add(difference(begin->add, event->operand));",
        "",
    ),
    "nothing added at the end of a block": (
        "if (last || events[event->operand].opcode != LOOP) put_add(difference(event->lag, event->operand));",
        "",
    ),
    "an end of a loop that adds": (
        "if (last || events[event->operand].opcode != LOOP) put_add",
        "put_add",
    ),
    "not counted up to a throw": (
        "case TRY_TABLE: case THROW: case THROW_REF: case BR_ON",
        "case TRY_TABLE: case BR_ON",
    ),
    "not counted up to a call that may throw": ("default: return is_risky_call(opcode);", "default: return 0;"),
    "one more each call": (
        "!skipped && exit_lag != NONE ? exit_lag : 0",
        "!skipped && exit_lag != NONE ? exit_lag + 1 : 0",
    ),
    "a call that costs nothing": ("u32 lag = 1, depth = 0;", "u32 lag = 0, depth = 0;"),
    "a drop that costs": ("case END: case RETURN: case DROP: return 0;", "case END: case RETURN: return 0;"),
    "values lost on the way to an outer loop": (
        "(label->event == NONE || label->event != loop)",
        "(label->event == NONE || loop == 0 || events[label->event].opcode != LOOP)",
    ),
    "both ways to an outer loop counted as to the inner one": (
        "event->goes_to != NONE && event->goes_to == innermost->loop",
        "event->goes_to != NONE && events[event->goes_to].opcode == LOOP",
    ),
    "a table.grow that failed counted": (
        "put_byte(event->operand == IS_I64 ? I64_NE : I32_NE);",
        "put_byte(0x1a); put_byte(0x1a); put_byte(I32_CONST); put_byte(1);",
    ),
    "sizes of tables taken for those of memories": (
        "return type_of_size(config.table_is_64, config.table_count, first, second);",
        "return type_of_size(config.memory_is_64, config.memory_count, first, second);",
    ),
    "the instruction of an open call forgotten": ("reached ? lag + asked_cost : 0", "reached ? lag : 0"),
}


@pytest.mark.parametrize(("old", "new"), SPOILT.values(), ids=SPOILT)
def test_a_spoilt_walk_is_found(old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = 0
    for path in (SOURCE, *SOURCE.parent.glob("*.h")):
        found += path.read_text().count(old)
        (tmp_path / path.name).write_text(path.read_text().replace(old, new))
    assert found == 1
    build(tmp_path / "walk.wasm", tmp_path / "walk.c")
    engine = wasmtime.Engine()
    spoilt = engine, wasmtime.Module(engine, (tmp_path / "walk.wasm").read_bytes())
    monkeypatch.setattr(host, "compile_walk", lambda: spoilt)
    assert any(_is_wrong(case) for case in CASES)


def _is_wrong(case: Case) -> bool:
    calls = [("run", (each,)) for each in case.expected]
    try:
        check(module_of(case), calls, {"calls": OPTIONS["calls"]})
    except (AssertionError, wasmtime.WasmtimeError):
        return True
    return False
