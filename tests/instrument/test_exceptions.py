"""Exceptions: where they are caught, the shadow stack must be the catching function's own again."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from exit_cases import SHAPES, Shape, filled
from traced_guest import Guest, Traced, wasm_of
from wasmtrace.instrument import Options

PROGRAM = """
(module
  (type $seven (func (result i32)))
  (tag $e (param RESULTS))
  (tag $other (param i64))
  (elem declare func $seven)
  (func $seven (type $seven) i32.const 7)
  (func $touch)
  (func $callee call $touch)
  (func $thrower call $touch PUSH throw $e)
  (func $middle call $thrower)
  (func $f (result RESULTS) (local $ref exnref) (local $again i32) BODY)
  (func $run (export "run") (result i64) (local $t i64) call $f call $callee CHECK))
"""

CALL = "call $callee call $middle"


@dataclass(frozen=True, slots=True)
class Catch:
    """`body` of `f`; after a catch it calls `callee`, which must find the shadow stack as deep as `f` left it."""

    id: str
    body: str
    callee_depths: tuple[int, ...] = (2, 2, 1)
    """Of each call of `callee`: before the throw and after the catch in `f`, and after `f` in `run`."""


CATCHES = (
    Catch(
        "block",
        "block $to (result RESULTS) try_table (catch $e $to) CALL end unreachable end call $callee",
    ),
    Catch(
        "block-second-clause",
        "block $to (result RESULTS) block $no (result i64)"
        " try_table (catch $other $no) (catch $e $to) CALL end unreachable end drop unreachable end call $callee",
    ),
    Catch(
        "catch_ref",
        "block $to (result RESULTS exnref) try_table (catch_ref $e $to) CALL end unreachable end drop call $callee",
    ),
    Catch("catch_all", "block $to try_table (catch_all $to) CALL end unreachable end call $callee PUSH"),
    Catch(
        "catch_all_ref",
        "block $to (result exnref) try_table (catch_all_ref $to) CALL end unreachable end drop call $callee PUSH",
    ),
    Catch(
        "loop",
        "loop $to local.get $again if call $callee PUSH return end i32.const 1 local.set $again"
        " try_table (catch_all $to) CALL end unreachable end unreachable",
    ),
    Catch(
        "function-label",
        "try_table (catch $e 0) CALL end unreachable",
        (2, 1),
    ),
    Catch(
        "function-label-nested",
        "block try_table (catch $e 1) CALL end unreachable end unreachable",
        (2, 1),
    ),
    Catch(
        "rethrown",
        "block $to (result RESULTS) try_table (catch $e $to)"
        " block $in (result exnref) try_table (catch_all_ref $in) CALL end unreachable end"
        " call $callee throw_ref end unreachable end call $callee",
        (2, 2, 2, 1),
    ),
    Catch(
        "thrown-here",
        "block $to (result RESULTS) try_table (catch $e $to)"
        " call $callee PUSH throw $e end unreachable end call $callee",
    ),
    Catch(
        "return-in-try",
        "block $to try_table (catch_all $to) call $callee PUSH return end end unreachable",
        (2, 1),
    ),
    Catch(
        "loop-of-ten",
        "loop $more block $to try_table (catch_all $to) call $middle end end"
        " local.get $again i32.const 1 i32.add local.tee $again i32.const 10 i32.lt_u br_if $more end"
        " call $callee PUSH",
        (2, 1),
    ),
)
EACH_CATCH = pytest.mark.parametrize("row", CATCHES, ids=[row.id for row in CATCHES])
EACH_SHAPE = pytest.mark.parametrize("shape", SHAPES, ids=[shape.id for shape in SHAPES])


def program(row: Catch, shape: Shape) -> bytes:
    wat = PROGRAM.replace("BODY", row.body).replace("CALL", CALL)
    return wasm_of(filled(wat.replace("(result RESULTS exnref)", f"(result {shape.results} exnref)"), shape))


def check(row: Catch, shape: Shape, options: Options, depth_of_f: int) -> None:
    wasm = program(row, shape)
    plain, traced = Guest(wasm), Traced(wasm, options=options)
    for _ in range(3):
        assert traced.call("run") == plain.call("run")
        assert traced.depth == 0
        recorded = [depth for name, depth in traced.recorded() if name == "callee"]
        assert recorded == [depth - (1 - depth_of_f) * (depth == 2) for depth in row.callee_depths]
    assert traced.calls["callee"] == 3 * len(row.callee_depths)


@EACH_CATCH
@EACH_SHAPE
def test_caught(row: Catch, shape: Shape) -> None:
    check(row, shape, Options(slow_threshold_us=0), 1)


@EACH_CATCH
@EACH_SHAPE
def test_caught_where_there_is_no_frame(row: Catch, shape: Shape) -> None:
    check(row, shape, Options(exclude=("f",), slow_threshold_us=0), 0)


@pytest.mark.parametrize("row", CATCHES[:6], ids=[row.id for row in CATCHES[:6]])
def test_caught_with_no_frame_below(row: Catch) -> None:
    wasm = program(row, SHAPES[0])
    traced = Traced(wasm, options=Options(exclude=("f", "run"), slow_threshold_us=0))
    traced.call("run")
    assert traced.depth == 0
    assert {depth for name, depth in traced.recorded() if name == "callee"} == {0}


def test_uncaught_leaves_its_frames() -> None:
    row = Catch("uncaught", "block $to (result i64) try_table (catch $other $to) CALL end unreachable end unreachable")
    traced = Traced(program(row, SHAPES[1]))
    with pytest.raises(Exception, match="exception"):
        traced.call("run")
    assert traced.open_frames == ["run", "f", "middle", "thrower"]
