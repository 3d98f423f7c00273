"""What the walk over function bodies is told: templates from the probes, facts from the module.

The walk itself is `kernel/walk.c`. It knows no probe by name; what a probe may say is in `Probe`. All code that
probes give leaves the operand stack as it was.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.emit import EMPTY_BLOCK
from wasmtrace.instrument.instructions import decode_instructions
from wasmtrace.instrument.kernel.exchange import Findings, Inputs, Segment, Templates, WalkError
from wasmtrace.instrument.kernel.host import MAX_BODY_BYTES, Kernel
from wasmtrace.instrument.leb128 import encode_signed
from wasmtrace.instrument.module import Module
from wasmtrace.instrument.options import TRACE
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.instrument.sections.imports import TAG_KIND
from wasmtrace.instrument.sections.types import I32, FuncType, read_valtype
from wasmtrace.instrument.template import BodyClass
from wasmtrace.sites import Skipped

MOST_BOUNDED = 1000
"""Instructions that a call may execute, with all that it calls, and still get no frame: less than a microsecond, a
thousandth of a tick."""
_MAY_BE_FRAMED, _MUST_BE_FRAMED = 1, 2
_SKIPPED = {
    1: "counted, but not timed: a frame would pass the engine's limits",
    2: "not counted, not timed: any probe would pass the engine's limits",
}


class Probe:
    """One kind of observation; each overrides what it wants. Code may have the holes of `template.py`."""

    def locals(self, body_class: BodyClass) -> int:
        """How many i32 locals it adds. At most one probe asks for any."""
        return 0

    def enter(self, body_class: BodyClass) -> bytes:
        """Code at the start of the body."""
        return b""

    def leave(self, body_class: BodyClass) -> bytes:
        """Code before each exit."""
        return b""

    def land(self, body_class: BodyClass) -> bytes:
        """Code where control goes on after a caught exception."""
        return b""

    def own_code(self) -> Mapping[int, bytes]:
        """By funcidx: what stands in the hole `OWN_CODE`."""
        return {}

    def host_call(self, funcidx: int) -> bytes:
        """What stands in place of `call` of an import."""
        return b""

    def host_tail_call(self, funcidx: int) -> bytes:
        """What stands in place of `return_call` of an import. Asked only for those that are called so."""
        return b""

    def grow(self, memidx: int) -> bytes:
        """What stands in place of `memory.grow`."""
        return b""

    def count_fuel(self) -> tuple[bytes, bytes, bytes] | None:
        """What adds `AMOUNT` to the fuel of the function; and what stands before and after code that pushes an i64, to
        add that."""
        return None


def kernel_for(module: Module, *, fuel: bool) -> Kernel:
    """The walk, ready for the module's bodies. Raises DecodeError, UnsupportedError, InstrumentError."""
    inputs = Inputs(
        data=module.data,
        bodies=module.bodies,
        typeidxs=module.function_typeidxs,
        types=[(len(each.params), len(each.results)) if each is not None else (0, 0) for each in module.types],
        host_count=len(module.host_functions),
        memory_is_64=[each.is_64 for each in module.memories],
        table_is_64=module.table_is_64,
        exceptions=module.section(SectionId.TAG) is not None or any(each.kind == TAG_KIND for each in module.imports),
        fuel=fuel,
    )
    for funcidx in {typeidx: funcidx for funcidx, typeidx in enumerate(module.function_typeidxs)}.values():
        module.function_type(funcidx)
    return Kernel(inputs)


def survey(module: Module, kernel: Kernel, *, most_bounded: int = MOST_BOUNDED) -> Findings:
    """The walk's first pass. Raises DecodeError, UnsupportedError."""
    with _explained(module):
        kernel.survey(most_bounded)
    return kernel.findings()


