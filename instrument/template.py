"""Code with holes: what a probe puts into every function, but for the few numbers that differ from one to the next.

A hole is an ordinary number that no module reaches, used where the real one belongs: its LEB128 marks the place.

    emit.local_get(FIRST_LOCAL) + memory.count(CALLS_CELL)

`encoded` is what the walk reads: pieces, each a byte that says which hole, or 0, a length and so many bytes.
"""

from __future__ import annotations

import re
from enum import IntEnum

from wasmtrace.instrument.leb128 import encode_u32


class BodyClass(IntEnum):
    """What a function body gets besides its counter."""

    PLAIN = 0
    """Nothing: it takes a bounded time, or nobody wants to know."""
    FRAMED = 1
    """A frame on the shadow stack."""
    GUARDED = 2
    """It has no frame, but catches exceptions, which may have passed functions that have."""
    ALWAYS = 3
    """A frame, and each of its calls is recorded."""


_LITERAL = 0
FIRST_LOCAL = 0xFFFF_FFF1
"""The local that the probe asked for."""
CALLS_CELL = 0xFFFF_FFF2
"""Offset of the function's call counter."""
FUEL_CELL = 0xFFFF_FFF3
FUNCIDX = 0xFFFF_FFF4
SITE = 0xFFFF_FFF5
"""Number of the place of growth, in four bytes."""
AMOUNT = 0xFFFF_FFF6
"""Fuel to add."""
OWN_CODE = encode_u32(0xFFFF_FFF7)
"""Not a number: code of this one function."""

_MOST_LITERAL_BYTES = 0xFFFF
_HOLE = re.compile(rb"[\xf1-\xf7]\xff\xff\xff\x0f")


def encoded(code: bytes) -> bytes:
    """The template as the walk reads it; nothing for no code."""
    out = bytearray()
    position = 0
    for found in _HOLE.finditer(code):
        out += _literal(code[position : found.start()])
        out.append(found.group()[0] - 0xF0)
        position = found.end()
    return bytes(out + _literal(code[position:]))


def _literal(code: bytes) -> bytes:
    out = bytearray()
    for start in range(0, len(code), _MOST_LITERAL_BYTES):
        piece = code[start : start + _MOST_LITERAL_BYTES]
        out += bytes([_LITERAL]) + len(piece).to_bytes(2, "little") + piece
    return bytes(out)
