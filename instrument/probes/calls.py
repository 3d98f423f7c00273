"""Counts every call of every function of the module.

Observed: each entry of a function, however it was called.
Inserted: at the start of each body, `calls[funcidx] += 1` (17 to 21 bytes).
Written: the calls area.
Not seen: which of its callers called it.
"""

from __future__ import annotations

from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.walk import Body, Probe


class CallsProbe(Probe):
    def __init__(self, plan: Plan) -> None:
        self._count = plan.memory.count
        self._calls_cell = plan.layout.calls_cell

    def enter(self, body: Body, first_local: int) -> bytes:
        return self._count(self._calls_cell(body.funcidx))