class Walk:
    """Rewrites bodies with one set of probes."""

    def __init__(self, plan: Plan, probes: Sequence[Probe]) -> None:
        self._plan = plan
        self._probes = probes
        self._kernel = plan.kernel
        self._kernel.configure(self._templates())

    def rewrite_all(self) -> Iterator[bytes]:
        """The new bodies, each with its size before it, in batches; then what the plan asks for is known."""
        with _explained(self._plan.module):
            yield from self._kernel.rewrite()
        plan = self._plan
        plan.framed_count = self._kernel.framed_count
        plan.fuel_per_call = tuple(self._kernel.per_call()) if plan.options.fuel else ()
        plan.skipped += [Skipped(funcidx, _SKIPPED[how]) for funcidx, how in self._kernel.skipped().items()]

    def rewrite(self, ordinal: int, asked_offset: int = 0) -> tuple[bytes, list[Segment], int]:
        """The new body of the `ordinal`-th function that is not imported, its size first; where each of its bytes came
        from, in order; and of a call that is at the instruction at `asked_offset`, its fuel that no cell has, less
        what its cells have too much."""
        with _explained(self._plan.module):
            return self._kernel.rewrite_one(ordinal, asked_offset)

    def _templates(self) -> Templates:
        plan, probes = self._plan, self._probes
        module = plan.module
        hosts = range(len(module.host_functions))
        tail_called = plan.findings.tail_called

        leave = [b"".join(probe.leave(each) for probe in probes) for each in BodyClass]
        add = next((each for each in (probe.count_fuel() for probe in probes) if each is not None), (b"", b"", b""))
        return Templates(
            enter=[b"".join(probe.enter(each) for probe in probes) for each in BodyClass],
            leave=leave,
            land=[b"".join(probe.land(each) for probe in probes) for each in BodyClass],
            class_locals=[sum(probe.locals(each) for probe in probes) for each in BodyClass],
            add=add[0],
            add_before=add[1],
            add_after=add[2],
            block_types=self._block_types() if any(leave) else {},
            own_code={funcidx: code for probe in probes for funcidx, code in probe.own_code().items()},
            host_calls=[b"".join(probe.host_call(each) for probe in probes) for each in hosts],
            host_tail_calls=[
                b"".join(probe.host_tail_call(each) for probe in probes) if each in tail_called else b""
                for each in hosts
            ],
            growers=[b"".join(probe.grow(each) for probe in probes) for each in range(len(module.memories))],
            flags=self._flags(),
            detour_type=plan.typeidx(FuncType((I32,), ())) if plan.options.fuel else 0,
            calls_offset=plan.layout.calls_offset,
            fuel_offset=plan.layout.fuel_offset,
        )

    def _flags(self) -> bytes:
        plan = self._plan
        count = len(plan.module.function_typeidxs)
        if plan.options.level != TRACE:
            return bytes(count)
        flags = bytearray(_MAY_BE_FRAMED if plan.framed(funcidx) else 0 for funcidx in range(count))
        for funcidx in plan.traced:
            flags[funcidx] |= _MUST_BE_FRAMED
        return bytes(flags)

    def _block_types(self) -> dict[int, bytes]:
        """Of the block that takes branches to the function's label, by the function's typeidx."""
        plan = self._plan
        module = plan.module
        used = dict.fromkeys(module.function_typeidxs[len(module.host_functions) :])
        types = ((typeidx, module.types[typeidx]) for typeidx in used)
        return {typeidx: self._block_type(each.results) for typeidx, each in types if each is not None}

    def _block_type(self, results: tuple[bytes, ...]) -> bytes:
        if not results:
            return bytes([EMPTY_BLOCK])
        if len(results) == 1:
            return results[0]
        return encode_signed(self._plan.typeidx(FuncType((), results)))


class _explained:
    """Turns what the walk says of a bad body into the plain decoder's error."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, WalkError):
            _explain(self._module, error)


def _explain(module: Module, error: WalkError) -> None:
    """Raises DecodeError, UnsupportedError."""
    start, end = module.bodies[error.ordinal]
    reader = Reader(module.data, start, end)
    local_count = 0
    for _ in range(reader.read_u32()):
        local_count += reader.read_u32()
        read_valtype(reader)
    if local_count >= 1 << 32:
        raise DecodeError(
            DecodeCode.BAD_BODY,
            f"expected fewer than 2^32 locals, got {local_count}",
            offset=start,
            index=error.ordinal,
        ) from None
    for _ in decode_instructions(module.data, reader.position, end):
        pass
    raise DecodeError(
        DecodeCode.BAD_BODY,
        "expected blocks and indices that the module has",
        offset=error.offset,
        index=error.ordinal,
    ) from None


__all__ = ["MAX_BODY_BYTES", "MOST_BOUNDED", "Probe", "Segment", "Walk", "kernel_for", "survey"]
