"""Whether a module has a start function: the guest then runs before the host sees any of its exports."""

from __future__ import annotations

_HEADER_BYTES = 8
_START_SECTION = 8
_LEB_BYTES = 5


def has_start(wasm: bytes) -> bool:
    """Walks the section headers; False for what is not a module."""
    position = _HEADER_BYTES
    while position < len(wasm):
        if wasm[position] == _START_SECTION:
            return True
        size = 0
        for place, byte in enumerate(wasm[position + 1 : position + 1 + _LEB_BYTES]):
            size |= (byte & 0x7F) << 7 * place
            if byte < 0x80:
                position += 2 + place + size
                break
        else:
            return False
    return False
