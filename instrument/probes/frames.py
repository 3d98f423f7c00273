"""Keeps a shadow stack of the calls that are open, and records those that were slow or that the user asked for.

Observed: every call of a function that can be slow (it calls, loops, or moves memory in bulk): when it began,
and on its way out whether the clock has moved by the threshold. Timed to a tick of the clock. Of a function that
the user asked for (`plan.traced`), whatever it does, each call.
Inserted: on entry `frame[sp] = clock | funcidx; saved = sp; sp += 8`; before each exit `sp = saved`, and a
call of `slow(saved)` if the frame lies below the watermark, that is, if the host found it old at the last
tick; of a function that was asked for, always a call of `traced_with(saved, 0)`. Where control goes on after a
caught exception, `sp = saved + 8`.
Written: the shadow stack and its pointer; by `slow`, the slow-call cells, the watermark and the ring; by `traced_with`
its counters, the clock and the ring.
Not seen: leaf functions without a loop (they take a bounded time, counted in their caller's), functions left
out by the user, and what a call spent in functions of either kind is its own.
"""

from __future__ import annotations

from wasmtrace import layout as cells
from wasmtrace.instrument import emit
from wasmtrace.instrument.opcodes import Op
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.probes.ring import depth_of
from wasmtrace.instrument.sections.types import I32, I64, FuncType
from wasmtrace.instrument.template import FIRST_LOCAL, FUNCIDX, BodyClass
from wasmtrace.instrument.walk import Probe


def add_slow_with(plan: Plan, push: int) -> int:
    """Appends `slow_with(saved i32, payload i64)`: records a call that was slow, or lowers the watermark."""
    memory, layout = plan.memory, plan.layout
    saved, payload, frame, duration, cell = range(5)
    # A frame that is not old: it was pushed below the watermark since the last tick.
    # Nothing above it is old either.
    young = (
        emit.local_get(saved)
        + memory.i64_load()
        + emit.local_tee(frame)
        + memory.i64_cell(cells.SLOW_CUTOFF_OFFSET)
        + emit.op(Op.I64_GE_U, Op.IF, emit.EMPTY_BLOCK)
    )
    lower = (
        emit.i32_const(0)
        + emit.local_get(saved)
        + memory.i32_store(cells.WATERMARK_OFFSET)
        + emit.op(Op.RETURN, Op.END)
    )
    find_cell = (
        emit.local_get(frame)
        + emit.op(Op.I32_WRAP_I64)
        + emit.i32_const(cells.SITE_MASK)
        + emit.op(Op.I32_AND)
        + emit.i32_const(3)
        + emit.op(Op.I32_SHL)
        + emit.local_set(cell)
    )
    put_duration = (
        memory.i64_cell(cells.CLOCK_OFFSET)
        + _microseconds()
        + emit.local_get(frame)
        + _microseconds()
        + emit.op(Op.I64_SUB)
        + emit.local_set(duration)
    )
    keep_slowest = (
        emit.local_get(duration)
        + emit.local_get(cell)
        + memory.i64_load(layout.slowest_us_offset)
        + emit.op(Op.I64_GT_U, Op.IF, emit.EMPTY_BLOCK)
        + emit.local_get(cell)
        + emit.local_get(duration)
        + memory.i64_store(layout.slowest_us_offset)
        + emit.op(Op.END)
    )
    record = _record(plan, push, cells.KIND_SLOW_CALL, saved, frame, payload)
    code = (
        young
        + lower
        + find_cell
        + memory.add_at_address(cell, layout.slow_calls_offset, emit.i64_const(1))
        + put_duration
        + memory.add_at_address(cell, layout.slow_us_offset, emit.local_get(duration))
        + keep_slowest
        + record
    )
    return plan.add_function(FuncType((I32, I64), ()), code, (I64, I64, I32))


def _record(plan: Plan, push: int, kind: int, saved: int, frame: int, payload: int) -> bytes:
    """Puts one into the ring, from what is in three locals."""
    return (
        emit.i32_const(kind)
        + depth_of(plan, emit.local_get(saved))
        + emit.local_get(frame)
        + emit.local_get(payload)
        + emit.i64_const(0)
        + emit.call(push)
    )


def _microseconds() -> bytes:
    """From the stamp on the stack to its time."""
    return emit.i64_const(cells.SITE_BITS) + emit.op(Op.I64_SHR_U)


