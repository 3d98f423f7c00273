"""What is observed: one module, rewritten and compiled, and how to name what is in it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol

from wasmtrace.records import ModuleInfo
from wasmtrace.sites import FunctionNames, SiteTable


class Offsets(Protocol):
    """Maps an offset in a rewritten function's body to the module as it came."""

    def __call__(self, funcidx: int, body_offset: int, /) -> int | None: ...


@dataclass(frozen=True, slots=True)
class Subject:
    """What is observed: the module, what its cells mean, and how its functions are called. Shared by its
    instances."""

    info: ModuleInfo
    sites: SiteTable
    names: Callable[[], FunctionNames]
    """Asked for only when a name is needed: a large module has many."""
    original_offset: Offsets
    uncounted_fuel: Callable[[int, int], int]
    """By function index and offset in its rewritten body: fuel of a call that stands there, that no cell has."""
    has_start: bool
    """Whether a start function runs when the module is instantiated."""
    export_indices: Callable[[], Mapping[str, int]]
    """Function indices by export name."""
    instrument_seconds: float
    instrument_cached: bool
    compile_seconds: float
    loaded_ns: int
    """When loading began, by the clock's time."""
