"""Integers as LEB128, in the fewest bytes unless said otherwise.

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


def encode_u32_padded(value: int, width: int) -> bytes:
    """As `encode_u32`, in exactly `width` bytes: for a size that is known later."""
    assert 0 <= value < min(1 << 32, 1 << 7 * width), f"not in {width} bytes: {value}"
    groups = [value >> shift & 0x7F | 0x80 for shift in range(0, 7 * width, 7)]
    return bytes([*groups[:-1], groups[-1] & 0x7F])
