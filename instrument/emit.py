"""Encodings of the few instructions that probes are made of. Nothing here decides anything.

Spec: binary/instructions.html
"""

from __future__ import annotations

from wasmtrace.instrument.leb128 import encode_signed, encode_u32
from wasmtrace.instrument.opcodes import Op

EMPTY_BLOCK = 0x40
_MEMIDX_FLAG = 0x40
_ALIGN_8, _ALIGN_4 = 3, 2


def op(*opcodes: int) -> bytes:
    return bytes(opcodes)


def i32_const(value: int) -> bytes:
    return bytes([Op.I32_CONST]) + encode_signed(value)


def i64_const(value: int) -> bytes:
    return bytes([Op.I64_CONST]) + encode_signed(value)


def local_get(index: int) -> bytes:
    return bytes([Op.LOCAL_GET]) + encode_u32(index)


def local_set(index: int) -> bytes:
    return bytes([Op.LOCAL_SET]) + encode_u32(index)


def local_tee(index: int) -> bytes:
    return bytes([Op.LOCAL_TEE]) + encode_u32(index)


def call(funcidx: int) -> bytes:
    return bytes([Op.CALL]) + encode_u32(funcidx)


def return_call(funcidx: int) -> bytes:
    return bytes([Op.RETURN_CALL]) + encode_u32(funcidx)


class MemoryOps:
    """Loads and stores in memory `memidx`: each wants its address (i32), a store then its value, on the
    stack."""

    def __init__(self, memidx: int) -> None:
        index = encode_u32(memidx) if memidx else b""
        flag = _MEMIDX_FLAG if memidx else 0
        self._i64_load = bytes([Op.I64_LOAD, flag | _ALIGN_8]) + index
        self._i64_store = bytes([Op.I64_STORE, flag | _ALIGN_8]) + index
        self._i32_load = bytes([Op.I32_LOAD, flag | _ALIGN_4]) + index
        self._i32_store = bytes([Op.I32_STORE, flag | _ALIGN_4]) + index

    def i64_load(self, offset: int = 0) -> bytes:
        return self._i64_load + encode_u32(offset)

    def i64_store(self, offset: int = 0) -> bytes:
        return self._i64_store + encode_u32(offset)

    def i32_load(self, offset: int = 0) -> bytes:
        return self._i32_load + encode_u32(offset)

    def i32_store(self, offset: int = 0) -> bytes:
        return self._i32_store + encode_u32(offset)

    def i64_cell(self, offset: int) -> bytes:
        """Pushes the i64 at a fixed place."""
        return b"\x41\x00" + self.i64_load(offset)

    def i32_cell(self, offset: int) -> bytes:
        """Pushes the i32 at a fixed place."""
        return b"\x41\x00" + self.i32_load(offset)

    def count(self, offset: int) -> bytes:
        """Adds 1 to the i64 at a fixed place; leaves the stack as it was."""
        place = encode_u32(offset)
        return (
            b"\x41\x00\x41\x00" + self._i64_load + place + b"\x42\x01" + bytes([Op.I64_ADD]) + self._i64_store + place
        )

    def add_at_address(self, address_local: int, field: int, value: bytes) -> bytes:
        """Adds what the instructions `value` push to the i64 at an address in a local, plus `field`."""
        return (
            local_get(address_local)
            + local_get(address_local)
            + self.i64_load(field)
            + value
            + bytes([Op.I64_ADD])
            + self.i64_store(field)
        )
