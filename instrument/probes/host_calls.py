"""Counts calls of host functions, and errors by errno; at level `trace` gives them frames, so that slow ones
show.

Observed: each direct `call` and `return_call` of an import.
Inserted: `call i` becomes the call of an appended function of the same type, which counts, calls `i`, and,
for a function of WASI preview 1 that returns an errno, counts each value other than 0. `return_call i` of another
import becomes that of a function which counts and then calls `i` in tail position too: modules may call each other so
without end, and no frame may stay behind for them.
Written: the calls area (cell of the import), errno cells; at `trace` as `frames.py`.
Not seen: calls through a table or a reference, and those by other modules through a re-export: they reach the
import itself. The duration of an import that is called in tail position.
"""

from __future__ import annotations

from wasmtrace import layout as cells
from wasmtrace.instrument import emit
from wasmtrace.instrument.opcodes import Op
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.probes import frames
from wasmtrace.instrument.probes.events import EventsProbe
from wasmtrace.instrument.sections.imports import Import
from wasmtrace.instrument.sections.types import I32, FuncType
from wasmtrace.instrument.walk import Probe

WASI_MODULES = frozenset(("wasi_snapshot_preview1", "wasi_unstable"))
"""Every function of these that returns one i32 returns an errno. Source: WASI's `preview1/witx`."""


def returns_errno(host_function: Import, functype: FuncType) -> bool:
    return host_function.module in WASI_MODULES and functype.results == (I32,)


class HostCallsProbe(Probe):
    def __init__(self, plan: Plan, events: EventsProbe, slow_with: int | None, traced_with: int | None = None) -> None:
        """`slow_with` is None where host calls get no frames; `traced_with` records those that the user asked for."""
        self._plan = plan
        self._traced_with = traced_with
        self._events = events
        self._slow_with = slow_with
        self._errno_ordinals = self.errno_ordinals(plan)
        self._wrappers = [self._add_wrapper(funcidx) for funcidx in range(len(plan.module.host_functions))]
        self._tail_wrappers: dict[int, int] = {}

    def _returns_errno(self, funcidx: int) -> bool:
        return self._errno_ordinals[funcidx] is not None

    def _tail_wrapper(self, funcidx: int) -> int:
        """What `return_call` of an import goes through. WASI's own calls nothing in its turn: it may take stack."""
        if self._returns_errno(funcidx):
            return self._wrappers[funcidx]
        if funcidx not in self._tail_wrappers:
            plan = self._plan
            parameters = len(plan.module.function_type(funcidx).params)
            code = plan.memory.count(plan.layout.calls_cell(funcidx)) + self._events.tell(funcidx)
            code += b"".join(map(emit.local_get, range(parameters))) + emit.return_call(funcidx)
            typeidx = plan.module.function_typeidxs[funcidx]
            self._tail_wrappers[funcidx] = plan.add_function_of(typeidx, code)
        return self._tail_wrappers[funcidx]

    def _add_wrapper(self, funcidx: int) -> int:
        plan = self._plan
        functype = plan.module.function_type(funcidx)
        saved = len(functype.params)
        errno, cell = saved + 1, saved + 2
        code = plan.memory.count(plan.layout.calls_cell(funcidx)) + self._events.tell(funcidx)
        if self._slow_with is not None:
            code += frames.enter(plan, funcidx, saved)
        code += b"".join(map(emit.local_get, range(saved))) + emit.call(funcidx)
        payload = emit.i64_const(0)
        if self._returns_errno(funcidx):
            code += emit.local_tee(errno) + self._count_errno(funcidx, errno, cell)
            payload = emit.local_get(errno) + emit.op(Op.I64_EXTEND_I32_U)
        if self._slow_with is not None:
            record = emit.local_get(saved) + payload
            code += frames.set_stack_pointer(plan, saved, above=False)
            if self._traced_with is not None and funcidx in plan.traced:
                code += record + emit.call(self._traced_with)
            else:
                code += frames.if_below_watermark(plan, saved, record + emit.call(self._slow_with))
        return plan.add_function_of(plan.module.function_typeidxs[funcidx], code, (I32, I32, I32))

    def _count_errno(self, funcidx: int, errno: int, cell: int) -> bytes:
        plan = self._plan
        ordinal = self._errno_ordinals[funcidx]
        assert ordinal is not None
        other = cells.ERRNO_COUNT - 1
        offset = plan.layout.errno_cells(ordinal)
        capped = (
            emit.local_get(errno)
            + emit.i32_const(other)
            + emit.local_get(errno)
            + emit.i32_const(other)
            + emit.op(Op.I32_LT_U, Op.SELECT)
            + emit.i32_const(3)
            + emit.op(Op.I32_SHL)
            + emit.local_tee(cell)
        )
        add = (
            capped
            + emit.local_get(cell)
            + plan.memory.i64_load(offset)
            + emit.i64_const(1)
            + emit.op(Op.I64_ADD)
            + plan.memory.i64_store(offset)
        )
        return emit.local_get(errno) + emit.op(Op.IF, emit.EMPTY_BLOCK) + add + emit.op(Op.END)

    @staticmethod
    def errno_ordinals(plan: Plan) -> list[int | None]:
        """By funcidx of an import: which block of errno cells is its own."""
        ordinals: list[int | None] = []
        used = 0
        for funcidx, each in enumerate(plan.module.host_functions):
            if returns_errno(each, plan.module.function_type(funcidx)):
                ordinals.append(used)
                used += 1
            else:
                ordinals.append(None)
        return ordinals

    def host_call(self, funcidx: int) -> bytes:
        return emit.call(self._wrappers[funcidx])

    def host_tail_call(self, funcidx: int) -> bytes:
        return emit.return_call(self._tail_wrapper(funcidx))
