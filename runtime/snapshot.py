"""From counters to the records that exporters see. Pure: numbers and the site table in, statistics out."""

from __future__ import annotations

import heapq
from array import array
from bisect import bisect_left
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields
from itertools import compress, repeat
from operator import add, attrgetter, mul
from typing import TypeVar

from wasmtrace import layout as cells
from wasmtrace.layout import CELL_BYTES, ERRNO_COUNT
from wasmtrace.records import FunctionStats, HostCallStats, MemoryStats, OpenCall, Uninstrumented
from wasmtrace.runtime.wasi_errno import ERRNO_NAMES
from wasmtrace.sites import FunctionNames, SiteTable

T = TypeVar("T")
NO_LIMIT = 0x7FFF_FFFF_FFFF_FFFF


@dataclass(frozen=True, slots=True)
class Counters:
    """One reading of an instance's counters, and what the host itself has kept."""

    calls: array[int]
    slow_calls: array[int]
    slow_us: array[int]
    grows: Sequence[tuple[int, int]]
    errnos: Mapping[int, array[int]]
    """By ordinal of the import that returns them."""
    memory_pages: Sequence[tuple[int, int]]
    slowest_us: array[int]
    fuel: list[int] | None
    """By funcidx; None if it is not counted."""
    self_ns: Mapping[int, int]


def no_counters(sites: SiteTable) -> Counters:
    """What is known before the instance is there."""
    zeros = array("Q", bytes(CELL_BYTES * sites.function_count))
    none = array("Q", bytes(CELL_BYTES * ERRNO_COUNT))
    return Counters(
        zeros,
        zeros,
        zeros,
        [(0, 0)] * len(sites.grow_sites),
        dict.fromkeys(range(sites.layout.errno_import_count), none),
        [(memory.min_pages, NO_LIMIT) for memory in sites.memories],
        zeros,
        [0] * sites.function_count if sites.fuel_per_call else None,
        {},
    )


def function_stats(
    sites: SiteTable, names: FunctionNames, counters: Counters, top: int | None
) -> tuple[FunctionStats, ...]:
    """The functions of the guest that were called, by index; with `top`, only those called most."""
    indices = _called(counters.calls, len(sites.host_functions), top)
    found = list(map(names.__getitem__, indices))
    grown = _growth_by_function(sites, counters.grows)
    columns: dict[str, Iterable[object]] = {
        "index": indices,
        "name": map(attrgetter("name"), found),
        "raw_name": map(attrgetter("raw_name"), found),
        "calls": map(counters.calls.__getitem__, indices),
        "slow_calls": map(counters.slow_calls.__getitem__, indices),
        "slow_seconds": _seconds(counters.slow_us, indices),
        "slowest_seconds": _seconds(counters.slowest_us, indices),
        "fuel": repeat(None) if counters.fuel is None else map(counters.fuel.__getitem__, indices),
        "self_seconds": _spread(indices, {index: ns / 1e9 for index, ns in counters.self_ns.items()}, 0.0),
        "grown_pages": _spread(indices, {index: pages for index, (pages, _) in grown.items()}, 0),
        "failed_grows": _spread(indices, {index: failed for index, (_, failed) in grown.items()}, 0),
    }
    return _filled(len(indices), columns)


def fuel_by_function(sites: SiteTable, calls: array[int], cells: array[int], uncounted: Mapping[int, int]) -> list[int]:
    """Fuel by funcidx, from what is counted for each call, what the guest counted, and what calls that never returned
    had not counted, or too much of."""
    fuel = list(map(add, map(mul, calls, sites.fuel_per_call), cells))
    for funcidx, more in uncounted.items():
        fuel[funcidx] = max(0, fuel[funcidx] + more)
    return fuel


def _filled(count: int, columns: Mapping[str, Iterable[object]]) -> tuple[FunctionStats, ...]:
    """So many records, filled column by column; a field without a column has its default.

    The loops are C's: 46,000 records in a third of the time that their constructor takes.
    """
    made = tuple(map(object.__new__, repeat(FunctionStats, count)))
    for field in fields(FunctionStats):
        column = columns.get(field.name, repeat(field.default))
        deque(map(getattr(FunctionStats, field.name).__set__, made, column), maxlen=0)
    return made


