"""Which proposals a module uses, by what stands in it, not by what its toolchain says."""

from __future__ import annotations

from wasmtrace.instrument.module import Module
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.instrument.sections.limits import DEFAULT_PAGE_BYTES_LOG2
from wasmtrace.instrument.walk import kernel_for, survey

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
    kernel = kernel_for(module, fuel=False)
    survey(module, kernel)
    seen = kernel.seen_opcodes()
    return {each.proposal for each in seen} - {MVP}
