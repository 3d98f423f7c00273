"""Runs `walk.wasm`: gives it bodies, tables and templates, takes new bodies.

An instance serves one module and is then thrown away.
Bodies go in and out in batches, so that the memory taken does not grow with the module.
"""

from __future__ import annotations

import ctypes
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence

from wasmtrace.errors import InstrumentError, UnsupportedError
from wasmtrace.instrument.kernel.config import Bytes, Config
from wasmtrace.instrument.kernel.exchange import Findings, Inputs, Segment, Span, Templates, WalkError
from wasmtrace.instrument.kernel.machine_code import compile_walk
from wasmtrace.instrument.kernel.shapes import SHAPE_TABLE, place_of
from wasmtrace.instrument.opcodes import OPCODES, Opcode
from wasmtrace.instrument.template import encoded

BATCH_BYTES = 1 << 20
MAX_BODY_BYTES = 7_654_321
MAX_LOCALS = 50_000
"""Limits of the engine (wasmparser's `limits.rs`)."""
_SCRATCH_A_BYTE, _SCRATCH_BYTES = 56, 4096
_NO_ROOM = 3


class Kernel:
    """One instance, for one module."""

    def __init__(self, inputs: Inputs) -> None:
        import wasmtime

        engine, module = compile_walk()
        self._inputs = inputs
        self._store = wasmtime.Store(engine)
        try:
            exports = wasmtime.Instance(self._store, module, []).exports(self._store)
        except wasmtime.WasmtimeError as error:
            raise InstrumentError(f"no memory for the rewriter: {' '.join(str(error).split())}") from None
        memory = exports["memory"]
        assert isinstance(memory, wasmtime.Memory)
        self._memory = memory
        self._exports = exports
        self._config_at = self._call("config")
        self._config = Config()
        self._batches = _batches(inputs.bodies)
        self._set_up()

    def _call(self, name: str, *arguments: int) -> int:
        """Calls an exported function; what it gives as u32."""
        import wasmtime

        function = self._exports[name]
        assert isinstance(function, wasmtime.Func)
        result = function(self._store, *arguments)
        return result & 0xFFFF_FFFF if isinstance(result, int) else 0

    # Memory

    def _base(self) -> int:
        address = ctypes.cast(self._memory.data_ptr(self._store), ctypes.c_void_p).value
        assert address is not None
        return address

    def _allocate(self, length: int) -> int:
        at = self._call("allocate", length)
        if not at:
            raise UnsupportedError("no room for the rewriter's tables: the module is too large")
        return at

    def _write(self, at: int, data: bytes) -> None:
        if at + len(data) > self._memory.data_len(self._store):
            raise IndexError(f"write of {len(data)} bytes at {at:#x}")
        ctypes.memmove(self._base() + at, data, len(data))

    def _read(self, at: int, length: int) -> bytes:
        if at + length > self._memory.data_len(self._store):
            raise IndexError(f"read of {length} bytes at {at:#x}")
        return ctypes.string_at(self._base() + at, length)

    def _put(self, data: bytes) -> int:
        at = self._allocate(len(data) or 1)
        self._write(at, data)
        return at

    def _put_list(self, items: Sequence[bytes]) -> int:
        """A `Bytes` for each item."""
        joined = b"".join(items)
        at = self._put(joined)
        table = array("I")
        for each in items:
            table.extend((at, len(each)))
            at += len(each)
        return self._put(_little(table))

    def _store_config(self) -> None:
        self._write(self._config_at, bytes(self._config))

    def _load_config(self) -> None:
        ctypes.memmove(
            ctypes.byref(self._config),
            self._read(self._config_at, ctypes.sizeof(Config)),
            ctypes.sizeof(Config),
        )

    # Both passes

    def _set_up(self) -> None:
        inputs, config = self._inputs, self._config
        count = len(inputs.typeidxs)
        config.hosts, config.functions, config.type_count = inputs.host_count, count, len(inputs.types)
        config.memory_count, config.table_count = len(inputs.memory_is_64), len(inputs.table_is_64)
        config.typeidxs = self._put(_little(array("I", inputs.typeidxs)))
        config.shapes = self._put(SHAPE_TABLE)
        config.memory_is_64 = self._put(bytes(inputs.memory_is_64))
        config.table_is_64 = self._put(bytes(inputs.table_is_64))
        config.fuel, config.exceptions = inputs.fuel, inputs.exceptions
        config.max_body_bytes, config.max_locals = MAX_BODY_BYTES, MAX_LOCALS
        config.types = self._put_types({})
        config.costs, config.per_call = self._allocate(count * 4 + 4), self._allocate(count * 4 + 4)
        config.edge_starts = self._allocate(count * 4 + 8)
        config.traits, config.skipped = self._allocate(count + 1), self._allocate(count + 1)
        config.tail_called = self._allocate(inputs.host_count + 1)
        config.seen = self._allocate(len(SHAPE_TABLE))
        longest = max((end - start for start, end in inputs.bodies), default=0)
        config.scratch_bytes = longest * _SCRATCH_A_BYTE + _SCRATCH_BYTES
        config.scratch = self._allocate(config.scratch_bytes)
        most_bytes = max(
            (inputs.bodies[last - 1][1] - inputs.bodies[first][0] for first, last in self._batches), default=0
        )
        self._code_at = self._allocate(most_bytes + 1)
        self._spans_at = self._allocate(8 * max((last - first for first, last in self._batches), default=0) + 8)

    def _put_types(self, blocks: Mapping[int, bytes]) -> int:
        rows = array("I")
        at = self._put(b"".join(blocks.values()))
        places: dict[int, int] = {}
        for typeidx, block in blocks.items():
            places[typeidx] = at
            at += len(block)
        for typeidx, (params, results) in enumerate(self._inputs.types):
            rows.extend((params, results, places.get(typeidx, 0), len(blocks.get(typeidx, b""))))
        return self._put(_little(rows))

    def _load(self, first: int, last: int) -> int:
        """Puts bodies into the instance; gives what turns offsets of the module into addresses."""
        bodies = self._inputs.bodies
        start, end = bodies[first][0], bodies[last - 1][1]
        shift = self._code_at - start
        self._write(self._code_at, self._inputs.data[start:end])
        spans = array("I")
        for body in bodies[first:last]:
            spans.extend((body[0] + shift, body[1] + shift))
        self._write(self._spans_at, _little(spans))
        return shift

    def _check(self, shift: int) -> None:
        self._load_config()
        error = self._config.error
        if error == _NO_ROOM:
            raise UnsupportedError("no room for the rewriter's tables: the module is too large")
        if error:
            raise WalkError(self._config.error_index - self._inputs.host_count, self._config.error_at - shift)

    def survey(self, most_bounded: int) -> None:
        """The first pass. Raises WalkError, UnsupportedError."""
        self._config.most_bounded = most_bounded
        self._store_config()
        host_count = self._inputs.host_count
        for first, last in self._batches:
            shift = self._load(first, last)
            self._call("survey", self._spans_at, last - first, host_count + first)
            self._check(shift)
        self.instruction_counts = self._u32s(self._config.costs, len(self._inputs.typeidxs))
        """By funcidx."""
        self._call("find_bounded", self._allocate(9 * len(self._inputs.typeidxs) + 8))
        self._load_config()

    def _u32s(self, at: int, count: int) -> list[int]:
        values = array("I", self._read(at, 4 * count))
        if sys.byteorder == "big":
            values.byteswap()
        return values.tolist()

    def restore(self, findings: Findings) -> None:
        """In place of `survey`: what it found, to rewrite single bodies."""
        config, count = self._config, len(self._inputs.typeidxs)
        self._write(config.traits, findings.may_take_long.ljust(count, b"\0")[:count])
        flags = bytes(funcidx in findings.tail_called for funcidx in range(self._inputs.host_count))
        self._write(config.tail_called, flags)
        config.sites = self._put(_little(array("I", [each for site in findings.grow_sites for each in site])))
        config.site_count = config.site_room = len(findings.grow_sites)
        self._store_config()

    def findings(self) -> Findings:
        """What the survey found that a rewriting of single bodies must know."""
        may_take_long = self._read(self._config.traits, len(self._inputs.typeidxs))
        return Findings(may_take_long, frozenset(self.tail_called()), self.grow_sites())

    def seen_opcodes(self) -> list[Opcode]:
        """The opcodes that the module has."""
        seen = self._read(self._config.seen, len(SHAPE_TABLE))
        return [each for each in OPCODES if seen[place_of(each)]]

    def tail_called(self) -> list[int]:
        """The imports that some function calls in tail position."""
        flags = self._read(self._config.tail_called, self._inputs.host_count)
        return [funcidx for funcidx, flag in enumerate(flags) if flag]

    def grow_sites(self) -> list[tuple[int, int]]:
        """Function and memory of each place of growth."""
        flat = self._u32s(self._config.sites, self._config.site_count * 2)
        return list(zip(flat[::2], flat[1::2], strict=True))

    def configure(self, templates: Templates) -> None:
        """What the second pass puts in."""
        config = self._config
        for name in ("enter", "leave", "land"):
            for body_class, code in enumerate(getattr(templates, name)):
                self._set_bytes(getattr(config, name)[body_class], encoded(code))
        for name in ("add", "add_before", "add_after"):
            self._set_bytes(getattr(config, name), encoded(getattr(templates, name)))
        for body_class, count in enumerate(templates.class_locals):
            config.class_locals[body_class] = count
        config.types = self._put_types(templates.block_types)
        own = array("I", bytes(8 * len(self._inputs.typeidxs)))
        for funcidx, code in templates.own_code.items():
            own[2 * funcidx], own[2 * funcidx + 1] = self._put(code), len(code)
        config.own_code = self._put(_little(own))
        config.host_calls = self._put_list(templates.host_calls)
        config.host_tail_calls = self._put_list(templates.host_tail_calls)
        config.growers = self._put_list([encoded(each) for each in templates.growers])
        config.flags = self._put(templates.flags)
        config.detour_type = templates.detour_type
        config.calls_offset, config.fuel_offset = templates.calls_offset, templates.fuel_offset
        config.out = self._allocate(1)
        self._store_config()

    def _set_bytes(self, target: Bytes, data: bytes) -> None:
        target.at, target.length = self._put(data), len(data)

    def rewrite(self) -> Iterator[bytes]:
        """The second pass: the new bodies, each with its size, a batch at a time. Raises as `survey`."""
        for first, last in self._batches:
            shift = self._load(first, last)
            length = self._call("rewrite", self._spans_at, last - first, self._inputs.host_count + first)
            self._check(shift)
            yield self._read(self._config.out, length)

    def rewrite_one(self, ordinal: int, asked_offset: int = 0) -> tuple[bytes, list[Segment], int]:
        """One new body with its size; where its bytes came from; and how much fuel of a call is not counted, or is
        already (then it is negative), when it is at the instruction at `asked_offset` of the module."""
        shift = self._load(ordinal, ordinal + 1)
        start, end = self._inputs.bodies[ordinal]
        config = self._config
        mark = config.segments = self._allocate((2 * (end - start) + 64) * 32)
        config.asked_at = asked_offset + shift if asked_offset else 0
        config.out = self._allocate(1)
        self._store_config()
        funcidx = self._inputs.host_count + ordinal
        length = self._call("rewrite", self._spans_at, 1, funcidx)
        self._check(shift)
        flat = self._u32s(config.segments, 4 * config.segment_count)
        segments = [
            Segment(flat[place], flat[place + 1], flat[place + 2] - shift, bool(flat[place + 3]))
            for place in range(0, len(flat), 4)
        ]
        lag = config.asked_lag - self.per_call()[funcidx] if asked_offset else 0
        code = self._read(config.out, length)
        config.segments = config.asked_at = 0
        self._store_config()
        self._call("release", mark)
        return code, segments, lag

    def per_call(self) -> list[int]:
        """By funcidx: the fuel of each call that no cell counts."""
        return self._u32s(self._config.per_call, len(self._inputs.typeidxs))

    def skipped(self) -> dict[int, int]:
        """By funcidx: 1 for a body without frame and fuel, 2 for one without any probe."""
        return {
            funcidx: how
            for funcidx, how in enumerate(self._read(self._config.skipped, len(self._inputs.typeidxs)))
            if how
        }

    @property
    def framed_count(self) -> int:
        framed: int = self._config.framed_count
        return framed


def _batches(bodies: Sequence[Span]) -> list[tuple[int, int]]:
    """Ranges of ordinals whose bodies are at most `BATCH_BYTES` together, or one body."""
    batches = []
    first = 0
    for ordinal, (_, end) in enumerate(bodies):
        if end - bodies[first][0] > BATCH_BYTES and ordinal > first:
            batches.append((first, ordinal))
            first = ordinal
    if bodies:
        batches.append((first, len(bodies)))
    return batches


def _little(values: array[int]) -> bytes:
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()
