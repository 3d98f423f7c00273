"""The walk over function bodies: the only one, and it knows no probe by name.

A body grows only by insertion. What a probe wants is known by opcode (`stops`); where it may act is

    locals' <enter> block <old code, stops replaced, landings followed by <land>> end <leave> end
                                 <leave> stands before each exit by an instruction too

A branch to the function's label lands at the end of the block, and so before <leave>. All insertions leave
the operand stack as it was.

Spec: valid/instructions.html#blocks, binary/modules.html#code-section
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.leb128 import encode_signed_padded, encode_u32
from wasmtrace.instrument.opcodes import BY_MNEMONIC, Op
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.scan import Scanner, Stop, read_index, stop_code
from wasmtrace.instrument.sections.types import I32, FuncType
from wasmtrace.sites import Skipped

EXITS = ("return", "return_call", "return_call_indirect", "return_call_ref")
LANDINGS = ("end", "loop")
"""Where control goes on after an exception is caught: the label of a block, or of a loop."""
CAN_BE_SLOW = (
    *("loop", "call", "call_indirect", "call_ref", "return_call", "return_call_indirect", "return_call_ref"),
    *("memory.copy", "memory.fill", "memory.init", "table.copy", "table.fill", "table.init", "table.grow"),
    *("memory.grow", "memory.atomic.wait32", "memory.atomic.wait64"),
    *("array.new", "array.new_default", "array.new_data", "array.new_elem", "array.fill", "array.copy"),
    *("array.init_data", "array.init_elem"),
)
"""A body without any of these takes a bounded time."""
MAX_BODY_BYTES = 7_654_321
MAX_LOCALS = 50_000
"""Limits of the engine (wasmparser's `limits.rs`)."""

_TYPEIDX_BYTES = 3
"""The engine takes at most 1,000,000 types. Always as many bytes, so that a body's length depends on no other
body."""
_EXIT_CODES = frozenset(stop_code(BY_MNEMONIC[each]) for each in EXITS)
_SLOW_CODES = frozenset(stop_code(BY_MNEMONIC[each]) for each in CAN_BE_SLOW)
_LANDING_CODES = frozenset(stop_code(BY_MNEMONIC[each]) for each in LANDINGS)


@dataclass(slots=True)
class Body:
    """One function body of the module, as it came."""

    funcidx: int
    functype: FuncType
    start: int
    end: int
    code_start: int
    local_count: int
    """Parameters and locals: the index of the first local that a probe may add."""
    can_be_slow: bool = False
    catches: bool = False
    framed: bool = False
    bare: bool = False
    """No room for a frame within the engine's limits."""
    stops: list[Stop] = field(default_factory=list)


class Probe:
    """One kind of observation; each overrides what it wants. Code that it gives leaves the operand stack as it was.

    `first_local` is the index of the first of the locals that the probe asked for in this body.
    """

    stops: tuple[str, ...] = ()
    """Mnemonics at which `replace` is asked; at calls of host functions it always is."""
    wants_exits = False
    """Whether `leave` and `land` may give code, so that exits and landings must be found."""

    def locals(self, body: Body) -> int:
        """How many i32 locals it adds."""
        return 0

    def enter(self, body: Body, first_local: int) -> bytes:
        """Code at the start of the body."""
        return b""

    def leave(self, body: Body, first_local: int) -> bytes:
        """Code before each exit."""
        return b""

    def land(self, body: Body, first_local: int) -> bytes:
        """Code where control goes on after a caught exception."""
        return b""

    def replace(self, body: Body, code: int, position: int, end: int) -> bytes | None:
        """What stands in place of the instruction, None for the instruction itself."""
        return None


@dataclass(frozen=True, slots=True)
class Frame:
    """What is put around and into one body."""

    locals: int
    enter: bytes
    leave: bytes
    land: bytes


Edit = tuple[int, int, bytes]
"""The old bytes from one offset to another, and what takes their place."""


class Segment(NamedTuple):
    """A piece of a new body. Copied bytes have their places one by one, code of a probe has one for all."""

    new_offset: int
    """From the new body's first byte after its size."""
    length: int
    old_offset: int
    """In the old module."""
    copied: bool


class Walk:
    """Rewrites bodies with one set of probes."""

    def __init__(self, plan: Plan, probes: Sequence[Probe]) -> None:
        self._plan = plan
        self._probes = probes
        exits = any(probe.wants_exits for probe in probes)
        wanted = {mnemonic for probe in probes for mnemonic in probe.stops}
        if exits:
            wanted |= {*EXITS, "try_table"}
        self._host_count = len(plan.module.host_functions)
        self._scanner = Scanner(wanted, self._host_count)
        self._first_scanner = Scanner(wanted | set(CAN_BE_SLOW), self._host_count) if exits else self._scanner
        self._wanted = wanted
        self._wanted_codes = frozenset(stop_code(BY_MNEMONIC[each]) for each in wanted)

    def rewrite(self, ordinal: int, segments: list[Segment] | None = None) -> list[bytes]:
        """The new body of the `ordinal`-th function that is not imported, in pieces, its size first.

        `segments`, if given, takes where each byte of the new body came from, in order.
        """
        body = self._survey(ordinal)
        frame = self._frame(body)
        pieces = self._assemble(body, frame, segments)
        size = sum(map(len, pieces))
        if size > MAX_BODY_BYTES or body.local_count + frame.locals > MAX_LOCALS:
            pieces, size = self._without_frame(body, segments)
        self._plan.framed_count += body.framed
        return [encode_u32(size), *pieces]

    def _survey(self, ordinal: int) -> Body:
        """Locals, stops, and what the function can do."""
        module = self._plan.module
        data = module.data
        start, end = module.bodies[ordinal]
        funcidx = ordinal + len(module.function_typeidxs) - len(module.bodies)
        functype = module.function_type(funcidx)
        groups, position = read_index(data, start, end)
        local_count = len(functype.params)
        for _ in range(groups):
            count, position = read_index(data, position, end)
            if position >= end:
                raise DecodeError(DecodeCode.UNEXPECTED_END, "expected a value type, got the end", offset=end)
            local_count += count
            position = read_index(data, position + (data[position] in (0x63, 0x64)), end)[1]
        if local_count >= 1 << 32:
            raise DecodeError(
                DecodeCode.BAD_BODY, f"expected fewer than 2^32 locals, got {local_count}", offset=start, index=ordinal
            )
        body = Body(funcidx, functype, start, end, position, local_count)
        self._find_stops(data, body)
        return body

    def _find_stops(self, data: bytes, body: Body) -> None:
        position, end = body.code_start, body.end
        scanner, wanted, stops = self._first_scanner, self._wanted_codes, body.stops
        while (stop := scanner.next(data, position, end)) is not None:
            place, position, code = stop
            if code in _SLOW_CODES:
                body.can_be_slow = True
                scanner = self._scanner
            body.catches = body.catches or code == Op.TRY_TABLE
            if code in wanted or (code == Op.CALL and self._is_host_call(data, place, end)):
                stops.append(stop)
        if body.catches:
            scanner = Scanner(self._wanted | set(LANDINGS), self._host_count)
            body.stops = scanner.all(data, body.code_start, end)

    def _is_host_call(self, data: bytes, position: int, end: int) -> bool:
        return read_index(data, position + 1, end)[0] < self._host_count

    def _frame(self, body: Body) -> Frame:
        enter = leave = land = b""
        first_local = body.local_count
        for probe in self._probes:
            added = probe.locals(body)
            enter += probe.enter(body, first_local)
            leave += probe.leave(body, first_local)
            land += probe.land(body, first_local)
            first_local += added
        return Frame(first_local - body.local_count, enter, leave, land)

    def _assemble(self, body: Body, frame: Frame, segments: list[Segment] | None) -> list[bytes]:
        data = self._plan.module.data
        start = self._block(body.functype) if frame.leave else b""
        pieces = [_with_locals(data, body, frame.locals) + frame.enter + start]
        places = [body.code_start]
        position = body.code_start
        for place, after, new in self._edits(body, frame):
            pieces += (data[position:place], new)
            places += (position, place)
            position = after
        pieces.append(data[position : body.end])
        places.append(position)
        if frame.leave:
            pieces.append(frame.leave + b"\x0b")
            places.append(body.end - 1)
        if segments is not None:
            segments[:] = _segments(pieces, places)
        return pieces

    def _edits(self, body: Body, frame: Frame) -> Iterator[Edit]:
        for place, after, code in body.stops:
            if code == Op.RETURN:
                if frame.leave:
                    yield place, place, frame.leave
                continue
            if code in _LANDING_CODES:
                if frame.land and after < body.end:
                    yield after, after, frame.land
                continue
            new = self._replacement(body, code, place, after)
            leave = frame.leave if code in _EXIT_CODES else b""
            if new is not None:
                yield place, after, leave + new
            elif leave:
                yield place, place, leave

    def _replacement(self, body: Body, code: int, place: int, after: int) -> bytes | None:
        for probe in self._probes:
            new = probe.replace(body, code, place, after)
            if new is not None:
                return new
        return None

    def _block(self, functype: FuncType) -> bytes:
        """The start of the block that takes branches to the function's label."""
        results = functype.results
        if not results:
            return bytes([Op.BLOCK, 0x40])
        if len(results) == 1:
            return bytes([Op.BLOCK]) + results[0]
        typeidx = self._plan.typeidx(FuncType((), results))
        return bytes([Op.BLOCK]) + encode_signed_padded(typeidx, _TYPEIDX_BYTES)

    def _without_frame(self, body: Body, segments: list[Segment] | None) -> tuple[list[bytes], int]:
        """The body with no locals added, or as it came, for one that would pass the engine's limits."""
        body.bare = True
        pieces = self._assemble(body, self._frame(body), segments)
        size = sum(map(len, pieces))
        if size <= MAX_BODY_BYTES:
            reason = "counted, but not timed: a frame would pass the engine's limits"
        else:
            reason = "not counted, not timed: any probe would pass the engine's limits"
            pieces, size = [self._plan.module.data[body.start : body.end]], body.end - body.start
            if segments is not None:
                segments[:] = [Segment(0, size, body.start, copied=True)]
        self._plan.skipped.append(Skipped(body.funcidx, reason))
        return pieces, size


def _segments(pieces: list[bytes], places: list[int]) -> Iterator[Segment]:
    """The odd pieces were copied, the even ones (from 0) are code of probes."""
    offset = 0
    for number, (piece, place) in enumerate(zip(pieces, places, strict=True)):
        yield Segment(offset, len(piece), place, copied=number % 2 == 1)
        offset += len(piece)


def _with_locals(data: bytes, body: Body, added: int) -> bytes:
    """The local declarations with `added` more i32 at the end."""
    if not added:
        return data[body.start : body.code_start]
    groups, after = read_index(data, body.start, body.end)
    return encode_u32(groups + 1) + data[after : body.code_start] + encode_u32(added) + I32
