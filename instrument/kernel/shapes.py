"""How the walk steps over the immediates of each opcode, from the opcode table: `Shape` in walk.c."""

from __future__ import annotations

from wasmtrace.instrument.opcodes import OPCODES, Immediate, Opcode

_I = Immediate
_ONE_INDEX = (
    *(_I.LABELIDX, _I.FUNCIDX, _I.TYPEIDX, _I.TABLEIDX, _I.MEMIDX, _I.LOCALIDX, _I.GLOBALIDX, _I.DATAIDX, _I.ELEMIDX),
    *(_I.TAGIDX, _I.FIELDIDX, _I.U32, _I.I32, _I.I64),
)
_ORDER: tuple[tuple[Immediate, ...] | None, ...] = (
    None,
    (),
    (_I.LOCALIDX,),
    (_I.LOCALIDX, _I.LOCALIDX),
    (_I.MEMARG,),
    (_I.MEMARG, _I.LANEIDX),
    (_I.LANEIDX,),
    (_I.F32,),
    (_I.F64,),
    (_I.V128,),
    (_I.BLOCKTYPE,),
    (_I.LABELIDX_VECTOR,),
    (_I.VALTYPE_VECTOR,),
    (_I.BLOCKTYPE, _I.CATCH_VECTOR),
    (_I.HEAPTYPE,),
    (_I.CASTFLAGS, _I.LOCALIDX, _I.HEAPTYPE, _I.HEAPTYPE),
)
"""By shape, one tuple of immediates that has it."""
_SAME_AS = {
    **dict.fromkeys(_ONE_INDEX, _I.LOCALIDX),
    _I.RESERVED_BYTE: _I.LANEIDX,
    _I.LANEIDX16: _I.V128,
}
_PREFIXES = (None, 0xFB, 0xFC, 0xFD, 0xFE)
ROW = 512


def place_of(opcode: Opcode) -> int:
    """Where the opcode stands in a table of all."""
    return _PREFIXES.index(opcode.prefix) * ROW + opcode.code


def _shape_table() -> bytes:
    table = bytearray(ROW * len(_PREFIXES))
    for opcode in OPCODES:
        immediates = tuple(_SAME_AS.get(each, each) for each in opcode.immediates)
        table[place_of(opcode)] = _ORDER.index(immediates)
    return bytes(table)


SHAPE_TABLE = _shape_table()
