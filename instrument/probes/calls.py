"""Counts every call of every function of the module.

Observed: each entry of a function, however it was called.
Inserted: at the start of each body, `calls[funcidx] += 1` (17 to 21 bytes).
Written: the calls area.
Not seen: which of its callers called it.
"""

from __future__ import annotations

from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.template import CALLS_CELL, BodyClass
from wasmtrace.instrument.walk import Probe


class CallsProbe(Probe):
    def __init__(self, plan: Plan) -> None:
        self._memory = plan.memory

    def enter(self, body_class: BodyClass) -> bytes:
        return self._memory.count(CALLS_CELL)
