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
from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument import emit
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.opcodes import Op
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.probes.ring import depth_of
from wasmtrace.instrument.scan import read_index
from wasmtrace.instrument.sections.types import I32, I64, FuncType
from wasmtrace.instrument.walk import Body, Probe
from wasmtrace.layout import GrowSite


class GrowthProbe(Probe):
    stops: tuple[str, ...] = ("memory.grow",)

    def __init__(self, plan: Plan, push: int) -> None:
        self._plan = plan
        self._growers = [self._add_grower(memidx, push) for memidx in range(len(plan.module.memories))]
        self._sites: dict[GrowSite, int] = {}

    def _add_grower(self, memidx: int, push: int) -> int:
        """Appends `grow(delta, site i32, funcidx i64) -> pages`; delta and pages are i64 for memory64."""
        plan = self._plan
        memory = plan.memory
        is_64 = plan.module.memories[memidx].is_64
        address = I64 if is_64 else I32
        delta, site, funcidx, result, cell = range(5)
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
        grown = (
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
        return plan.add_function(FuncType((address, I32, I64), (address,)), code, (address, I32))

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

    def replace(self, body: Body, code: int, position: int, end: int) -> bytes | None:
        if code != Op.MEMORY_GROW:
            return None
        memidx = read_index(self._plan.module.data, position + 1, end)[0]
        if memidx >= len(self._growers):
            message = f"expected a memory index below {len(self._growers)}, got {memidx}"
            raise DecodeError(DecodeCode.BAD_INDEX, message, offset=position)
        site = self._sites.setdefault(GrowSite(body.funcidx, memidx), len(self._sites))
        if site == len(self._plan.grow_sites):
            self._plan.grow_sites.append(GrowSite(body.funcidx, memidx))
        return emit.i32_const_fixed(site) + emit.i64_const(body.funcidx) + emit.call(self._growers[memidx])
