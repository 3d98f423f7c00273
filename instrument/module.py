"""A module as the rewriter sees it: where its sections are, and what is in those that it must understand.

Everything else stays raw bytes in `data` and is copied. Index spaces are the specification's: imports come
first.

Spec: binary/modules.html#binary-module
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from wasmtrace.errors import DecodeCode, DecodeError, UnsupportedError
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.exports import Export, decode_exports
from wasmtrace.instrument.sections.ids import PLACE, SectionId
from wasmtrace.instrument.sections.imports import FUNC_KIND, TABLE_KIND, Import, decode_imports
from wasmtrace.instrument.sections.limits import MemoryType, read_memory_type
from wasmtrace.instrument.sections.tables import decode_tables
from wasmtrace.instrument.sections.types import FuncType, decode_types
from wasmtrace.instrument.sections.vectors import expect_end, read_count, read_list

MAGIC = b"\0asm"
VERSION = b"\x01\0\0\0"
COMPONENT_VERSION = b"\x0d\0\x01\0"


@dataclass(frozen=True, slots=True)
class Section:
    """One section: `start` to `end` is its payload in the module, `header_offset` its id byte."""

    id: SectionId
    header_offset: int
    start: int
    end: int
    name: str | None = None
    """Of a custom section; its payload then begins after the name."""


@dataclass(slots=True)
class Module:
    """Decoded parts of one module."""

    data: bytes
    sections: list[Section] = field(default_factory=list)
    types: list[FuncType | None] = field(default_factory=list)
    """By typeidx."""
    imports: list[Import] = field(default_factory=list)
    host_functions: list[Import] = field(default_factory=list)
    """By funcidx: the imports that are functions."""
    imported_memory_count: int = 0
    function_typeidxs: list[int] = field(default_factory=list)
    """By funcidx, imports first."""
    memories: list[MemoryType] = field(default_factory=list)
    """By memidx, imports first."""
    table_is_64: list[bool] = field(default_factory=list)
    """By tableidx, imports first: whether its indices are of type i64."""
    exports: list[Export] = field(default_factory=list)
    start: int | None = None
    data_count: int | None = None
    bodies: list[tuple[int, int]] = field(default_factory=list)
    """Locals and code of each function that is not imported: lines up with `function_typeidxs` after the
    imports."""

    def function_type(self, funcidx: int) -> FuncType:
        """Raises DecodeError BAD_INDEX if the function's type is not a function type."""
        typeidx = self.function_typeidxs[funcidx]
        functype = self.types[typeidx] if typeidx < len(self.types) else None
        if functype is None:
            raise DecodeError(
                DecodeCode.BAD_INDEX, f"expected a function type, got type {typeidx}", offset=0, index=funcidx
            )
        return functype

    def section(self, wanted: SectionId) -> Section | None:
        return next((each for each in self.sections if each.id is wanted), None)

    def payload(self, wanted: SectionId) -> memoryview:
        """Not a copy; empty if there is no such section."""
        found = self.section(wanted)
        return memoryview(self.data)[found.start : found.end] if found is not None else memoryview(b"")

    def custom(self, name: str) -> Section | None:
        """The last custom section of that name, as the engine takes it."""
        return next((each for each in reversed(self.sections) if each.name == name), None)


def check_header(data: bytes) -> None:
    """Raises DecodeError BAD_MAGIC or BAD_VERSION, UnsupportedError for a component."""
    if len(data) < 4 or not data.startswith(MAGIC):
        if MAGIC.startswith(data[:4]):
            raise DecodeError(DecodeCode.UNEXPECTED_END, "expected a module, got the end", offset=len(data))
        raise DecodeError(DecodeCode.BAD_MAGIC, f"expected a wasm module, got {data[:4].hex()}", offset=0)
    version = data[4:8]
    if version == COMPONENT_VERSION:
        raise UnsupportedError("expected a core module, got a component: components are not supported yet")
    if len(version) < 4:
        raise DecodeError(DecodeCode.UNEXPECTED_END, "expected a version, got the end", offset=len(data))
    if version != VERSION:
        raise DecodeError(DecodeCode.BAD_VERSION, f"expected version 1, got {version.hex()}", offset=4)


def decode(data: bytes) -> Module:
    """The parts of a core module. Function bodies are located, not looked into.

    Raises: DecodeError, with offset, section and item; UnsupportedError for a component. Nothing else.
    """
    check_header(data)
    module = Module(data)
    reader = Reader(data, 8, len(data))
    place = -1
    while reader.position < reader.end:
        section = _read_section_header(reader)
        module.sections.append(section)
        if section.id is not SectionId.CUSTOM:
            if PLACE[section.id] <= place:
                raise DecodeError(
                    DecodeCode.SECTION_ORDER,
                    f"expected a section that may follow, got {section.id.name.lower()}",
                    offset=section.header_offset,
                )
            place = PLACE[section.id]
        _decode_section(module, section)
    _check_counts(module)
    return module


