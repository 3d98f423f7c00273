"""Made-up programs of all control flow there is, for counts of fuel. Each ends: a budget runs out, and then it traps.

`choose(n)` gives a number below n, and so decides everything: a random generator, or hypothesis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

Choose = Callable[[int], int]
RESULTS = (1, 1, 1, 2, 0)
"""By function: the first three are of one type."""
BUDGET = 60
CALLS = tuple(("run", (seed,)) for seed in (1, 2, 3, 5))
_MOST_DEPTH = 4
_HEAD = f"""(module
  (type $f (func (result i32)))
  (memory 1 3) (memory $wide i64 1 3) (table $t 4 40 funcref) (table $wide_table i64 4 40 funcref)
  (type $array (array (mut i32)))
  (global $left (mut i32) (i32.const 0)) (global $seed (mut i32) (i32.const 0))
  (func $tick
    (global.set $left (i32.sub (global.get $left) (i32.const 1)))
    (if (i32.lt_s (global.get $left) (i32.const 0)) (then (unreachable))))
  (func $next (result i32)
    (global.set $seed (i32.add (i32.mul (global.get $seed) (i32.const 1103515245)) (i32.const 12345)))
    (i32.and (i32.shr_u (global.get $seed) (i32.const 16)) (i32.const 7)))
  (func (export "run") (param i32)
    (global.set $seed (local.get 0)) (global.set $left (i32.const {BUDGET}))
    call $f0 drop)"""


@dataclass(frozen=True, slots=True)
class _Label:
    arity: int
    is_loop: bool = False


class _Maker:
    def __init__(self, choose: Choose, exceptions: bool) -> None:
        self._choose = choose
        self._exceptions = exceptions
        self._lines: list[str] = []
        self._room = 0

    def program(self) -> str:
        self._lines = [_HEAD]
        if self._exceptions:
            self._emit("(tag $e (param i32))")
        for number, results in enumerate(RESULTS):
            self._room = 40
            self._emit(f"(func $f{number} {self._type(0, results)} (local i32)")
            if self._choose(4):
                self._emit("call $tick")
            else:
                self._inline_tick()
            self._body([_Label(results)], 0)
            self._emit(")")
        return "\n".join([*self._lines, ")"])

    def _emit(self, *lines: str) -> None:
        self._lines += lines

    def _inline_tick(self) -> None:
        self._emit("global.get $left i32.const 1 i32.sub global.set $left")
        self._emit("global.get $left i32.const 0 i32.lt_s if unreachable end")

    def _condition(self) -> None:
        if self._choose(3):
            self._emit("call $next", f"i32.const {self._choose(7)}", "i32.gt_u")
        else:
            self._emit("global.get $left i32.const 1 i32.and")

    def _push(self, count: int) -> None:
        self._emit(*["i32.const 6"] * count)

    def _drop(self, count: int) -> None:
        self._emit(*["drop"] * count)

    def _body(self, labels: list[_Label], depth: int) -> None:
        """Statements, and then what the innermost label's end wants, or a way that leaves."""
        for _ in range(self._choose(4)):
            self._statement(labels, depth)
        results = labels[-1].arity
        if labels[-1].is_loop or self._choose(4):
            return self._push(0 if labels[-1].is_loop else results)
        self._leave(labels)
        if self._choose(2):
            # What cannot be reached, and takes its operands from nowhere.
            self._drop(self._choose(2))
            if self._choose(2):
                self._statement(labels, depth)
            self._push(results)
        return None

    def _statement(self, labels: list[_Label], depth: int) -> None:
        self._room -= 1
        nested = depth < _MOST_DEPTH and self._room > 0
        makers = [self._simple, self._branch_if, self._if_leaves, self._call, self._by_operand, self._null_branch]
        makers += [self._block, self._loop, self._if, self._loop, self._switch] * nested
        makers += [self._try] * (nested and self._exceptions)
        makers[self._choose(len(makers))](labels, depth)

    def _simple(self, labels: list[_Label], depth: int) -> None:
        self._emit(*["i32.const 1", "drop", "nop"] * self._choose(4))

    def _type(self, params: int, results: int) -> str:
        return ("(param " + "i32 " * params + ")") * bool(params) + ("(result " + "i32 " * results + ")") * bool(
            results
        )

    def _block(self, labels: list[_Label], depth: int) -> None:
        params, results = self._choose(3) // 2, self._choose(3)
        self._push(params)
        self._emit(f"block {self._type(params, results)}")
        self._drop(params)
        self._body([*labels, _Label(results)], depth + 1)
        self._emit("end")
        self._drop(results)

    def _loop(self, labels: list[_Label], depth: int) -> None:
        params = self._choose(4) // 2
        self._push(params)
        self._emit(f"loop {self._type(params, 0)}")
        self._drop(params)
        if self._choose(2):
            self._emit("call $tick")
        else:
            self._inline_tick()
        self._body([*labels, _Label(params, True)], depth + 1)
        self._emit("end")

    def _if(self, labels: list[_Label], depth: int) -> None:
        with_else = self._choose(2)
        params = self._choose(3) // 2
        results = self._choose(3) if with_else else params
        self._push(params)
        self._condition()
        self._emit(f"if {self._type(params, results)}")
        self._drop(params)
        self._body([*labels, _Label(results)], depth + 1)
        if with_else:
            self._emit("else")
            self._drop(params)
            self._body([*labels, _Label(results)], depth + 1)
        self._emit("end")
        self._drop(results)

    def _if_leaves(self, labels: list[_Label], depth: int) -> None:
        self._condition()
        self._emit("if")
        self._leave([*labels, _Label(0)])
        self._emit("end")

    def _target(self, labels: list[_Label]) -> tuple[int, int]:
        """The operand, and how many values it takes."""
        operand = self._choose(len(labels))
        return operand, labels[-1 - operand].arity

    def _branch_if(self, labels: list[_Label], depth: int) -> None:
        operand, arity = self._target(labels)
        self._push(arity)
        self._condition()
        self._emit(f"br_if {operand}")
        self._drop(arity)

    def _null_branch(self, labels: list[_Label], depth: int) -> None:
        operand, arity = self._target(labels)
        self._push(arity)
        self._emit("call $next", "i32.const 3", "i32.and", "table.get $t")
        fitting = [each for each, label in enumerate(reversed(labels)) if label.arity == 0]
        if arity == 0 or not fitting or self._choose(2):
            self._emit(f"br_on_null {operand}", "drop")
        else:
            # Of another type than any label: a block of its own takes the reference.
            self._emit("drop", "block (result funcref)", "ref.null func", "call $next", "table.get $t")
            ways = ("br_on_cast 0 funcref (ref null $f)", "br_on_cast_fail 0 funcref (ref null $f)", "br_on_non_null 0")
            way = ways[self._choose(3)]
            self._emit(way, *(["drop"] if "cast" in way else []), "end", "drop")
        self._drop(arity)

    def _switch(self, labels: list[_Label], depth: int) -> None:
        """As compilers write it: a branch table in blocks of its own, the last of which has the outer labels too."""
        count = 1 + self._choose(4)
        self._emit(*["block"] * count)
        inside = [*labels, *[_Label(0)] * count]
        self._table(inside, 0)
        for _ in range(count):
            self._emit("end")
            inside.pop()
            for _ in range(self._choose(3)):
                self._statement(inside, depth + 1)
            if not self._choose(3):
                self._if_leaves(inside, depth)

    def _table(self, labels: list[_Label], arity: int) -> None:
        fitting = [operand for operand in range(len(labels)) if labels[-1 - operand].arity == arity]
        chosen = [fitting[self._choose(len(fitting))] for _ in range(1 + self._choose(6))]
        self._push(arity)
        self._emit("call $next", "br_table " + " ".join(map(str, chosen)))

    def _leave(self, labels: list[_Label]) -> None:
        how = self._choose(12)
        operand, arity = self._target(labels)
        if how < 5:
            self._push(arity)
            self._emit(f"br {operand}")
        elif how < 9:
            self._table(labels, arity)
        elif how == 9:
            self._push(labels[0].arity)
            self._emit("return")
        elif how == 10 and labels[0].arity == 1:
            tail = (
                "return_call $f1",
                "ref.func $f2 return_call_ref $f",
                "i32.const 2 return_call_indirect $t (type $f)",
            )
            self._emit(tail[self._choose(3)])
        elif how == 11 and self._exceptions and self._choose(2):
            self._emit("i32.const 4", "throw $e")
        elif self._choose(3):
            self._push(arity)
            self._emit(f"br {operand}")
        else:
            self._emit("unreachable")

    def _call(self, labels: list[_Label], depth: int) -> None:
        how = self._choose(len(RESULTS) + 1)
        if how < len(RESULTS):
            self._emit(f"call $f{how}")
            self._drop(RESULTS[how])
        else:
            self._emit("i32.const 3", "call_indirect $t (type $f)", "drop")

    def _by_operand(self, labels: list[_Label], depth: int) -> None:
        ways = (
            "i32.const 0 i32.const 1 call $next memory.fill",
            "i64.const 0 i32.const 1 call $next i64.extend_i32_u memory.fill $wide",
            "i32.const 0 i64.const 8 call $next memory.copy 0 $wide",
            "i64.const 0 i64.const 8 call $next i64.extend_i32_u memory.copy $wide $wide",
            "i32.const 0 i32.const 0 call $next i32.const 1 i32.and memory.init $data",
            "call $next memory.grow drop",
            "call $next i64.extend_i32_u memory.grow $wide drop",
            "ref.null func call $next table.grow $t drop",
            "ref.null func call $next i64.extend_i32_u table.grow $wide_table drop",
            "i32.const 0 ref.null func call $next i32.const 1 i32.and table.fill $t",
            "i64.const 0 ref.null func call $next i32.const 3 i32.and i64.extend_i32_u table.fill $wide_table",
            "i64.const 0 i32.const 0 call $next i32.const 3 i32.and table.copy $wide_table $t",
            "i32.const 1 i32.const 0 call $next i32.const 1 i32.and table.init $t $elements",
            "i32.const 1 call $next array.new $array drop",
            "call $next array.new_default $array drop",
            "i32.const 7 array.new_default $array i32.const 0 i32.const 3 call $next array.fill $array",
            "i32.const 0 i32.const 1 array.new_data $array $data drop",
        )
        self._emit(ways[self._choose(len(ways))])

    def _try(self, labels: list[_Label], depth: int) -> None:
        """A `try_table` whose handlers are a block around it and any label that fits."""
        kind = self._choose(4)
        clause = ("catch $e 0", "catch_all 0", "catch_ref $e 0", "catch_all_ref 0")[kind]
        type_ = ("i32", "", "i32 exnref", "exnref")[kind]
        fitting = [operand for operand, each in enumerate(reversed(labels)) if each.arity == 1]
        more = f"(catch $e {1 + fitting[self._choose(len(fitting))]})" if self._choose(2) and fitting else ""
        self._emit(f"block (result {type_})" if type_ else "block", f"try_table {more} ({clause})")
        # The labels of both cannot be named from inside: their types are others.
        self._inside_try(labels, depth)
        self._emit("end", *("i32.const 1" if each == "i32" else "ref.null exn" for each in type_.split()), "end")
        if "exnref" in type_ and not self._choose(3):
            self._emit("throw_ref", *["drop"] * self._choose(2))
        else:
            self._drop(len(type_.split()))

    def _inside_try(self, labels: list[_Label], depth: int) -> None:
        for _ in range(1 + self._choose(2)):
            if self._choose(3):
                self._call(labels, depth)
            else:
                self._condition()
                self._emit("if", "i32.const 4", "throw $e", "end")
            self._simple(labels, depth)


def program(choose: Choose, *, exceptions: bool) -> str:
    lines = _Maker(choose, exceptions).program().removesuffix(")")
    return (
        lines + '(data $data "0123456789") (elem $elements func $f1 $f2) (elem (table $t) (i32.const 2) func $f0 $f1))'
    )
