"""Which proposals a module uses, by what stands in it, not by what its toolchain says.

One pass over the code: each proposal's opcodes are stops until the first of them has been seen.
"""

from __future__ import annotations

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.module import Module
from wasmtrace.instrument.opcodes import OPCODES, Opcode
from wasmtrace.instrument.scan import Scanner, read_index, stop_code
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.instrument.sections.limits import DEFAULT_PAGE_BYTES_LOG2

MVP = "mvp"


def features_used(module: Module) -> list[str]:
    """Names of proposals, sorted; `mvp` is not among them."""
    return sorted(_of_sections(module) | _of_code(module))


def _of_sections(module: Module) -> set[str]:
    types = [each for each in module.types if each is not None]
    memories = module.memories
    signs = {
        "multi-value": any(len(each.results) > 1 for each in types),
        "gc": any(each is None for each in module.types),
        "multi-memory": len(memories) > 1,
        "memory64": any(each.is_64 for each in memories),
        "threads": any(each.shared for each in memories),
        "custom-page-sizes": any(each.page_bytes_log2 != DEFAULT_PAGE_BYTES_LOG2 for each in memories),
        "exceptions": module.section(SectionId.TAG) is not None,
        "bulk-memory": module.data_count is not None,
    }
    return {name for name, present in signs.items() if present}


def _of_code(module: Module) -> set[str]:
    by_code: dict[int, Opcode] = {stop_code(each): each for each in OPCODES}
    left = {each.proposal for each in OPCODES} - {MVP}
    found: set[str] = set()

    def scanner() -> Scanner:
        return Scanner([each.mnemonic for each in OPCODES if each.proposal in left])

    scan = scanner()
    data = module.data
    for start, end in module.bodies:
        position = _code_start(data, start, end)
        while (stop := scan.next(data, position, end)) is not None:
            _, position, code = stop
            proposal = by_code[code].proposal
            if proposal in left:
                found.add(proposal)
                left.discard(proposal)
                scan = scanner()
        if not left:
            break
    return found


def _code_start(data: bytes, start: int, end: int) -> int:
    groups, position = read_index(data, start, end)
    for _ in range(groups):
        position = read_index(data, position, end)[1]
        if position >= end:
            raise DecodeError(DecodeCode.UNEXPECTED_END, "expected a value type, got the end", offset=end)
        position = read_index(data, position + (data[position] in (0x63, 0x64)), end)[1]
    return position
