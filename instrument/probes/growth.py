"""Follows the growth of every memory: pages by function, refused grows apart, present size.

Observed: each `memory.grow`.
Inserted: `memory.grow m` becomes the call of an appended function, one for each memory, which grows and
notes. It honours the host's limit cell, by refusing as `memory.grow` may always do; to grow by 0 pages is
never refused.
Written: grow cells (one pair for each function and memory), memory cells, and a ring record for each grow by
other than 0 pages and each that was refused.
Not seen: growth by the host, or by another module that shares the memory.

Spec: exec/instructions.html#exec-memory-grow
"""

from __future__ import annotations

from wasmtrace import layout as cells
from wasmtrace.instrument import emit
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.opcodes import Op
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.probes.ring import depth_of
from wasmtrace.instrument.sections.types import I32, I64, FuncType
from wasmtrace.instrument.template import FUNCIDX, SITE
from wasmtrace.instrument.walk import Probe


class GrowthProbe(Probe):
    def __init__(self, plan: Plan, push: int) -> None:
        self._plan = plan
        self._growers = [self._add_grower(memidx, push) for memidx in range(len(plan.module.memories))]

    def _add_grower(self, memidx: int, push: int) -> int:
        """Appends `grow(delta, site i32, funcidx i64) -> pages`; delta and pages are i64 for memory64."""
        plan = self._plan
        memory = plan.memory
        is_64 = plan.module.memories[memidx].is_64
        address = I64 if is_64 else I32
        delta, site, funcidx, result, cell, cell_of_fuel = range(6)
        index = encode_u32(memidx)
        wide = b"" if is_64 else emit.op(Op.I64_EXTEND_I32_U)
        minus_one = emit.i64_const(-1) if is_64 else emit.i32_const(-1)
        equal = emit.op(Op.I64_EQ if is_64 else Op.I32_EQ)
        wide_delta = emit.local_get(delta) + wide
        memory_cell = plan.layout.memory_cell(memidx)
        find_cell = (
            emit.local_get(site) + emit.i32_const(cells.GROW_CELL_BYTES) + emit.op(Op.I32_MUL) + emit.local_set(cell)
        )
        limit_left = (
            memory.i64_cell(memory_cell + cells.MEMORY_LIMIT_FIELD)
            + emit.op(Op.MEMORY_SIZE)
            + index
            + wide
            + emit.op(Op.I64_SUB)
        )
        grow = (
            limit_left
            + wide_delta
            + emit.op(Op.I64_LT_S)
            + wide_delta
            + emit.op(Op.I64_EQZ, Op.I32_EQZ, Op.I32_AND, Op.IF)
            + address
            + minus_one
            + emit.op(Op.ELSE)
            + emit.local_get(delta)
            + emit.op(Op.MEMORY_GROW)
            + index
            + emit.op(Op.END)
            + emit.local_tee(result)
        )
        field = plan.layout.grow_offset
        refused = memory.add_at_address(cell, field + cells.GROW_FAILED_FIELD, emit.i64_const(1))
        size = emit.op(Op.MEMORY_SIZE) + index + wide
        grown = self._count_fuel(funcidx, cell_of_fuel, wide_delta) + (
            memory.add_at_address(cell, field + cells.GROW_PAGES_FIELD, wide_delta)
            + emit.i32_const(0)
            + size
            + memory.i64_store(memory_cell + cells.MEMORY_PAGES_FIELD)
        )
        note = minus_one + equal + emit.op(Op.IF, emit.EMPTY_BLOCK) + refused
        note += self._record(push, funcidx, memidx << 1 | 1, wide_delta) + emit.op(Op.ELSE) + grown
        note += wide_delta + emit.op(Op.I64_EQZ, Op.I32_EQZ, Op.IF, emit.EMPTY_BLOCK)
        note += self._record(push, funcidx, memidx << 1, wide_delta) + emit.op(Op.END, Op.END)
        code = find_cell + grow + note + emit.local_get(result)
        return plan.add_function(FuncType((address, I32, I64), (address,)), code, (address, I32, I32))

    def _count_fuel(self, funcidx: int, cell: int, wide_delta: bytes) -> bytes:
        """To grow costs as much fuel as it gives pages, and nothing if it is refused."""
        if not self._plan.options.fuel:
            return b""
        find_cell = emit.local_get(funcidx) + emit.op(Op.I32_WRAP_I64) + emit.i32_const(3) + emit.op(Op.I32_SHL)
        return (
            find_cell
            + emit.local_set(cell)
            + self._plan.memory.add_at_address(cell, self._plan.layout.fuel_offset, wide_delta)
        )

    def _record(self, push: int, funcidx: int, payload: int, wide_delta: bytes) -> bytes:
        memory = self._plan.memory
        stack_pointer = memory.i32_cell(cells.STACK_POINTER_OFFSET)
        return (
            emit.i32_const(cells.KIND_GROW)
            + depth_of(self._plan, stack_pointer)
            + memory.i64_cell(cells.CLOCK_OFFSET)
            + emit.local_get(funcidx)
            + emit.op(Op.I64_OR)
            + emit.i64_const(payload)
            + wide_delta
            + emit.call(push)
        )

    def grow(self, memidx: int) -> bytes:
        return emit.i32_const(SITE) + emit.i64_const(FUNCIDX) + emit.call(self._growers[memidx])
