"""The naive way to see every call: a Python function that each function body calls at its start.

The function is in a table that the rewritten module exports, not an import: so no function index shifts. A call
through a table costs a nanosecond more than one of an import, and Python a microsecond: the difference is lost in it.
"""

from __future__ import annotations

from collections.abc import Callable

from wasmtrace.errors import UnsupportedError
from wasmtrace.instrument.assemble import Pieces, assemble
from wasmtrace.instrument.emit import i32_const
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import Module, decode
from wasmtrace.instrument.opcodes import Op
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.exports import Export
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.instrument.sections.types import I32, REF, REF_NULL, FuncType
from wasmtrace.instrument.sections.vectors import with_items_added

HOOK_TABLE = "benchmark:hook"
"""The export: a table of one function of type (i32) -> (), the index of the function that is called."""
TABLE_KIND = 1
_FUNCREF_TABLE_OF_ONE = b"\x70\x00\x01"


def _table_count(module: Module) -> int:
    own = bytes(module.payload(SectionId.TABLE))
    imported = sum(each.kind == TABLE_KIND for each in module.imports)
    return imported + (Reader(own).read_u32() if own else 0)


def _code_start(data: bytes, start: int, end: int) -> int:
    """Where a body's instructions begin, after its locals."""
    reader = Reader(data, start, end)
    for _ in range(reader.read_u32()):
        reader.read_u32()
        if reader.read_byte() in (REF, REF_NULL):
            reader.read_u32()  # a heap type: one LEB128 number, signed, but as long
    return reader.position


def _hooked_body(data: bytes, start: int, end: int, hook: bytes) -> bytes:
    code = _code_start(data, start, end)
    return encode_u32(end - start + len(hook)) + data[start:code] + hook + data[code:end]


def _always(pieces: Pieces) -> Callable[[], Pieces]:
    return lambda: pieces


def with_hooks(wasm: bytes) -> bytes:
    """The module whose bodies call the hook. Raises `UnsupportedError` for one with a start function: it would run
    before the hook can be set."""
    module = decode(wasm)
    if module.start is not None:
        raise UnsupportedError("it has a start function, which runs before the hook can be set")
    typeidx, tableidx = len(module.types), _table_count(module)
    call = i32_const(0) + bytes([Op.CALL_INDIRECT]) + encode_u32(typeidx) + encode_u32(tableidx)
    code: Pieces = [encode_u32(len(module.bodies))]
    for funcidx, (start, end) in enumerate(module.bodies, len(module.host_functions)):
        code.append(_hooked_body(wasm, start, end, i32_const(funcidx) + call))
    added = {
        SectionId.TYPE: FuncType((I32,), ()).encode(),
        SectionId.TABLE: _FUNCREF_TABLE_OF_ONE,
        SectionId.EXPORT: Export(HOOK_TABLE, TABLE_KIND, tableidx).encode(),
    }
    payloads = {key: _always(with_items_added(module.payload(key), [item])) for key, item in added.items()}
    return assemble(module, {**payloads, SectionId.CODE: _always(code)})
