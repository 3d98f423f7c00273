"""Modules for the oracle: each way to leave a function, growth, host calls, a clock that moves in between."""

from __future__ import annotations

from dataclasses import dataclass

from oracle_modules import Call

_IMPORTS = """
  (import "host" "look" (func $look (param i32)))
  (import "host" "fail" (func $fail))
  (import "host" "tick" (func $tick (param i32)))"""


@dataclass(frozen=True, slots=True)
class Case:
    id: str
    functions: str
    calls: tuple[Call, ...]

    @property
    def text(self) -> str:
        return f"(module {_IMPORTS}\n{self.functions})"


CASES = (
    Case(
        "exits",
        """
  (func $by_return (param i32) (result i32) (call $look (i32.const 1)) (return (local.get 0)))
  (func $by_end (param i32) (result i32) (call $look (i32.const 2)) (local.get 0))
  (func $by_br (param i32) (result i32)
    (block (loop (call $look (i32.const 3)) (br 2 (local.get 0)))) (i32.const 9))
  (func $by_br_if (param i32) (result i32)
    (call $look (i32.const 4)) (br_if 0 (i32.const 5) (local.get 0)) (drop) (i32.const 6))
  (func $by_br_table (param i32) (result i32)
    (call $look (i32.const 5))
    (block (result i32) (br_table 0 1 1 (i32.const 7) (local.get 0))) (drop) (i32.const 8))
  (func $leaf (param i32) (result i32) (local.get 0))
  (func (export "run") (param i32) (result i32)
    (i32.add (call $by_return (local.get 0)) (i32.add (call $by_end (local.get 0))
      (i32.add (call $by_br (local.get 0)) (i32.add (call $by_br_if (local.get 0))
        (i32.add (call $by_br_table (local.get 0)) (call $leaf (local.get 0))))))))""",
        (("run", (0,)), ("run", (1,)), ("run", (2,))),
    ),
    Case(
        "tail calls",
        """
  (type $f (func (param i32) (result i32)))
  (table funcref (elem $even $odd))
  (func $even (param i32) (result i32)
    (call $look (local.get 0))
    (if (i32.eqz (local.get 0)) (then (return (i32.const 1))))
    (return_call $odd (i32.sub (local.get 0) (i32.const 1))))
  (func $odd (param i32) (result i32)
    (if (i32.eqz (local.get 0)) (then (return (i32.const 0))))
    (return_call_indirect (type $f) (i32.sub (local.get 0) (i32.const 1)) (i32.const 0)))
  (func $to_host (param i32) (return_call $look (local.get 0)))
  (func $by_reference (param i32) (result i32) (return_call_ref $f (local.get 0) (ref.func $even)))
  (func (export "run") (param i32) (result i32)
    (call $to_host (local.get 0)) (i32.add (call $even (local.get 0)) (call $by_reference (local.get 0))))""",
        (("run", (0,)), ("run", (5,)), ("run", (40,))),
    ),
    Case(
        "exceptions",
        """
  (tag $t (param i32))
  (func $throws (param i32) (call $look (i32.const 1))
    (if (local.get 0) (then (throw $t (local.get 0)))) (call $look (i32.const 2)))
  (func $passes (param i32) (call $throws (local.get 0)) (call $look (i32.const 3)))
  (func $catches (export "run") (param i32) (result i32)
    (block $caught (result i32)
      (try_table (catch $t $caught) (call $passes (local.get 0)))
      (call $look (i32.const 4)) (i32.const 0))
    (call $look (i32.const 5)))
  (func $catches_in_a_loop (export "again") (param i32) (result i32) (local i32)
    (loop $next
      (block $caught (result i32)
        (try_table (catch $t $caught) (call $passes (local.get 0)))
        (call $look (i32.const 6)) (return (local.get 1)))
      (local.set 1 (i32.add (local.get 1)))
      (call $look (local.get 1))
      (local.set 0 (i32.sub (local.get 0) (i32.const 1)))
      (br $next))
    (unreachable))
  (func $rethrows (export "rethrow") (param i32) (result i32)
    (block $caught (result exnref)
      (try_table (catch_all_ref $caught) (call $passes (local.get 0)))
      (return (i32.const 0)))
    (call $look (i32.const 7)) (throw_ref))
  (func (export "outer") (param i32) (result i32)
    (block $caught (try_table (catch_all $caught) (return (call $rethrows (local.get 0)))))
    (call $look (i32.const 8)) (i32.const -1))
  (func (export "label") (param i32) (result i32)
    (try_table (catch $t 0) (call $passes (local.get 0))) (i32.const 3))""",
        tuple((name, (value,)) for name in ("run", "again", "outer", "label", "rethrow", "run") for value in (0, 3)),
    ),
    Case(
        "traps",
        """
  (func $inner (param i32) (result i32) (call $look (i32.const 1)) (i32.div_u (i32.const 1) (local.get 0)))
  (func $middle (param i32) (result i32) (call $inner (local.get 0)))
  (func (export "run") (param i32) (result i32)
    (if (i32.eq (local.get 0) (i32.const 2)) (then (call $fail)))
    (call $middle (local.get 0)))""",
        (("run", (1,)), ("run", (0,)), ("run", (1,)), ("run", (2,)), ("run", (1,))),
    ),
    Case(
        "growth",
        """
  (memory 1 4)
  (memory $wide i64 0 8)
  (func $a (param i32) (result i32) (memory.grow (local.get 0)))
  (func $b (param i32) (result i32)
    (i32.add (i32.wrap_i64 (memory.grow $wide (i64.extend_i32_s (local.get 0)))) (memory.grow (i32.const 0))))
  (func (export "run") (param i32) (result i32)
    (i32.add (call $a (local.get 0)) (i32.add (call $b (local.get 0)) (memory.grow (i32.const 1)))))""",
        (("run", (0,)), ("run", (1,)), ("run", (2,)), ("run", (100,)), ("run", (-1,))),
    ),
    Case(
        "calls past the wrapper",
        """
  (type $f (func (param i32)))
  (table funcref (elem $look $direct))
  (func $direct (param i32) (call $look (local.get 0)))
  (func (export "run") (param i32)
    (call_indirect (type $f) (i32.const 5) (local.get 0)) (call_ref $f (i32.const 6) (ref.func $look))
    (call $direct (i32.const 7)))""",
        (("run", (0,)), ("run", (1,))),
    ),
)

