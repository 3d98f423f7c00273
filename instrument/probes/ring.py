"""The appended function that adds to the ring, called by the code of other probes."""

from __future__ import annotations

from wasmtrace import layout as cells
from wasmtrace.instrument import emit
from wasmtrace.instrument.opcodes import Op
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.sections.types import I32, I64, FuncType

FENCE = b"\xfe\x03\x00"
"""`atomic.fence`: the record is there before the head says so, on machines that reorder stores too."""


def add_push(plan: Plan) -> int:
    """Appends `push(kind i32, depth i32, frame i64, payload0 i64, payload1 i64)`; gives its funcidx.

    A full ring drops the record and counts it; one that nobody reads is left alone. The record's end is the clock as
    it is now.
    """
    memory, layout = plan.memory, plan.layout
    kind, depth, frame, payload_0, payload_1, address, head = range(7)
    muted = memory.i64_cell(cells.RING_MUTED_OFFSET) + emit.op(Op.I64_EQZ, Op.I32_EQZ, Op.IF, emit.EMPTY_BLOCK)
    muted += emit.op(Op.RETURN, Op.END)
    put_head = memory.i64_cell(cells.RING_HEAD_OFFSET) + emit.local_tee(head)
    room = memory.i64_cell(cells.RING_TAIL_OFFSET) + emit.op(Op.I64_SUB)
    full = room + emit.i64_const(layout.ring_capacity) + emit.op(Op.I64_GE_U, Op.IF, emit.EMPTY_BLOCK)
    drop = memory.count(cells.RING_DROPPED_OFFSET) + emit.op(Op.RETURN, Op.END)
    place = (
        emit.local_get(head)
        + emit.op(Op.I32_WRAP_I64)
        + emit.i32_const(layout.ring_capacity - 1)
        + emit.op(Op.I32_AND)
        + emit.i32_const(cells.RECORD_BYTES)
        + emit.op(Op.I32_MUL)
        + emit.i32_const(layout.ring_offset)
        + emit.op(Op.I32_ADD)
        + emit.local_set(address)
    )

    def store(field: int, value: bytes, *, wide: bool = True) -> bytes:
        write = memory.i64_store if wide else memory.i32_store
        return emit.local_get(address) + value + write(field)

    record = (
        store(cells.RECORD_KIND_FIELD, emit.local_get(kind), wide=False)
        + store(cells.RECORD_DEPTH_FIELD, emit.local_get(depth), wide=False)
        + store(cells.RECORD_FRAME_FIELD, emit.local_get(frame))
        + store(cells.RECORD_END_FIELD, memory.i64_cell(cells.CLOCK_OFFSET))
        + store(cells.RECORD_PAYLOAD_FIELDS[0], emit.local_get(payload_0))
        + store(cells.RECORD_PAYLOAD_FIELDS[1], emit.local_get(payload_1))
    )
    advance = FENCE + memory.count(cells.RING_HEAD_OFFSET)
    functype = FuncType((I32, I32, I64, I64, I64), ())
    return plan.add_function(functype, muted + put_head + full + drop + place + record + advance, (I32, I64))


def depth_of(plan: Plan, address: bytes) -> bytes:
    """Pushes how many frames lie below an address of the shadow stack."""
    return (
        address
        + plan.memory.i32_cell(cells.STACK_BASE_OFFSET)
        + emit.op(Op.I32_SUB)
        + emit.i32_const(3)
        + emit.op(Op.I32_SHR_U)
    )
