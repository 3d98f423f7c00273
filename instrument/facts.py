"""What `inspect` tells of a module, as plain data."""

from __future__ import annotations

from typing import Any

from wasmtrace.instrument.features import features_used
from wasmtrace.instrument.module import Module, decode
from wasmtrace.instrument.names import ModuleNames
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.instrument.sections.imports import KIND_NAMES
from wasmtrace.instrument.sections.producers import decode_producers, decode_target_features


def module_facts(wasm: bytes) -> dict[str, Any]:
    """Facts by name, ready for JSON. Raises DecodeError, UnsupportedError."""
    module = decode(wasm)
    names = ModuleNames(module)
    code = module.section(SectionId.CODE)
    imported = len(module.host_functions)
    return {
        "kind": _kind(module),
        "functions": {
            "defined": len(module.bodies),
            "imported": imported,
            "named": names.own_count,
        },
        "code_bytes": 0 if code is None else code.end - code.start,
        "start": None if module.start is None else names[module.start].name,
        "features": features_used(module),
        "producers": _producers(module),
        "target_features": _target_features(module),
        "memories": [
            {
                "index": index,
                "imported": index < module.imported_memory_count,
                "min_pages": each.min_pages,
                "max_pages": each.max_pages,
                "page_bytes": each.page_bytes,
                "shared": each.shared,
                "64-bit": each.is_64,
            }
            for index, each in enumerate(module.memories)
        ],
        "imports": [
            {"module": each.module, "name": each.name, "kind": KIND_NAMES[each.kind]} for each in module.imports
        ],
        "exports": [{"name": each.name, "kind": KIND_NAMES[each.kind]} for each in module.exports],
        "custom": [
            {"name": each.name, "size_bytes": each.end - each.start}
            for each in module.sections
            if each.name is not None
        ],
    }


def _kind(module: Module) -> str:
    exported = {each.name for each in module.exports}
    wasi = any(each.module.startswith("wasi_") for each in module.imports)
    if "_start" in exported:
        return "WASI command" if wasi else "command without WASI"
    if "_initialize" in exported:
        return "WASI reactor" if wasi else "reactor without WASI"
    return "WASI library" if wasi else "core module"


def _reader(module: Module, name: str) -> Reader | None:
    section = module.custom(name)
    return None if section is None else Reader(module.data, section.start, section.end)


def _producers(module: Module) -> dict[str, list[str]]:
    reader = _reader(module, "producers")
    return {} if reader is None else decode_producers(reader)


def _target_features(module: Module) -> list[str]:
    reader = _reader(module, "target_features")
    return [] if reader is None else decode_target_features(reader)
