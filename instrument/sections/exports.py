"""The export section.

Spec: binary/modules.html#export-section
"""

from __future__ import annotations

from dataclasses import dataclass

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.imports import KIND_NAMES
from wasmtrace.instrument.sections.vectors import expect_end, read_list


@dataclass(frozen=True, slots=True)
class Export:
    """`index` counts in the index space of `kind` (an index into `imports.KIND_NAMES`)."""

    name: str
    kind: int
    index: int

    def encode(self) -> bytes:
        name = self.name.encode()
        return encode_u32(len(name)) + name + bytes([self.kind]) + encode_u32(self.index)


def _read_export(reader: Reader) -> Export:
    name = reader.read_name()
    offset = reader.position
    kind = reader.read_byte()
    if kind >= len(KIND_NAMES):
        raise DecodeError(DecodeCode.BAD_KIND, f"expected export kind 0 to 4, got {kind:#04x}", offset=offset)
    return Export(name, kind, reader.read_u32())


def decode_exports(reader: Reader) -> list[Export]:
    exports = read_list(reader, _read_export, least_item_bytes=3)
    expect_end(reader)
    return exports
