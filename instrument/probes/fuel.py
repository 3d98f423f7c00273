"""Counts fuel by function: the instructions that were executed, as the engine's fuel counts them.

Observed: every instruction but `nop`, `drop` and those that only give structure, and one more for each call; an
instruction that moves or makes many things costs as many more; `memory.grow` and `table.grow` only if they succeed.
Inserted: `fuel[funcidx] += n` where ways part or meet (`kernel/walk.c` says where); nothing on the cheapest way
through a function, whose cost is the same for each call and is added by the host. After an instruction whose cost
depends on an operand, the addition of that.
Written: the fuel area. What it has is never more than was executed, but for calls that are open: for each, the
cheapest way through is counted from its beginning.
Not seen: what the probes themselves execute; host functions.

The engine's model is in wasmtime's `func_environ.rs` (`fuel_before_op`).
"""

from __future__ import annotations

from wasmtrace.instrument import emit
from wasmtrace.instrument.opcodes import Op
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.template import AMOUNT, FUEL_CELL
from wasmtrace.instrument.walk import Probe


class FuelProbe(Probe):
    def __init__(self, plan: Plan) -> None:
        self._memory = plan.memory

    def count_fuel(self) -> tuple[bytes, bytes, bytes]:
        before = emit.i32_const(0) + self._memory.i64_cell(FUEL_CELL)
        after = emit.op(Op.I64_ADD) + self._memory.i64_store(FUEL_CELL)
        return before + emit.i64_const(AMOUNT) + after, before, after