def _read_section_header(reader: Reader) -> Section:
    offset = reader.position
    code = reader.read_byte()
    if code > max(SectionId):
        raise DecodeError(DecodeCode.BAD_SECTION_ID, f"expected section id 0 to 13, got {code}", offset=offset)
    size_offset = reader.position
    size = reader.read_u32()
    start = reader.position
    if size > reader.end - start:
        raise DecodeError(
            DecodeCode.SECTION_SIZE,
            f"expected {size} bytes of section {SectionId(code).name.lower()}, got {reader.end - start}",
            offset=size_offset,
        )
    reader.skip(size)
    if code != SectionId.CUSTOM:
        return Section(SectionId(code), offset, start, start + size)
    inner = Reader(reader.data, start, start + size)
    name = inner.read_name()
    return Section(SectionId.CUSTOM, offset, inner.position, start + size, name)


def _decode_section(module: Module, section: Section) -> None:
    decoder = _DECODERS.get(section.id)
    if decoder is None:
        return
    try:
        decoder(module, Reader(module.data, section.start, section.end))
    except DecodeError as error:
        error.section = error.section or section.id.name.lower()
        raise


def _decode_types(module: Module, reader: Reader) -> None:
    module.types = decode_types(reader)


def _decode_imports(module: Module, reader: Reader) -> None:
    module.imports = decode_imports(reader)
    for each in module.imports:
        if each.kind == FUNC_KIND and each.typeidx is not None:
            module.host_functions.append(each)
            module.function_typeidxs.append(each.typeidx)
        elif each.memory is not None:
            module.memories.append(each.memory)
            module.imported_memory_count += 1
        elif each.kind == TABLE_KIND:
            module.table_is_64.append(each.table_is_64)


def _decode_functions(module: Module, reader: Reader) -> None:
    module.function_typeidxs += read_list(reader, Reader.read_u32)
    expect_end(reader)


def _decode_tables(module: Module, reader: Reader) -> None:
    module.table_is_64 += decode_tables(reader)


def _decode_memories(module: Module, reader: Reader) -> None:
    module.memories += read_list(reader, read_memory_type, least_item_bytes=2)
    expect_end(reader)


def _decode_exports(module: Module, reader: Reader) -> None:
    module.exports = decode_exports(reader)


def _decode_start(module: Module, reader: Reader) -> None:
    module.start = reader.read_u32()
    expect_end(reader)


def _decode_data_count(module: Module, reader: Reader) -> None:
    offset = reader.position
    module.data_count = reader.read_u32()
    if module.data_count > len(reader.data) - offset:
        raise DecodeError(
            DecodeCode.COUNT_TOO_LARGE,
            f"expected at most as many segments as bytes, got {module.data_count}",
            offset=offset,
        )
    expect_end(reader)


def _decode_data(_module: Module, reader: Reader) -> None:
    """The count only: segments are copied, and one is added."""
    read_count(reader)


def _decode_code(module: Module, reader: Reader) -> None:
    data, end = reader.data, reader.end
    bodies = module.bodies
    for index in range(read_count(reader, least_item_bytes=2)):
        try:
            size = reader.read_u32()
            start = reader.position
            if size > end - start:
                raise DecodeError(
                    DecodeCode.SECTION_SIZE, f"expected {size} bytes of body, got {end - start}", offset=start
                )
            if size < 2 or data[start + size - 1] != 0x0B:
                raise DecodeError(DecodeCode.BAD_BODY, "expected end as last instruction", offset=start)
            reader.skip(size)
        except DecodeError as error:
            error.index = index
            raise
        bodies.append((start, start + size))
    expect_end(reader)


_DECODERS: dict[SectionId, Callable[[Module, Reader], None]] = {
    SectionId.TYPE: _decode_types,
    SectionId.IMPORT: _decode_imports,
    SectionId.FUNCTION: _decode_functions,
    SectionId.TABLE: _decode_tables,
    SectionId.MEMORY: _decode_memories,
    SectionId.EXPORT: _decode_exports,
    SectionId.START: _decode_start,
    SectionId.DATA_COUNT: _decode_data_count,
    SectionId.CODE: _decode_code,
    SectionId.DATA: _decode_data,
}


def _check_counts(module: Module) -> None:
    defined = len(module.function_typeidxs) - len(module.host_functions)
    if defined != len(module.bodies):
        raise DecodeError(
            DecodeCode.COUNT_MISMATCH,
            f"expected {defined} function bodies, got {len(module.bodies)}",
            offset=len(module.data),
        )
