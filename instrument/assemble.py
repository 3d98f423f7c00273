"""Puts a module together again: sections that nobody changed are copied byte for byte.

A new section stands where the specification's order wants it; custom sections keep their neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Set

from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import MAGIC, VERSION, Module, Section
from wasmtrace.instrument.sections.ids import PLACE, SectionId

Payloads = Mapping[SectionId, Callable[[], list[bytes]]]
"""New payloads, in pieces, of sections that are there and of some that are not."""


def assemble(module: Module, payloads: Payloads, dropped: Set[Section] = frozenset()) -> bytes:
    """The module with other payloads and without the `dropped` sections; with neither, the same bytes."""
    old_places = {PLACE[each.id] for each in module.sections if each.id is not SectionId.CUSTOM}
    pending = sorted((each for each in payloads if PLACE[each] not in old_places), key=PLACE.__getitem__)
    out: list[bytes] = [MAGIC, VERSION]

    def put(section: SectionId) -> None:
        pieces = payloads[section]()
        out.append(bytes([section]) + encode_u32(sum(map(len, pieces))))
        out.extend(pieces)

    for section in module.sections:
        if section.id is not SectionId.CUSTOM:
            while pending and PLACE[pending[0]] < PLACE[section.id]:
                put(pending.pop(0))
        if section.id in payloads:
            put(section.id)
        elif section not in dropped:
            out.append(module.data[section.header_offset : section.end])
    for each in pending:
        put(each)
    return b"".join(out)
