"""The import section: what each import is, and how much of each index space imports take.

Spec: binary/modules.html#import-section
"""

from __future__ import annotations

from dataclasses import dataclass

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.limits import IS_64, MemoryType, read_limits, read_memory_type
from wasmtrace.instrument.sections.types import read_valtype
from wasmtrace.instrument.sections.vectors import expect_end, read_list

FUNC_KIND, TABLE_KIND, MEMORY_KIND, GLOBAL_KIND, TAG_KIND = range(5)
KIND_NAMES = ("func", "table", "memory", "global", "tag")


@dataclass(frozen=True, slots=True)
class Import:
    """One import. `typeidx` is set for functions and tags, `memory` for memories."""

    module: str
    name: str
    kind: int
    typeidx: int | None = None
    memory: MemoryType | None = None
    table_is_64: bool = False


def _read_import(reader: Reader) -> Import:
    module = reader.read_name()
    name = reader.read_name()
    offset = reader.position
    kind = reader.read_byte()
    if kind == FUNC_KIND:
        return Import(module, name, kind, typeidx=reader.read_u32())
    if kind == TABLE_KIND:
        read_valtype(reader)
        flags, _, _ = read_limits(reader)
        return Import(module, name, kind, table_is_64=bool(flags & IS_64))
    if kind == MEMORY_KIND:
        return Import(module, name, kind, memory=read_memory_type(reader))
    if kind == GLOBAL_KIND:
        read_valtype(reader)
        reader.read_byte()
        return Import(module, name, kind)
    if kind == TAG_KIND:
        reader.read_byte()
        return Import(module, name, kind, typeidx=reader.read_u32())
    raise DecodeError(DecodeCode.BAD_KIND, f"expected import kind 0 to 4, got {kind:#04x}", offset=offset)


def decode_imports(reader: Reader) -> list[Import]:
    imports = read_list(reader, _read_import, least_item_bytes=4)
    expect_end(reader)
    return imports