def _seconds(microseconds: array[int], indices: Iterable[int]) -> list[float]:
    return [each / 1e6 if each else 0.0 for each in map(microseconds.__getitem__, indices)]


def _spread(indices: Sequence[int], values: Mapping[int, T], default: T) -> list[T]:
    """The value of each index, of which few have one. `indices` are sorted."""
    column = [default] * len(indices)
    for index, value in values.items():
        place = bisect_left(indices, index)
        if place < len(indices) and indices[place] == index:
            column[place] = value
    return column


def _called(calls: array[int], first: int, top: int | None) -> list[int]:
    called = list(compress(range(first, len(calls)), calls[first:]))
    if top is None or len(called) <= top:
        return called
    return sorted(heapq.nlargest(top, called, key=calls.__getitem__))


def _growth_by_function(sites: SiteTable, grows: Sequence[tuple[int, int]]) -> dict[int, tuple[int, int]]:
    grown: dict[int, tuple[int, int]] = {}
    for site, (pages, failed) in zip(sites.grow_sites, grows, strict=True):
        if pages or failed:
            before = grown.get(site.funcidx, (0, 0))
            grown[site.funcidx] = (before[0] + pages, before[1] + failed)
    return grown


def host_call_stats(sites: SiteTable, counters: Counters) -> tuple[HostCallStats, ...]:
    """The imports that were called, by index."""
    stats = []
    for index, host in enumerate(sites.host_functions):
        if not counters.calls[index]:
            continue
        errors: dict[str, int] = {}
        if host.errno_ordinal is not None:
            returned = counters.errnos[host.errno_ordinal]
            errors = {ERRNO_NAMES[errno]: count for errno, count in enumerate(returned) if count and errno}
        stats.append(
            HostCallStats(
                index,
                host.module,
                host.name,
                counters.calls[index],
                counters.slow_calls[index],
                counters.slow_us[index] / 1e6,
                counters.slowest_us[index] / 1e6,
                counters.self_ns.get(index, 0) / 1e9,
                errors,
            )
        )
    return tuple(stats)


def memory_stats(sites: SiteTable, counters: Counters) -> tuple[MemoryStats, ...]:
    """Every memory of the guest. Memories never shrink, so the present size is the peak."""
    return tuple(
        MemoryStats(index, pages, pages, memory.page_bytes, None if limit == NO_LIMIT else limit)
        for index, (memory, (pages, limit)) in enumerate(zip(sites.memories, counters.memory_pages, strict=True))
    )


def open_calls(sites: SiteTable, names: FunctionNames, frames: Sequence[int], now_us: int) -> tuple[OpenCall, ...]:
    """The frames as calls, outermost first; a frame that names no function is left out."""
    calls = []
    hosts = len(sites.host_functions)
    for frame in frames:
        funcidx, start_us = cells.funcidx_of(frame), cells.time_us_of(frame)
        if funcidx < sites.function_count:
            open_us = max(0, now_us - start_us)
            calls.append(OpenCall(names[funcidx], funcidx < hosts, start_us, open_us / 1e6))
    return tuple(calls)


def frames_around(stack: Sequence[int], frames: Sequence[int]) -> list[int]:
    """The function indices of the frames around an engine's stack, innermost first.

    The engine tells of its innermost 20 calls only. `stack` is what it told, innermost first; `frames` are those of
    the shadow stack, outermost first, which lacks functions without a frame.
    """
    around = [cells.funcidx_of(frame) for frame in reversed(frames)]
    place = 0
    for funcidx in stack:
        if place < len(around) and around[place] == funcidx:
            place += 1
    return around[place:] if place else []


def uninstrumented(sites: SiteTable, names: FunctionNames) -> tuple[Uninstrumented, ...]:
    """What carries no probe, or not all of them, with names."""
    return tuple(
        Uninstrumented(each.funcidx, "" if each.funcidx is None else names[each.funcidx].name, each.reason)
        for each in sites.skipped
    )
