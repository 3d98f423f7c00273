"""Finds the few instructions that a probe asks for, without decoding the many others one by one.

A regular expression built from the opcode table matches as many uninteresting instructions as there are, in
C, and ends at the first that it does not know: a stop, or a rare form (a branch table, a padded sub-opcode)
that the plain decoder steps over. Quantifiers are possessive, so no input makes the match go back: time is
linear.

Assumes a body that the engine has validated: immediates are skipped, not checked. `instructions.py` is the
slow twin that checks, and tests compare the two over whole programs.

Benchmark: `benchmarks/bench_rewrite.py`.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
from functools import lru_cache

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.instructions import skip_instruction
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.opcodes import BY_MNEMONIC, OPCODES, Immediate, Op, Opcode

_LEB = rb"[\x80-\xff]{0,9}+[\x00-\x7f]"
_BLOCKTYPE = rb"(?:[\x00-\x62\x65-\x7f]|[\x63\x64]" + _LEB + rb"|[\x80-\xff]{1,9}+[\x00-\x7f])"
_MEMARG = rb"(?:[\x00-\x3f]" + _LEB + rb"|[\x40-\x7f]" + _LEB + _LEB + rb")"
_ONE_LEB = (
    Immediate.LABELIDX,
    Immediate.FUNCIDX,
    Immediate.TYPEIDX,
    Immediate.TABLEIDX,
    Immediate.MEMIDX,
    Immediate.LOCALIDX,
    Immediate.GLOBALIDX,
    Immediate.DATAIDX,
    Immediate.ELEMIDX,
    Immediate.TAGIDX,
    Immediate.FIELDIDX,
    Immediate.HEAPTYPE,
    Immediate.U32,
    Immediate.I32,
    Immediate.I64,
)
_IMMEDIATE_PATTERNS: dict[Immediate, bytes] = {
    **dict.fromkeys(_ONE_LEB, _LEB),
    Immediate.BLOCKTYPE: _BLOCKTYPE,
    Immediate.MEMARG: _MEMARG,
    Immediate.LANEIDX: rb".",
    Immediate.CASTFLAGS: rb".",
    Immediate.RESERVED_BYTE: rb".",
    Immediate.F32: rb".{4}",
    Immediate.F64: rb".{8}",
    Immediate.V128: rb".{16}",
    Immediate.LANEIDX16: rb".{16}",
}
"""The other kinds hold a list: the plain decoder steps over them."""

Stop = tuple[int, int, int]
"""Offset of an instruction, where it ends, and its `stop_code`."""


def stop_code(opcode: Opcode) -> int:
    """One number for an opcode: the byte itself, or `prefix << 16 | code`."""
    return opcode.code if opcode.prefix is None else opcode.prefix << 16 | opcode.code


def leb_below(limit: int, width: int = 5) -> bytes:
    """A pattern of every LEB128 encoding, padded ones too, of the numbers below `limit`; matches in linear
    time."""
    last = min(limit, 128) - 1
    pattern = rb"[\x00-" + _escape(last) + rb"]"
    if width == 1:
        return pattern
    high, low = divmod(limit, 128)
    parts = [pattern]
    if low:
        parts.append(rb"[\x80-" + _escape(0x80 + low - 1) + rb"]" + leb_below(high + 1, width - 1))
    if high:
        parts.append(rb"[" + _escape(0x80 + low) + rb"-\xff]" + leb_below(high, width - 1))
    return rb"(?:" + rb"|".join(parts) + rb")"


def _escape(byte: int) -> bytes:
    return rb"\x%02x" % byte


def _byte_class(values: Iterable[int]) -> bytes:
    return rb"[" + b"".join(_escape(each) for each in sorted(values)) + rb"]"


def _alternatives(opcodes: Iterable[Opcode]) -> list[bytes]:
    """Patterns of opcodes of one prefix, those with the same immediates together."""
    groups: dict[tuple[bytes, bytes], set[int]] = {}
    for opcode in opcodes:
        if not all(each in _IMMEDIATE_PATTERNS for each in opcode.immediates):
            continue
        immediates = b"".join(_IMMEDIATE_PATTERNS[each] for each in opcode.immediates)
        encoded = bytes([opcode.code]) if opcode.prefix is None else encode_u32(opcode.code)
        groups.setdefault((immediates, encoded[1:]), set()).add(encoded[0])
    return [
        _byte_class(first) + b"".join(_escape(each) for each in rest) + immediates
        for (immediates, rest), first in groups.items()
    ]


@lru_cache(maxsize=64)
def _pattern(stops: frozenset[str], host_count: int) -> re.Pattern[bytes]:
    taken = [opcode for opcode in OPCODES if opcode.mnemonic not in stops]
    single = [opcode for opcode in taken if opcode.prefix is None]
    call = BY_MNEMONIC["call"]
    parts = []
    if call in single and host_count:
        single.remove(call)
        parts.append(rb"\x10(?!" + leb_below(host_count) + rb")" + _LEB)
    # The kinds by how often they stand in real code: one index or constant, nothing, a memarg, the rest.
    alternatives = sorted(_alternatives(single), key=_commonness)
    parts = alternatives[:3] + parts + alternatives[3:]
    for prefix in (0xFC, 0xFD, 0xFE, 0xFB):
        inner = _alternatives(opcode for opcode in taken if opcode.prefix == prefix)
        if inner:
            parts.append(_escape(prefix) + rb"(?:" + rb"|".join(inner) + rb")")
    return re.compile(rb"(?:" + rb"|".join(parts) + rb")*+", re.DOTALL)


def _commonness(alternative: bytes) -> int:
    for place, tail in enumerate((rb"]" + _LEB, rb"]", rb"]" + _MEMARG)):
        if alternative.endswith(tail) and alternative.count(rb"]") == tail.count(rb"]"):
            return place
    return 3


_CATCH = rb"(?:[\x00\x01]" + _LEB + _LEB + rb"|[\x02\x03]" + _LEB + rb")"
_ONE_BYTE_CODES = frozenset((Op.RETURN, Op.END, Op.ELSE, Op.THROW_REF))
_ONE_INDEX_CODES = frozenset((Op.CALL, Op.RETURN_CALL, Op.MEMORY_GROW, Op.THROW, Op.BR, Op.BR_IF))
_BLOCK_CODES = frozenset((Op.BLOCK, Op.LOOP, Op.IF))


@lru_cache(maxsize=256)
def _times(item: bytes, count: int) -> re.Pattern[bytes]:
    return re.compile(rb"(?:%s){%d}+" % (item, count))


def _skip_items(item: bytes, count: int, data: bytes, position: int, end: int) -> int | None:
    """The offset after `count` items in a row, None if they are not there.

    Patterns are made for counts below 64 and for powers of two: a new one for each count would take longer
    than the match, in a module with many branch tables of different lengths.
    """
    for part in (count & 63, *(1 << bit for bit in range(6, count.bit_length()) if count >> bit & 1)):
        matched = _times(item, part).match(data, position, end)
        if matched is None:
            return None
        position = matched.end()
    return position


_BLOCKTYPE_PATTERN = re.compile(_BLOCKTYPE)


def step_over(data: bytes, position: int, code: int, end: int) -> int:
    """Where the instruction at `position` ends; as the plain decoder says, but quick for those that are
    common."""
    if code in _ONE_BYTE_CODES:
        return position + 1
    if code in _ONE_INDEX_CODES:
        return read_index(data, position + 1, end)[1]
    if code == Op.BR_TABLE:
        count, place = read_index(data, position + 1, end)
        after = _skip_items(_LEB, count + 1, data, place, end) if count < end - place else None
    elif code in _BLOCK_CODES:
        after = _after_blocktype(data, position, end)
    elif code == Op.TRY_TABLE and (after := _after_blocktype(data, position, end)) is not None:
        count, place = read_index(data, after, end)
        after = _skip_items(_CATCH, count, data, place, end) if count < end - place else None
    else:
        after = None
    return skip_instruction(data, position, end) if after is None else after


def _after_blocktype(data: bytes, position: int, end: int) -> int | None:
    matched = _BLOCKTYPE_PATTERN.match(data, position + 1, end)
    return None if matched is None else matched.end()


def read_index(data: bytes, position: int, end: int) -> tuple[int, int]:
    """The u32 at `position` and where it ends; for validated code. Raises DecodeError UNEXPECTED_END,
    LEB_TOO_LONG."""
    value = shift = 0
    start = position
    while position < end:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7
        if shift == 35:
            raise DecodeError(DecodeCode.LEB_TOO_LONG, "expected an index, got more than 5 bytes", offset=start)
    raise DecodeError(DecodeCode.UNEXPECTED_END, "expected an index, got the end", offset=end)


class Scanner:
    """Finds the instructions of `stops`, and calls of the first `host_count` functions, in bodies."""

    def __init__(self, stops: Collection[str], host_count: int = 0) -> None:
        self._codes = frozenset(stop_code(BY_MNEMONIC[each]) for each in stops)
        self._match = _pattern(frozenset(stops), host_count).match
        self._host_count = host_count

    def next(self, data: bytes, position: int, end: int) -> Stop | None:
        """The first stop at or after `position`, which is the offset of an instruction.

        Raises: DecodeError, if there is something that is no instruction; UnsupportedError for legacy
        exceptions.
        """
        codes = self._codes
        match = self._match
        while True:
            matched = match(data, position, end)
            assert matched is not None  # a possessive star matches at least nothing
            position = matched.end()
            if position >= end:
                return None
            code: int = data[position]
            if code >= 0xFB:
                code = code << 16 | read_index(data, position + 1, end)[0]
            after = step_over(data, position, code, end)
            if code in codes or (code == Op.CALL and self._is_host_call(data, position, end)):
                return position, after, code
            position = after

    def all(self, data: bytes, position: int, end: int) -> list[Stop]:
        """Every stop between two offsets."""
        found: list[Stop] = []
        while (stop := self.next(data, position, end)) is not None:
            found.append(stop)
            position = stop[1]
        return found

    def _is_host_call(self, data: bytes, position: int, end: int) -> bool:
        return read_index(data, position + 1, end)[0] < self._host_count