_RANDOM = """
  (global $state (mut i32) (i32.const 1))
  (func $next (result i32)
    (global.set $state (i32.add (i32.mul (global.get $state) (i32.const 1103515245)) (i32.const 12345)))
    (i32.shr_u (global.get $state) (i32.const 16)))
  (func $sometimes_ticks
    (if (i32.eqz (i32.rem_u (call $next) (i32.const 3)))
      (then (call $tick (i32.add (i32.const 1) (i32.rem_u (call $next) (i32.const 400)))))))
  (func $tree (param $depth i32) (local $left i32)
    (call $sometimes_ticks)
    (if (i32.eqz (local.get $depth)) (then (return)))
    (local.set $left (i32.rem_u (call $next) (i32.const 4)))
    (loop $again
      (if (local.get $left) (then
        (local.set $left (i32.sub (local.get $left) (i32.const 1)))
        (call $tree (i32.sub (local.get $depth) (i32.const 1)))
        (br $again))))
    (if (i32.and (call $next) (i32.const 1)) (then (return_call $sometimes_ticks)))
    (call $look (local.get $depth)))
  (func (export "run") (param $seed i32)
    (global.set $state (local.get $seed)) (call $tree (i32.const 9)))"""

MOVING_CLOCK = Case("moving clock", _RANDOM, tuple(("run", (seed,)) for seed in range(1, 30)))
