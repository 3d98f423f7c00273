"""Which exports are functions, and their indices: the host knows names, the counters know indices."""

from __future__ import annotations

_HEADER_BYTES = 8
_EXPORT_SECTION = 7
_FUNCTION = 0


def exported_functions(wasm: bytes) -> dict[str, int]:
    """Function indices by export name. `wasm` is a valid module; what is not, exports nothing."""
    try:
        position = _HEADER_BYTES
        while position < len(wasm):
            section = wasm[position]
            size, start = _u32(wasm, position + 1)
            if section == _EXPORT_SECTION:
                return _read_exports(wasm, start)
            position = start + size
    except (IndexError, UnicodeDecodeError):
        pass
    return {}


def _read_exports(wasm: bytes, position: int) -> dict[str, int]:
    count, position = _u32(wasm, position)
    found = {}
    for _ in range(count):
        length, start = _u32(wasm, position)
        kind = wasm[start + length]
        index, position = _u32(wasm, start + length + 1)
        if kind == _FUNCTION:
            found[wasm[start : start + length].decode()] = index
    return found


def _u32(wasm: bytes, position: int) -> tuple[int, int]:
    """The number and where it ends."""
    value = shift = 0
    while True:
        byte = wasm[position]
        position += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, position
