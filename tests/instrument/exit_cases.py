"""Every way out of a function, for every shape of result: WAT text, and what must be counted and recorded.

A program has `run`, exported, which calls `f`, which calls `touch` (so that it can be slow, and has a frame) and goes
out in the row's way. `run` makes an i64 of what it got.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Shape:
    """Result types: `push` makes the results, `check` turns them into one i64."""

    id: str
    results: str
    push: str
    check: str
    count: int = 1
    extra_calls: tuple[str, ...] = ()


SHAPES = (
    Shape("none", "", "", "i64.const 1", count=0),
    Shape("i32", "i32", "i32.const -42", "i64.extend_i32_s"),
    Shape("f32", "f32", "f32.const 1.5", "i32.reinterpret_f32 i64.extend_i32_s"),
    Shape("f64", "f64", "f64.const -0.25", "i64.reinterpret_f64"),
    Shape("v128", "v128", "v128.const i64x2 5 6", "i64x2.extract_lane 1"),
    Shape(
        "two",
        "i32 i64",
        "i32.const 3 i64.const 4",
        "local.set $t i64.extend_i32_s i64.const 10 i64.mul local.get $t i64.add",
        count=2,
    ),
    Shape(
        "five",
        "i64 i32 f64 funcref i64",
        "i64.const 9 i32.const 3 f64.const 2 ref.null func i64.const 8",
        "local.set $t drop drop drop local.get $t i64.sub",
        count=5,
    ),
    Shape("null-ref", "(ref null $seven)", "ref.func $seven", "call_ref $seven i64.extend_i32_s", 1, ("seven",)),
    Shape("ref", "(ref $seven)", "ref.func $seven", "call_ref $seven i64.extend_i32_s", 1, ("seven",)),
    Shape("externref", "externref", "ref.null extern", "ref.is_null i64.extend_i32_u"),
    Shape("i31", "anyref", "i32.const 5 ref.i31", "ref.cast (ref i31) i31.get_s i64.extend_i32_s"),
)

RETURNED = (("f", 1), ("run", 0))
THEN_G = (("f", 1), ("g", 1), ("run", 0))


@dataclass(frozen=True, slots=True)
class Exit:
    """`body` of `f` after `call $touch`: PUSH, RESULTS, DROPS stand for the shape's."""

    id: str
    body: str
    recorded: tuple[tuple[str, int], ...] = RETURNED
    calls: tuple[str, ...] = ()
    """Besides `run`, `f`, and `touch` once."""


EXITS = (
    Exit("end", "PUSH"),
    Exit("return", "PUSH return"),
    Exit("return-over-values", "i32.const 1 f64.const 2 PUSH return"),
    Exit("return-in-if", "i32.const 1 if PUSH return else PUSH return end unreachable"),
    Exit("return-in-loop", "loop PUSH return end unreachable"),
    Exit("end-of-loop", "loop (result RESULTS) PUSH end"),
    Exit("br", "PUSH br 0"),
    Exit("br-nested", "block loop i32.const 9 PUSH br 2 end end unreachable"),
    Exit("br_if", "PUSH i32.const 1 br_if 0"),
    Exit("br_if-not", "PUSH i32.const 0 br_if 0"),
    Exit("br_if-nested", "block PUSH i32.const 1 br_if 1 DROPS end unreachable"),
    Exit("br_table", "block (result RESULTS) PUSH i32.const 1 br_table 0 1 0 end DROPS unreachable"),
    Exit("br_table-default", "block (result RESULTS) PUSH i32.const 7 br_table 0 0 1 end DROPS unreachable"),
    Exit("br_on_null", "block PUSH ref.null func br_on_null 1 drop DROPS end unreachable"),
    Exit("br_on_null-not", "PUSH ref.func $touch br_on_null 0 drop"),
    Exit("return_call", "return_call $g", THEN_G, ("g", "touch")),
    Exit("return_call_indirect", "i32.const 0 return_call_indirect (type $made)", THEN_G, ("g", "touch")),
    Exit("return_call_ref", "ref.func $g return_call_ref $made", THEN_G, ("g", "touch")),
    Exit("return_call-in-block", "block i32.const 4 return_call $g end unreachable", THEN_G, ("g", "touch")),
    Exit("dead-code", "PUSH return i32.add drop return br 0 call $touch unreachable i64.add drop return"),
    Exit("dead-branches", "PUSH br 0 br_table 0 0 return_call $g block unreachable return end loop br 0 end"),
)

CAST_EXITS = (
    Exit("br_on_cast", "PUSH br_on_cast 0 anyref (ref i31) drop unreachable"),
    Exit("br_on_cast-not", "PUSH br_on_cast 0 anyref (ref struct)"),
    Exit("br_on_cast_fail", "PUSH br_on_cast_fail 0 anyref (ref struct) drop unreachable"),
    Exit("br_on_non_null", "PUSH br_on_non_null 0 unreachable"),
)
"""For the shape `i31`."""

_PROGRAM = """
(module
  (type $seven (func (result i32)))
  (type $made (func (result RESULTS)))
  (table 1 funcref)
  (elem (i32.const 0) $g)
  (elem declare func $seven $touch $g)
  (func $touch)
  (func $seven (type $seven) i32.const 7)
  (func $g (type $made) call $touch PUSH)
  (func $f (type $made) call $touch BODY)
  (func $run (export "run") (result i64) (local $t i64) call $f CHECK))
"""


def filled(text: str, shape: Shape) -> str:
    """A template for a shape: no `(result)` is left empty."""
    return (
        text.replace("CHECK", shape.check)
        .replace("DROPS", "drop " * shape.count)
        .replace("PUSH", shape.push)
        .replace("(result RESULTS)", f"(result {shape.results})" if shape.results else "")
        .replace("(param RESULTS)", f"(param {shape.results})" if shape.results else "")
        .replace("RESULTS", shape.results)
    )


def program(row: Exit, shape: Shape) -> str:
    return filled(_PROGRAM.replace("BODY", row.body), shape)
