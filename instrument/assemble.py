"""Puts a module together again: sections that nobody changed are copied byte for byte.

A new section stands where the specification's order wants it; custom sections keep their neighbours.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping, Set

from wasmtrace.instrument.leb128 import encode_u32, encode_u32_padded
from wasmtrace.instrument.module import MAGIC, VERSION, Module, Section
from wasmtrace.instrument.sections.ids import PLACE, SectionId

Pieces = list[bytes | memoryview]
Payloads = Mapping[SectionId, Callable[[], Pieces | Iterator[bytes]]]
"""New payloads, in pieces, of sections that are there and of some that are not. Pieces of an iterator are written as
they come, so that they need not all be there at once."""
_PADDED_SIZE_BYTES = 5


def assemble(module: Module, payloads: Payloads, dropped: Set[Section] = frozenset()) -> bytes:
    """The module with other payloads and without the `dropped` sections; with neither, the same bytes."""
    old_places = {PLACE[each.id] for each in module.sections if each.id is not SectionId.CUSTOM}
    pending = sorted((each for each in payloads if PLACE[each] not in old_places), key=PLACE.__getitem__)
    # Of all ways to collect bytes, the only one whose result is not a copy.
    out = io.BytesIO()
    out.write(MAGIC + VERSION)

    def put(section: SectionId) -> None:
        pieces = payloads[section]()
        out.write(bytes([section]))
        if isinstance(pieces, list):
            out.write(encode_u32(sum(map(len, pieces))))
            out.writelines(pieces)
            return
        place = out.tell()
        out.write(bytes(_PADDED_SIZE_BYTES))
        out.writelines(pieces)
        end = out.tell()
        out.seek(place)
        out.write(encode_u32_padded(end - place - _PADDED_SIZE_BYTES, _PADDED_SIZE_BYTES))
        out.seek(end)

    for section in module.sections:
        if section.id is not SectionId.CUSTOM:
            while pending and PLACE[pending[0]] < PLACE[section.id]:
                put(pending.pop(0))
        if section.id in payloads:
            put(section.id)
        elif section not in dropped:
            out.write(memoryview(module.data)[section.header_offset : section.end])
    for each in pending:
        put(each)
    return out.getvalue()
