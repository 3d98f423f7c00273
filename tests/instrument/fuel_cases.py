"""Control flow and instructions whose fuel was counted by hand: of function `run`, for each argument.

1 for the call, 1 for each instruction but `nop`, `drop`, `block`, `loop`, `else`, `end`, `return` and `unreachable`.
"""

from __future__ import annotations

from typing import NamedTuple


class Case(NamedTuple):
    id: str
    body: str
    expected: dict[int, int]
    """By argument."""
    result: str = ""
    more: str = ""
    """Other fields of the module."""


_ONE = "i32.const 1 drop "
_COUNT_DOWN = "local.get 0 i32.const 1 i32.sub local.tee 0 "
_REFS = "(table $t 2 funcref) (elem (table $t) (i32.const 0) func $f) (func $f)"
_TYPE = "(type $t (func (param i32) (result i32)))"
_ARRAYS = """(type $a (array (mut i32))) (type $r (array (mut funcref)))
  (data $d "01234567") (elem $e funcref (ref.null func))"""

CASES = (
    Case("empty", "", {0: 1}),
    Case("free instructions", "nop nop block end loop end nop return", {0: 1}),
    Case("straight line", _ONE * 5 + "local.get 0 drop", {0: 7}),
    Case("straight line with a result", "local.get 0 i32.const 1 i32.add", {3: 4}, "i32"),
    Case("if with else", f"local.get 0 if {_ONE * 3} else {_ONE * 7} end {_ONE}", {0: 11, 1: 7}),
    Case("if, cheaper else", f"local.get 0 if {_ONE * 7} else {_ONE * 3} end {_ONE}", {0: 7, 1: 11}),
    Case("if without else", f"local.get 0 if {_ONE * 3} end {_ONE}", {0: 4, 1: 7}),
    Case("empty arms", "local.get 0 if else end", {0: 3, 1: 3}),
    Case(
        "if that carries a value",
        "i32.const 5 local.get 0 if (param i32) (result i32) i32.const 1 i32.add end drop",
        {0: 4, 1: 6},
    ),
    Case("loop", f"loop {_COUNT_DOWN} br_if 0 end", {1: 6, 2: 11, 9: 46}),
    Case(
        "loop that is left in two ways",
        f"""block $out loop $l {_ONE} local.get 0 i32.const 7 i32.eq br_if $out
         {_COUNT_DOWN} br_if $l end {_ONE * 2} end""",
        {1: 13, 2: 23, 7: 6, 9: 26},
    ),
    Case(
        "inner loop goes on with the outer one",
        f"""(local i32) loop $outer {_ONE}
         loop $inner {_COUNT_DOWN} i32.eqz if return end local.get 0 i32.const 1 i32.and br_if $outer br $inner
         end end""",
        {1: 8, 2: 19, 3: 30},
    ),
    Case("loop without end", f"loop {_COUNT_DOWN} i32.eqz if return end br 0 end", {1: 7, 2: 14, 5: 35}),
    Case("code after the branch back", f"loop {_COUNT_DOWN} br_if 0 {_ONE * 3} end {_ONE}", {1: 10, 2: 15}),
    Case(
        "a long way to the inner loop",
        f"""loop $outer {_ONE * 4} loop $inner {_COUNT_DOWN} i32.eqz if return end
         local.get 0 i32.const 1 i32.and br_if $outer br $inner end end""",
        {1: 11, 2: 25, 3: 36},
    ),
    Case("br", f"block {_ONE} br 0 {_ONE * 9} end {_ONE}", {0: 4}),
    Case("br to the function", f"local.get 0 if {_ONE} br 1 end {_ONE * 4}", {0: 7, 1: 5}),
    Case("br_if to the function", f"local.get 0 br_if 0 {_ONE * 4}", {0: 7, 1: 3}),
    Case(
        "br_if with a value",
        "block (result i32) i32.const 3 local.get 0 br_if 0 i32.const 1 i32.add end drop",
        {0: 6, 1: 4},
    ),
    Case(
        "br_if with values to an outer loop",
        f"""i32.const 2 loop $outer (param i32) drop {_COUNT_DOWN} if loop $inner
         i32.const 6 local.get 0 br_if $outer drop end end end""",
        {1: 7, 2: 15, 3: 23},
    ),
    Case("return", f"local.get 0 if {_ONE} return end {_ONE * 2} return {_ONE * 5}", {0: 5, 1: 4}),
    Case(
        "return of a value among others",
        "i32.const 1 i32.const 2 local.get 0 if i32.const 9 return end drop",
        {0: 5, 1: 6},
        "i32",
    ),
    Case("unreachable code", f"block br 0 drop i32.const 1 if {_ONE} else end loop br 0 end end {_ONE}", {0: 3}),
    Case("equal ways of a table", "block block local.get 0 br_table 0 1 0 end end", {0: 3, 1: 3, 5: 3}),
    Case(
        "unequal ways of a table",
        f"""block block block local.get 0 br_table 0 1 2 end {_ONE * 5} end {_ONE * 3} end {_ONE}""",
        {0: 12, 1: 7, 2: 4, 3: 4, -1: 4},
    ),
    Case(
        "a table all of whose ways add",
        f"""block $a block $b local.get 0 i32.const 3 i32.eq br_if $b local.get 0 i32.const 4 i32.eq br_if $a
         {_ONE * 9} local.get 0 br_table $a $b end {_ONE * 5} end""",
        {0: 20, 1: 25, 3: 10, 4: 9},
    ),
    Case(
        "a label twice in a table",
        f"block block local.get 0 br_table 0 1 0 1 1 0 end {_ONE * 5} end {_ONE}",
        {0: 9, 1: 4, 2: 9, 3: 4, 4: 4, 5: 9},
    ),
    Case("a table that ends the function", f"block local.get 0 br_table 0 1 end {_ONE * 3}", {0: 6, 1: 3}),
    Case(
        "a table with a loop",
        f"""block $out loop $l {_ONE} block $b {_COUNT_DOWN} br_table $out $b $l end {_ONE * 2}
         br $l end end {_ONE}""",
        {1: 8, 2: 17, 3: 23, 4: 29},
    ),
    Case(
        "a table that carries values",
        """block (result i32) block (result i32) i32.const 4 local.get 0 br_table 0 1 end
         i32.const 1 i32.add end drop""",
        {0: 6, 1: 4},
    ),
    Case(
        "a table to the function with a value",
        f"block (result i32) i32.const 4 local.get 0 br_table 0 1 end {_ONE}",
        {0: 5, 1: 4},
        "i32",
    ),
    Case(
        "several values",
        "i32.const 1 i32.const 2 block (param i32 i32) (result i32 i32 i32) "
        "i32.const 3 local.get 0 br_if 0 drop i32.const 4 end drop drop drop",
        {0: 7, 1: 6},
    ),
    Case("br_on_null", f"block local.get 0 table.get $t br_on_null 0 drop {_ONE} end", {0: 5, 1: 4}, more=_REFS),
    Case(
        "br_on_non_null",
        f"block (result (ref func)) local.get 0 table.get $t br_on_non_null 0 {_ONE} ref.func $f end drop",
        {0: 4, 1: 6},
        more=_REFS,
    ),
    Case(
        "br_on_cast",
        f"block (result anyref) local.get 0 if (result anyref) (ref.i31 (i32.const 1)) else (ref.null any) end "
        f"br_on_cast 0 anyref (ref i31) {_ONE} end drop",
        {0: 6, 1: 6},
    ),
    Case("calls", "call $f call $f", {0: 3}, more=f"(func $f {_ONE})"),
    Case(
        "tail call",
        f"local.get 0 if (result i32) {_COUNT_DOWN} return_call $run else i32.const 5 end",
        {0: 4, 1: 12, 2: 20},
        "i32",
    ),
    Case(
        "indirect tail call",
        "local.get 0 i32.const 1 return_call_indirect (type $t)",
        {0: 4},
        "i32",
        f"{_TYPE} (table funcref (elem $f $f)) (func $f (type $t) local.get 0)",
    ),
    Case(
        "indirect tail call that traps",
        f"local.get 0 if {_ONE * 4} i32.const 1 local.get 0 return_call_indirect (type $t) end i32.const 1",
        {0: 4, 1: 10, 2: 10, 3: 10},
        "i32",
        f"{_TYPE} (table 3 funcref) (elem (i32.const 0) $f $f) (func $f (type $t) local.get 0)",
    ),
    Case(
        "tail call by no reference",
        f"local.get 0 if {_ONE * 4} i32.const 1 ref.null $t return_call_ref $t end i32.const 1",
        {0: 4, 1: 10},
        "i32",
        _TYPE,
    ),
    Case(
        "a loop that is left for a trap",
        f"i32.const 0 loop (param i32) drop i32.const 5 {_COUNT_DOWN} br_if 0 unreachable end",
        {1: 8, 3: 20},
    ),
    Case(
        "tail call by reference",
        "local.get 0 ref.func $f return_call_ref $t",
        {0: 4},
        "i32",
        f"{_TYPE} (elem declare func $f) (func $f (type $t) local.get 0)",
    ),
    Case(
        "call by reference",
        "local.get 0 ref.func $f call_ref $t drop",
        {0: 4},
        "",
        f"{_TYPE} (elem declare func $f) (func $f (type $t) local.get 0)",
    ),
    Case("never returns", f"{_ONE} unreachable", {0: 2}),
    Case("never returns, after a loop", f"loop {_COUNT_DOWN} br_if 0 end unreachable", {1: 6, 4: 21}),
    Case(
        "never returns, by itself",
        "local.get 0 i32.eqz if unreachable end local.get 0 i32.const 1 i32.sub call $run unreachable",
        {0: 4, 3: 28},
    ),
    Case("division by zero", f"{_ONE} i32.const 1 local.get 0 i32.div_u drop {_ONE}", {0: 5, 1: 6}),
    Case("memory.fill", "i32.const 0 i32.const 1 local.get 0 memory.fill", {0: 5, 9: 14, 70000: 5}, more="(memory 1)"),
    Case(
        "memory.fill of 64 bits",
        "i64.const 0 i32.const 1 local.get 0 i64.extend_i32_u memory.fill",
        {0: 6, 9: 15},
        more="(memory i64 1)",
    ),
    Case("memory.copy", "i32.const 0 i32.const 1 local.get 0 memory.copy", {0: 5, 9: 14}, more="(memory 1)"),
    Case(
        "memory.copy of 64 bits",
        "i64.const 0 i64.const 1 local.get 0 i64.extend_i32_u memory.copy",
        {0: 6, 9: 15},
        more="(memory i64 1)",
    ),
    Case(
        "memory.copy between widths",
        "i32.const 0 i64.const 1 local.get 0 memory.copy 1 0",
        {0: 5, 9: 14},
        more="(memory i64 1) (memory 1)",
    ),
    Case(
        "memory.init",
        "i32.const 0 i32.const 0 local.get 0 memory.init $d",
        {0: 5, 8: 13, 9: 5},
        more=f"(memory 1) {_ARRAYS}",
    ),
    Case(
        "memory.init of 64 bits",
        "i64.const 0 i32.const 0 local.get 0 memory.init $d",
        {0: 5, 8: 13},
        more=f"(memory i64 1) {_ARRAYS}",
    ),
    Case("memory.grow", "local.get 0 memory.grow drop", {0: 3, 2: 5, 3: 3, -1: 3}, more="(memory 1 3)"),
    Case(
        "memory.grow of 64 bits",
        "local.get 0 i64.extend_i32_u memory.grow drop",
        {0: 4, 2: 6, 3: 4},
        more="(memory i64 1 3)",
    ),
    Case(
        "table.grow",
        "ref.null func local.get 0 table.grow 0 drop",
        {0: 4, 2: 6, 3: 4, -1: 4},
        more="(table 1 3 funcref)",
    ),
    Case(
        "table.grow of 64 bits",
        "ref.null func local.get 0 i64.extend_i32_u table.grow 0 drop",
        {0: 5, 2: 7, 3: 5},
        more="(table i64 1 3 funcref)",
    ),
    Case(
        "table.fill", "i32.const 0 ref.null func local.get 0 table.fill 0", {0: 5, 3: 8, 4: 5}, more="(table 3 funcref)"
    ),
    Case(
        "table.fill of 64 bits",
        "i64.const 0 ref.null func local.get 0 i64.extend_i32_u table.fill 0",
        {0: 6, 3: 9},
        more="(table i64 3 funcref)",
    ),
    Case("table.copy", "i32.const 0 i32.const 0 local.get 0 table.copy 0 0", {0: 5, 3: 8}, more="(table 3 funcref)"),
    Case(
        "table.copy of 64 bits",
        "i64.const 0 i64.const 0 local.get 0 i64.extend_i32_u table.copy 0 0",
        {0: 6, 3: 9},
        more="(table i64 3 funcref)",
    ),
    Case(
        "table.copy between widths",
        "i64.const 0 i32.const 0 local.get 0 table.copy 0 1",
        {0: 5, 3: 8},
        more="(table i64 3 funcref) (table 3 funcref)",
    ),
    Case(
        "table.init",
        "i32.const 0 i32.const 0 local.get 0 table.init 0 $e",
        {0: 5, 1: 6, 2: 5},
        more=f"(table 3 funcref) {_ARRAYS}",
    ),
    Case("array.new", "i32.const 0 local.get 0 array.new $a drop", {0: 4, 9: 13}, more=_ARRAYS),
    Case("array.new_default", "local.get 0 array.new_default $a drop", {0: 3, 9: 12}, more=_ARRAYS),
    Case("array.new_data", "i32.const 0 local.get 0 array.new_data $a $d drop", {0: 4, 2: 6, 3: 4}, more=_ARRAYS),
    Case("array.new_elem", "i32.const 0 local.get 0 array.new_elem $r $e drop", {0: 4, 1: 5}, more=_ARRAYS),
    Case(
        "array.fill",
        "i32.const 5 array.new_default $a i32.const 0 i32.const 1 local.get 0 array.fill $a",
        {0: 12, 5: 17, 6: 12},
        more=_ARRAYS,
    ),
    Case(
        "array.copy",
        "i32.const 5 array.new_default $a i32.const 0 i32.const 5 array.new_default $a i32.const 0 local.get 0 "
        "array.copy $a $a",
        {0: 19, 5: 24},
        more=_ARRAYS,
    ),
    Case(
        "array.init_data",
        "i32.const 5 array.new_default $a i32.const 0 i32.const 0 local.get 0 array.init_data $a $d",
        {0: 12, 2: 14},
        more=_ARRAYS,
    ),
    Case(
        "array.init_elem",
        "i32.const 5 array.new_default $r i32.const 0 i32.const 0 local.get 0 array.init_elem $r $e",
        {0: 12, 1: 13},
        more=_ARRAYS,
    ),
    Case(
        "two operands in a loop",
        f"loop i32.const 0 i32.const 1 local.get 0 memory.fill {_COUNT_DOWN} br_if 0 end",
        {1: 11, 3: 34},
        more="(memory 1)",
    ),
    Case(
        "catch",
        f"block $b (result i32) try_table (catch $e $b) local.get 0 call $f {_ONE * 2} end i32.const 1 end drop {_ONE}",
        {0: 8, 1: 5},
        more=f"(tag $e (param i32)) (func $f (param i32) {_ONE} local.get 0 if local.get 0 throw $e end {_ONE * 3})",
    ),
    Case(
        "throw and catch in one function",
        f"block $b try_table (catch_all $b) {_ONE} local.get 0 if throw $e end {_ONE * 2} end end {_ONE}",
        {0: 8, 1: 7},
        more="(tag $e)",
    ),
    Case("throw", f"{_ONE} local.get 0 if throw $e end {_ONE * 2}", {0: 6, 1: 5}, more="(tag $e)"),
    Case(
        "throw_ref",
        "block $b (result exnref) try_table (catch_all_ref $b) local.get 0 call $f end "
        f"{_ONE} return end {_ONE} throw_ref",
        {0: 5, 1: 6},
        more=f"(tag $e) (func $f (param i32) local.get 0 if throw $e end {_ONE})",
    ),
    Case(
        "through several frames",
        f"""block $b try_table (catch_all $b) {_ONE} local.get 0 call $f {_ONE * 4} end end""",
        {0: 9, 1: 5},
        more=f"""(tag $e) (func $f (param i32) {_ONE} local.get 0 call $g {_ONE * 2})
         (func $g (param i32) {_ONE} block $b (result exnref) try_table (catch_ref $e $b) local.get 0 call $h end
         {_ONE} return end throw_ref)
         (func $h (param i32) {_ONE * 2} local.get 0 if throw $e end {_ONE})""",
    ),
    Case(
        "catch in a loop",
        f"loop $l block $b try_table (catch_all $b) local.get 0 call $f end return end {_COUNT_DOWN} drop br $l end",
        {0: 4, 1: 12, 2: 20},
        more="(tag $e) (func $f (param i32) local.get 0 if throw $e end)",
    ),
)
