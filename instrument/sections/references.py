"""Functions that a module takes by reference: the element section, and initial values of tables and globals.

A body may use `ref.func` only for functions that stand in one of these or are exported, so bodies need no
look.

Spec: binary/modules.html#element-section, binary/modules.html#table-section,
binary/modules.html#global-section
"""

from __future__ import annotations

from collections.abc import Callable

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.instructions import decode_instruction
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.instrument.sections.limits import read_limits
from wasmtrace.instrument.sections.types import read_valtype
from wasmtrace.instrument.sections.vectors import expect_end, read_count, read_list

_NOT_ACTIVE, _HAS_INDEX_OR_DECLARED, _EXPRESSIONS = 1, 2, 4
_MOST_FLAGS = 7
_TABLE_WITH_VALUE = 0x40


def _read_expression(reader: Reader) -> list[int]:
    """The functions of `ref.func` in a constant expression, which has no blocks."""
    found: list[int] = []
    while (instruction := decode_instruction(reader)).opcode.mnemonic != "end":
        if instruction.opcode.mnemonic == "ref.func":
            (funcidx,) = instruction.immediates
            assert isinstance(funcidx, int)
            found.append(funcidx)
    return found


def _read_element(reader: Reader) -> list[int]:
    offset = reader.position
    flags = reader.read_u32()
    if flags > _MOST_FLAGS:
        raise DecodeError(DecodeCode.BAD_FLAGS, f"expected element flags 0 to 7, got {flags}", offset=offset)
    found: list[int] = []
    if not flags & _NOT_ACTIVE:
        if flags & _HAS_INDEX_OR_DECLARED:
            reader.read_u32()
        found += _read_expression(reader)
    if flags & (_NOT_ACTIVE | _HAS_INDEX_OR_DECLARED):
        if flags & _EXPRESSIONS:
            read_valtype(reader)
        else:
            reader.read_byte()
    if not flags & _EXPRESSIONS:
        return found + [reader.read_u32() for _ in range(read_count(reader))]
    for _ in range(read_count(reader)):
        found += _read_expression(reader)
    return found


def _read_table(reader: Reader) -> list[int]:
    with_value = reader.position < reader.end and reader.data[reader.position] == _TABLE_WITH_VALUE
    if with_value:
        reader.read_bytes(2)
    read_valtype(reader)
    read_limits(reader)
    return _read_expression(reader) if with_value else []


def _read_global(reader: Reader) -> list[int]:
    read_valtype(reader)
    reader.read_byte()
    return _read_expression(reader)


REFERRING: dict[SectionId, Callable[[Reader], list[int]]] = {
    SectionId.TABLE: _read_table,
    SectionId.GLOBAL: _read_global,
    SectionId.ELEMENT: _read_element,
}
"""Sections that may name functions, and how one item of each is read."""


def decode_references(section: SectionId, reader: Reader) -> set[int]:
    """The functions that a section of `REFERRING` names."""
    try:
        found = {funcidx for item in read_list(reader, REFERRING[section], least_item_bytes=2) for funcidx in item}
        expect_end(reader)
    except DecodeError as error:
        error.section = error.section or section.name.lower()
        raise
    return found
