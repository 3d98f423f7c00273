"""Integers as LEB128, in the fewest bytes.

Spec: `binary/values.html#integers`. Reading is in `reader.py`.
"""

from __future__ import annotations

_ONE_BYTE = tuple(bytes([value]) for value in range(0x80))


def encode_u32(value: int) -> bytes:
    """An index, a count or a size: one to five bytes."""
    if 0 <= value < 0x80:
        return _ONE_BYTE[value]
    assert value < 1 << 32, f"not a u32: {value}"
    return encode_unsigned(value)


def encode_unsigned(value: int) -> bytes:
    """A non-negative integer of any size, such as the u64 offset of a memarg."""
    assert value >= 0, f"not unsigned: {value}"
    encoded = bytearray()
    while value >= 0x80:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value)
    return bytes(encoded)


def encode_signed(value: int) -> bytes:
    """An integer of any size. Constants of type i32 and i64 are signed: 0xffffffff must come in as -1."""
    encoded = bytearray()
    while not -0x40 <= value < 0x40:
        encoded.append(value & 0x7F | 0x80)
        value >>= 7
    encoded.append(value & 0x7F)
    return bytes(encoded)
