"""The table section: which tables have 64-bit indices.

Spec: binary/modules.html#table-section
"""

from __future__ import annotations

from wasmtrace.instrument.instructions import decode_instruction
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.limits import IS_64, read_limits
from wasmtrace.instrument.sections.types import read_valtype
from wasmtrace.instrument.sections.vectors import expect_end, read_list

_HAS_INITIALIZER = 0x40


def _read_table(reader: Reader) -> bool:
    has_initializer = reader.position < reader.end and reader.data[reader.position] == _HAS_INITIALIZER
    if has_initializer:
        reader.read_bytes(2)
    read_valtype(reader)
    flags, _, _ = read_limits(reader)
    while has_initializer and decode_instruction(reader).opcode.mnemonic != "end":
        pass
    return bool(flags & IS_64)


def decode_tables(reader: Reader) -> list[bool]:
    """Whether each table that is not imported has indices of type i64."""
    tables = read_list(reader, _read_table, least_item_bytes=3)
    expect_end(reader)
    return tables
