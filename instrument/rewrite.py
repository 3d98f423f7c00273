"""Rewrites a module: bytes in, bytes and a site table out. Pure and deterministic.

The module must have been validated as it came: else a crafted one could name the memory that is about to be
appended. Each section keeps its place; what is new goes after what is there.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from wasmtrace.errors import UnsupportedError
from wasmtrace.instrument import emit
from wasmtrace.instrument.assemble import Payloads, Pieces, assemble
from wasmtrace.instrument.kernel.exchange import Findings
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import Module, Section, decode
from wasmtrace.instrument.opcodes import Op
from wasmtrace.instrument.options import TRACE, Options
from wasmtrace.instrument.plan import Plan
from wasmtrace.instrument.probes.calls import CallsProbe
from wasmtrace.instrument.probes.events import EventsProbe
from wasmtrace.instrument.probes.frames import FramesProbe, add_slow, add_slow_with, add_traced_with
from wasmtrace.instrument.probes.fuel import FuelProbe
from wasmtrace.instrument.probes.growth import GrowthProbe
from wasmtrace.instrument.probes.host_calls import HostCallsProbe
from wasmtrace.instrument.probes.ring import add_push
from wasmtrace.instrument.reader import Reader
from wasmtrace.instrument.sections.exports import Export
from wasmtrace.instrument.sections.ids import SectionId
from wasmtrace.instrument.sections.imports import FUNC_KIND, MEMORY_KIND
from wasmtrace.instrument.sections.limits import fixed_memory
from wasmtrace.instrument.sections.references import REFERRING, decode_references
from wasmtrace.instrument.sections.vectors import with_items_added
from wasmtrace.instrument.selection import event_sites, frame_filter, traced_functions
from wasmtrace.instrument.walk import MOST_BOUNDED, Probe, Walk, kernel_for, survey
from wasmtrace.layout import EXPORT_NAME, GrowSite, Layout
from wasmtrace.sites import GuestMemory, HostFunction, SiteTable, Skipped

MAX_MEMORIES = 100
MAX_FUNCTIONS = 1_000_000
"""Limits of the engine (wasmparser's `limits.rs`)."""
MAX_IMPORT_PARAMETERS = 1_000_000
"""A wrapper repeats its type's parameters, so a few bytes of import could cost 3,000 each."""
MAX_TELEMETRY_PAGES = 0x7FFF
"""Addresses stay below 2^31: constants of type i32 are signed."""


@dataclass(frozen=True, slots=True)
class Instrumented:
    """The rewritten module, and what its cells count."""

    wasm: bytes
    sites: SiteTable


def instrument(wasm: bytes, options: Options = Options()) -> Instrumented:  # noqa: B008 (frozen)
    """The module with the probes of `options.level` in it; the same bytes for the same input.

    Raises: DecodeError, UnsupportedError.
    """
    plan, walk = _prepare(wasm, options)
    _check_function_count(plan)
    _check_pages(plan.layout.pages)
    dropped = _stale_sections(plan.module)
    made = assemble(plan.module, _new_payloads(plan, walk), frozenset(dropped))
    return Instrumented(made, _site_table(plan, dropped))


def original_offset(wasm: bytes, options: Options, funcidx: int, body_offset: int) -> int | None:
    """Where in the module as it came the instruction stands that is at `body_offset` of the rewritten body.

    `body_offset` counts from the body's first byte after its size, as wasmtime's `Frame.func_offset` does.
    Code of a probe maps to the instruction that it stands before, or in place of; that after the last one to
    the last `end`. None is for functions that are not in the module, and for an offset that is in no body:
    wasmtime gives 2^64 - 1 where it knows none, as for the innermost frame of an exhausted stack.
    """
    return Places(wasm, options).original_offset(funcidx, body_offset)


class Places:
    """Places in rewritten bodies, and what they mean in the module as it came. Any thread."""

    def __init__(self, wasm: bytes, options: Options, sites: SiteTable | None = None) -> None:
        """`sites` is what `instrument` gave with the same module and options: it saves looking at all bodies again.
        Raises as `instrument`."""
        self._plan, self._walk = _prepare(wasm, options, None if sites is None else _findings(sites))
        self._lock = threading.Lock()

    def original_offset(self, funcidx: int, body_offset: int) -> int | None:
        """As the function of this name."""
        ordinal = funcidx - len(self._plan.module.host_functions)
        if not 0 <= ordinal < len(self._plan.module.bodies):
            return None
        with self._lock:
            _, segments, _ = self._walk.rewrite(ordinal)
        for each in segments:
            if each.new_offset <= body_offset < each.new_offset + each.length:
                return each.old_offset + (body_offset - each.new_offset if each.copied else 0)
        return None

    def uncounted_fuel(self, funcidx: int, body_offset: int) -> int:
        """Fuel that a call has used and its cell does not have, less what it has too much, when the call stands at
        `body_offset` of the rewritten body; the instruction there is counted. 0 where `original_offset` is None."""
        offset = self.original_offset(funcidx, body_offset)
        if offset is None:
            return 0
        with self._lock:
            return self._walk.rewrite(funcidx - len(self._plan.module.host_functions), offset)[2]


def _check_function_count(plan: Plan) -> None:
    """Raises UnsupportedError. All functions that are added are known before the code is walked."""
    count = len(plan.module.function_typeidxs) + len(plan.new_functions)
    if count > MAX_FUNCTIONS:
        raise UnsupportedError(f"expected at most {MAX_FUNCTIONS} functions with those added, got {count}")


def _check_pages(pages: int) -> None:
    """Raises UnsupportedError."""
    if pages > MAX_TELEMETRY_PAGES:
        raise UnsupportedError(f"expected at most {MAX_TELEMETRY_PAGES} pages of telemetry memory, got {pages}")


def _check_limits(module: Module) -> None:
    """Raises UnsupportedError for more than the engine takes, or than fits where numbers have a fixed width."""
    parameters = sum(len(module.function_type(each).params) for each in range(len(module.host_functions)))
    counts = (
        ("functions", len(module.function_typeidxs), MAX_FUNCTIONS),
        ("parameters of all imports together", parameters, MAX_IMPORT_PARAMETERS),
    )
    for what, count, most in counts:
        if count > most:
            raise UnsupportedError(f"expected at most {most} {what}, got {count}")


def _findings(sites: SiteTable) -> Findings:
    grow_sites = [(each.funcidx, each.memidx) for each in sites.grow_sites]
    return Findings(sites.may_take_long, frozenset(sites.tail_called), grow_sites)


def _prepare(wasm: bytes, options: Options, findings: Findings | None = None) -> tuple[Plan, Walk]:
    module = decode(wasm)
    if len(module.memories) >= MAX_MEMORIES:
        raise UnsupportedError(
            f"expected fewer than {MAX_MEMORIES} memories, got {len(module.memories)}: no room for one more"
        )
    _check_limits(module)
    events, unmatched = event_sites(module, options.events)
    layout = Layout(
        function_count=len(module.function_typeidxs),
        memory_count=len(module.memories),
        grow_site_count=0,
        errno_import_count=0,
        ring_capacity=options.ring_capacity,
        max_stack_bytes=options.max_stack_bytes if options.level == TRACE else 0,
        event_capacity=options.event_capacity if events else 0,
    )
    memory = emit.MemoryOps(len(module.memories))
    # What the user names is timed, and so is every call if each is slow enough.
    every = bool(options.include) or not options.slow_threshold_us
    kernel = kernel_for(module, fuel=options.fuel)
    if findings is None:
        findings = survey(module, kernel, most_bounded=0 if every else MOST_BOUNDED)
    else:
        kernel.restore(findings)
    plan = Plan(module, options, layout, memory, kernel, findings, frame_filter(module, options), events, unmatched)
    plan.traced, plan.unmatched_traced = traced_functions(module, options.trace_functions)
    plan.grow_sites += [GrowSite(*each) for each in findings.grow_sites]
    ordinals = HostCallsProbe.errno_ordinals(plan)
    errno_count = sum(each is not None for each in ordinals)
    plan.layout = replace(layout, errno_import_count=errno_count, grow_site_count=len(plan.grow_sites))
    return plan, Walk(plan, _probes(plan))


def _probes(plan: Plan) -> list[Probe]:
    push = add_push(plan)
    events = EventsProbe(plan)
    probes: list[Probe] = [CallsProbe(plan), events]
    slow_with = traced_with = None
    if plan.options.level == TRACE:
        slow_with = add_slow_with(plan, push)
        traced_with = add_traced_with(plan, push, slow_with) if plan.traced else None
        probes.append(FramesProbe(plan, add_slow(plan, slow_with), traced_with))
    probes += [HostCallsProbe(plan, events, slow_with, traced_with), GrowthProbe(plan, push)]
    if plan.options.fuel:
        probes.append(FuelProbe(plan))
    return probes


def _stale_sections(module: Module) -> list[Section]:
    """Custom sections that hold offsets of code, which no longer hold."""
    return [each for each in module.sections if each.name is not None and _is_stale(each.name)]


def _is_stale(name: str) -> bool:
    return name.startswith((".debug_", "reloc.", "metadata.code.")) or name in (
        "linking",
        "sourceMappingURL",
        "external_debug_info",
    )


def _telemetry_export(module: Module) -> str:
    """A name that the module does not export itself."""
    taken = {each.name for each in module.exports}
    name, suffix = EXPORT_NAME, 0
    while name in taken:
        suffix += 1
        name = f"{EXPORT_NAME}.{suffix}"
    return name


def _site_table(plan: Plan, dropped: list[Section]) -> SiteTable:
    module = plan.module
    ordinals = HostCallsProbe.errno_ordinals(plan)
    hosts = tuple(
        HostFunction(each.module, each.name, ordinal)
        for each, ordinal in zip(module.host_functions, ordinals, strict=True)
    )
    if dropped:
        names = ", ".join(dict.fromkeys(each.name or "" for each in dropped))
        plan.skipped.append(Skipped(None, f"left out of the module that runs, as code has moved: {names}"))
    plan.skipped += _bypassed(module)
    return SiteTable(
        level=plan.options.level,
        layout=plan.layout,
        telemetry_export=_telemetry_export(module),
        host_functions=hosts,
        memories=_memories(module),
        grow_sites=tuple(plan.grow_sites),
        framed_functions=plan.framed_count,
        skipped=tuple(plan.skipped),
        events=tuple(plan.events.values()),
        unmatched_events=plan.unmatched_events,
        traced=tuple(sorted(plan.traced)),
        unmatched_traced=plan.unmatched_traced,
        fuel_per_call=plan.fuel_per_call,
        may_take_long=plan.findings.may_take_long,
        tail_called=tuple(sorted(plan.findings.tail_called)),
    )


def _memories(module: Module) -> tuple[GuestMemory, ...]:
    imported = module.imported_memory_count
    return tuple(
        GuestMemory(memidx < imported, each.min_pages, each.max_pages, each.page_bytes)
        for memidx, each in enumerate(module.memories)
    )


def _bypassed(module: Module) -> list[Skipped]:
    """Imports that can be reached past their wrapper."""
    host_count = len(module.host_functions)
    exported = sorted({each.index for each in module.exports if each.kind == FUNC_KIND and each.index < host_count})
    skipped = [Skipped(index, "also exported: calls from outside are not counted") for index in exported]
    skipped += [
        Skipped(index, "also in a table or taken by reference: calls through that are not counted")
        for index in _referenced(module, host_count)
    ]
    if module.start is not None and module.start < host_count:
        skipped.append(Skipped(module.start, "also the start function: that call is not counted"))
    return skipped


def _referenced(module: Module, host_count: int) -> list[int]:
    found: set[int] = set()
    for each in module.sections if host_count else ():
        if each.id in REFERRING:
            found |= decode_references(each.id, Reader(module.data, each.start, each.end))
    return sorted(index for index in found if index < host_count)


def _new_code(plan: Plan, walk: Walk) -> Iterator[bytes]:
    yield encode_u32(len(plan.module.bodies) + len(plan.new_functions))
    yield from walk.rewrite_all()
    for each in plan.new_functions:
        yield each.encode()


def _new_payloads(plan: Plan, walk: Walk) -> Payloads:
    """Sections with what is added to them; each is made when its turn comes."""
    module = plan.module
    layout = plan.layout

    def added(section: SectionId, items: list[bytes]) -> Callable[[], Pieces]:
        return lambda: with_items_added(module.payload(section), items)

    image = layout.initial_bytes(
        tuple(0 if each.imported else each.min_pages for each in _memories(module)),
        plan.options.slow_threshold_us,
    )
    telemetry = len(module.memories)
    where = encode_u32(telemetry) + emit.i32_const(0) + emit.op(Op.END)
    export = Export(_telemetry_export(module), MEMORY_KIND, telemetry)
    payloads: dict[SectionId, Callable[[], Pieces | Iterator[bytes]]] = {
        SectionId.TYPE: added(SectionId.TYPE, [each.encode() for each in plan.new_types]),
        SectionId.FUNCTION: added(SectionId.FUNCTION, [encode_u32(each.typeidx) for each in plan.new_functions]),
        SectionId.MEMORY: added(SectionId.MEMORY, [fixed_memory(layout.pages)]),
        SectionId.EXPORT: added(SectionId.EXPORT, [export.encode()]),
        SectionId.CODE: lambda: _new_code(plan, walk),
        SectionId.DATA: added(SectionId.DATA, [b"\x02" + where + encode_u32(len(image)) + image]),
    }
    if module.data_count is not None:
        payloads[SectionId.DATA_COUNT] = lambda: [encode_u32((module.data_count or 0) + 1)]
    return payloads