def add_traced_with(plan: Plan, push: int, slow_with: int) -> int:
    """Appends `traced_with(saved i32, payload i64)`: records a call that the user asked for, as a slow one if it was
    slow, else while the host allows it."""
    memory = plan.memory
    saved, payload, frame = range(3)
    slow = (
        emit.local_get(frame)
        + memory.i64_cell(cells.SLOW_CUTOFF_OFFSET)
        + emit.op(Op.I64_LT_U, Op.IF, emit.EMPTY_BLOCK)
        + emit.local_get(saved)
        + emit.local_get(payload)
        + emit.call(slow_with)
        + emit.op(Op.RETURN, Op.END)
    )
    muted = memory.i64_cell(cells.RING_MUTED_OFFSET) + emit.op(Op.I64_EQZ, Op.I32_EQZ, Op.IF, emit.EMPTY_BLOCK)
    muted += emit.op(Op.RETURN, Op.END)
    over = (
        memory.i64_cell(cells.TRACED_COUNT_OFFSET)
        + memory.i64_cell(cells.TRACED_LIMIT_OFFSET)
        + emit.op(Op.I64_GE_U, Op.IF, emit.EMPTY_BLOCK)
        + memory.count(cells.TRACED_LEFT_OUT_OFFSET)
        + emit.op(Op.RETURN, Op.END)
    )
    record = _record(plan, push, cells.KIND_TRACED_CALL, saved, frame, payload)
    code = (
        emit.local_get(saved)
        + memory.i64_load()
        + emit.local_set(frame)
        + if_below_watermark(plan, saved, slow)
        + muted
        + over
        + memory.count(cells.TRACED_COUNT_OFFSET)
        + _move_clock_on(plan)
        + record
    )
    return plan.add_function(FuncType((I32, I64), ()), code, (I64,))


def _move_clock_on(plan: Plan) -> bytes:
    """By 1 µs: whatever begins from now on began after all that has been recorded."""
    memory = plan.memory
    return (
        memory.i64_cell(cells.CLOCK_OFFSET)
        + memory.i64_cell(cells.TICK_OFFSET)
        + emit.i64_const(cells.stamp(cells.MOST_AHEAD_US))
        + emit.op(Op.I64_ADD, Op.I64_LT_U, Op.IF, emit.EMPTY_BLOCK)
        + emit.i32_const(0)
        + memory.i64_cell(cells.CLOCK_OFFSET)
        + emit.i64_const(cells.stamp(1))
        + emit.op(Op.I64_ADD)
        + memory.i64_store(cells.CLOCK_OFFSET)
        + emit.op(Op.END)
    )


def add_slow(plan: Plan, slow_with: int) -> int:
    """Appends `slow(saved i32)`: `slow_with` for a function of the guest."""
    code = emit.local_get(0) + emit.i64_const(0) + emit.call(slow_with)
    return plan.add_function(FuncType((I32,), ()), code)


def enter(plan: Plan, funcidx: int, saved: int) -> bytes:
    """Pushes the frame of `funcidx`; from there on its address is in local `saved`."""
    memory = plan.memory
    return (
        memory.i32_cell(cells.STACK_POINTER_OFFSET)
        + emit.local_tee(saved)
        + memory.i64_cell(cells.CLOCK_OFFSET)
        + emit.i64_const(funcidx)
        + emit.op(Op.I64_OR)
        + memory.i64_store()
        + set_stack_pointer(plan, saved, above=True)
    )


def set_stack_pointer(plan: Plan, saved: int, *, above: bool) -> bytes:
    """Makes the frame at `saved` the innermost, or takes it off."""
    bump = emit.i32_const(cells.CELL_BYTES) + emit.op(Op.I32_ADD) if above else b""
    value = emit.local_get(saved) + bump
    return emit.i32_const(0) + value + plan.memory.i32_store(cells.STACK_POINTER_OFFSET)


def if_below_watermark(plan: Plan, saved: int, then: bytes) -> bytes:
    return (
        emit.local_get(saved)
        + plan.memory.i32_cell(cells.WATERMARK_OFFSET)
        + emit.op(Op.I32_LT_U, Op.IF, emit.EMPTY_BLOCK)
        + then
        + emit.op(Op.END)
    )


class FramesProbe(Probe):
    def __init__(self, plan: Plan, slow: int, traced_with: int | None = None) -> None:
        """`traced_with` is None where no function was asked for."""
        self._plan = plan
        self._slow = slow
        self._traced_with = traced_with

    def locals(self, body_class: BodyClass) -> int:
        return 0 if body_class is BodyClass.PLAIN else 1

    def enter(self, body_class: BodyClass) -> bytes:
        if body_class is BodyClass.PLAIN:
            return b""
        if body_class is BodyClass.GUARDED:
            return self._plan.memory.i32_cell(cells.STACK_POINTER_OFFSET) + emit.local_set(FIRST_LOCAL)
        return enter(self._plan, FUNCIDX, FIRST_LOCAL)

    def leave(self, body_class: BodyClass) -> bytes:
        if body_class is BodyClass.PLAIN:
            return b""
        code = set_stack_pointer(self._plan, FIRST_LOCAL, above=False)
        if body_class is BodyClass.GUARDED:
            # A catch clause may name the function's label: control then goes on after the body.
            return code
        if body_class is BodyClass.ALWAYS and self._traced_with is not None:
            return code + emit.local_get(FIRST_LOCAL) + emit.i64_const(0) + emit.call(self._traced_with)
        record = emit.local_get(FIRST_LOCAL) + emit.call(self._slow)
        return code + if_below_watermark(self._plan, FIRST_LOCAL, record)

    def land(self, body_class: BodyClass) -> bytes:
        if body_class is BodyClass.PLAIN:
            return b""
        return set_stack_pointer(self._plan, FIRST_LOCAL, above=body_class is not BodyClass.GUARDED)
