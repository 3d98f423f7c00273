"""Tells of each call of the functions that the user asked to hear of, with its arguments.

Observed: each entry of such a function, however it was called; of a host function, each direct call.
Inserted: at the start of the body, or of the host function's wrapper, the call of an appended function with
the first four numeric parameters and the funcidx. There is one such function for each list of kinds.
Written: the events' ring, its head, and how many records it had no room for. Where the host asks for it, a
guest that finds the ring full waits until the host has drained it, or no longer asks.
Not seen: parameters of other types and those after the fourth; results.
"""

from __future__ import annotations

from collections.abc import Mapping

from wasmtrace import layout as cells
from wasmtrace.instrument import emit
from wasmtrace.instrument.opcodes import Op
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.probes.ring import FENCE, depth_of
from wasmtrace.instrument.sections.types import F32, F64, I32, I64, FuncType
from wasmtrace.instrument.template import OWN_CODE, BodyClass
from wasmtrace.instrument.walk import Probe
from wasmtrace.sites import EventSite

_TYPES = {"i": I32, "l": I64, "f": F32, "d": F64}
_TO_CELL = {
    "i": emit.op(Op.I64_EXTEND_I32_S),
    "l": b"",
    "f": emit.op(Op.F64_PROMOTE_F32, Op.I64_REINTERPRET_F64),
    "d": emit.op(Op.I64_REINTERPRET_F64),
}
_FENCES_A_LOOK = 64
"""WebAssembly has no pause. A fence takes some ten nanoseconds and leaves the memory bus to others."""


def _is_full(plan: Plan) -> bytes:
    """Pushes whether the ring has no room for the record whose number is on the stack."""
    return (
        plan.memory.i64_cell(cells.EVENT_TAIL_OFFSET)
        + emit.op(Op.I64_SUB)
        + emit.i64_const(plan.layout.event_capacity)
        + emit.op(Op.I64_GE_U)
    )


def _add_wait(plan: Plan) -> int:
    """Appends `wait(head i64) -> i32`: 1 as soon as there is room, 0 once the host does not ask to wait."""
    asked = plan.memory.i64_cell(cells.EVENT_WAIT_OFFSET) + emit.op(Op.I64_EQZ, Op.IF, emit.EMPTY_BLOCK)
    code = (
        emit.op(Op.LOOP, emit.EMPTY_BLOCK)
        + asked
        + emit.i32_const(0)
        + emit.op(Op.RETURN, Op.END)
        + FENCE * _FENCES_A_LOOK
        + emit.local_get(0)
        + _is_full(plan)
        + emit.op(Op.BR_IF, 0, Op.END)
        + emit.i32_const(1)
    )
    return plan.add_function(FuncType((I64,), (I32,)), code)


def _add_event(plan: Plan, kinds: str, wait: int) -> int:
    """Appends `event(arguments..., funcidx i64)`, which adds a record to the ring."""
    memory = plan.memory
    funcidx = len(kinds)
    head, address = funcidx + 1, funcidx + 2
    full = memory.i64_cell(cells.EVENT_HEAD_OFFSET) + emit.local_tee(head) + _is_full(plan)
    drop = (
        emit.op(Op.IF, emit.EMPTY_BLOCK)
        + emit.local_get(head)
        + emit.call(wait)
        + emit.op(Op.I32_EQZ, Op.IF, emit.EMPTY_BLOCK)
        + memory.count(cells.EVENT_DROPPED_OFFSET)
        + emit.op(Op.RETURN, Op.END, Op.END)
    )
    place = (
        emit.local_get(head)
        + emit.op(Op.I32_WRAP_I64)
        + emit.i32_const(plan.layout.event_capacity - 1)
        + emit.op(Op.I32_AND)
        + emit.i32_const(cells.EVENT_BYTES)
        + emit.op(Op.I32_MUL)
        + emit.local_set(address)
    )

    def store(field: int, value: bytes) -> bytes:
        return emit.local_get(address) + value + memory.i64_store(plan.layout.events_offset + field)

    frame = memory.i64_cell(cells.CLOCK_OFFSET) + emit.local_get(funcidx) + emit.op(Op.I64_OR)
    depth = depth_of(plan, memory.i32_cell(cells.STACK_POINTER_OFFSET)) + emit.op(Op.I64_EXTEND_I32_U)
    record = store(cells.EVENT_FRAME_FIELD, frame) + store(cells.EVENT_DEPTH_FIELD, depth)
    for index, kind in enumerate(kinds):
        record += store(cells.EVENT_ARGUMENT_FIELDS[index], emit.local_get(index) + _TO_CELL[kind])
    advance = (
        emit.i32_const(0)
        + emit.local_get(head)
        + emit.i64_const(1)
        + emit.op(Op.I64_ADD)
        + memory.i64_store(cells.EVENT_HEAD_OFFSET)
    )
    functype = FuncType((*(_TYPES[kind] for kind in kinds), I64), ())
    return plan.add_function(functype, full + drop + place + record + FENCE + advance, (I64, I32))


class EventsProbe(Probe):
    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._events: dict[str, int] = {}
        if plan.events:
            wait = _add_wait(plan)
            for kinds in dict.fromkeys(site.kinds for site in plan.events.values()):
                self._events[kinds] = _add_event(plan, kinds, wait)

    def tell(self, funcidx: int) -> bytes:
        """What stands first in a function whose calls are events; nothing in others."""
        site = self._plan.events.get(funcidx)
        if site is None:
            return b""
        arguments = b"".join(map(emit.local_get, self._recorded(site)))
        return arguments + emit.i64_const(funcidx) + emit.call(self._events[site.kinds])

    def _recorded(self, site: EventSite) -> list[int]:
        """The parameters whose values are recorded, by localidx."""
        params = self._plan.module.function_type(site.funcidx).params
        numeric = [index for index, each in enumerate(params) if each in _TYPES.values()]
        return numeric[: len(site.kinds)]

    def enter(self, body_class: BodyClass) -> bytes:
        return OWN_CODE if self._events else b""

    def own_code(self) -> Mapping[int, bytes]:
        return {funcidx: self.tell(funcidx) for funcidx in self._plan.events}
