"""The site table: what each cell of one module's telemetry memory counts.

Made by the rewriter, read by the runtime, kept in the cache and written by `wasmtrace instrument` as JSON. It holds
no function names: they are many, and are looked up in the module only when somebody looks (`FunctionNames`).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Protocol

from wasmtrace.layout import VERSION, GrowSite, Layout
from wasmtrace.records import FunctionName

_TO_DIGITS = bytes.maketrans(b"\0\1", b"01")
_FROM_DIGITS = bytes.maketrans(b"01", b"\0\1")


@dataclass(frozen=True, slots=True)
class HostFunction:
    """An imported function; its index is its place in `SiteTable.host_functions`, and its call counter's too."""

    module: str
    name: str
    errno_ordinal: int | None
    """Which block of errno cells counts its results, None if it returns no WASI errno."""


@dataclass(frozen=True, slots=True)
class GuestMemory:
    """A memory of the module as it came; its index is its place in `SiteTable.memories`."""

    imported: bool
    min_pages: int
    max_pages: int | None
    page_bytes: int


@dataclass(frozen=True, slots=True)
class EventSite:
    """A function each of whose calls is an event. `kinds` has a letter for each argument that is recorded: `i` is an
    i32, `l` an i64, `f` an f32, `d` an f64; `left_out` counts the other parameters."""

    funcidx: int
    kinds: str
    left_out: int


@dataclass(frozen=True, slots=True)
class Skipped:
    """What carries no probe, or not all; `funcidx` is None where it is about the module as a whole."""

    funcidx: int | None
    reason: str


@dataclass(frozen=True, slots=True)
class SiteTable:
    """Cells, host functions, memories and gaps of one rewritten module."""

    level: str
    layout: Layout
    telemetry_export: str
    host_functions: tuple[HostFunction, ...]
    memories: tuple[GuestMemory, ...]
    grow_sites: tuple[GrowSite, ...]
    framed_functions: int
    """How many functions of the guest have a frame on the shadow stack, and so are timed."""
    skipped: tuple[Skipped, ...]
    events: tuple[EventSite, ...] = ()
    """By funcidx."""
    unmatched_events: tuple[str, ...] = ()
    """Globs for events that match no function."""
    traced: tuple[int, ...] = ()
    """Functions, imports too, each of whose calls becomes a record, by index."""
    unmatched_traced: tuple[str, ...] = ()
    """Globs for these that match no function."""
    fuel_per_call: tuple[int, ...] = ()
    """By funcidx, imports first: the fuel of each call that the function's cell does not count. Empty if no fuel is
    counted."""
    may_take_long: bytes = b""
    """By funcidx: 1 for a function whose calls do not all end in bounded time, else 0. This and the next spare the
    rewriter another look at all bodies when it is asked about places in one."""
    tail_called: tuple[int, ...] = ()
    """Imports that some function calls in tail position."""

    @property
    def function_count(self) -> int:
        return self.layout.function_count

    def as_json(self) -> dict[str, Any]:
        return {
            "layout_version": VERSION,
            "level": self.level,
            "layout": self.layout.as_json(),
            "telemetry_export": self.telemetry_export,
            "host_functions": [asdict(each) for each in self.host_functions],
            "memories": [asdict(each) for each in self.memories],
            "grow_sites": [asdict(each) for each in self.grow_sites],
            "framed_functions": self.framed_functions,
            "skipped": [asdict(each) for each in self.skipped],
            "events": [asdict(each) for each in self.events],
            "unmatched_events": list(self.unmatched_events),
            "traced": list(self.traced),
            "unmatched_traced": list(self.unmatched_traced),
            "fuel_per_call": list(self.fuel_per_call),
            "may_take_long": self.may_take_long.translate(_TO_DIGITS).decode("ascii"),
            "tail_called": list(self.tail_called),
        }

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> SiteTable:
        """The table that `as_json` gave. Raises `KeyError`, `TypeError` or `ValueError` for anything else."""
        if value["layout_version"] != VERSION:
            raise ValueError(f"expected layout version {VERSION}, got {value['layout_version']}")
        return cls(
            level=str(value["level"]),
            layout=Layout.from_json(value["layout"]),
            telemetry_export=str(value["telemetry_export"]),
            host_functions=tuple(HostFunction(**each) for each in value["host_functions"]),
            memories=tuple(GuestMemory(**each) for each in value["memories"]),
            grow_sites=tuple(GrowSite(**each) for each in value["grow_sites"]),
            framed_functions=int(value["framed_functions"]),
            skipped=tuple(Skipped(**each) for each in value["skipped"]),
            events=tuple(EventSite(**each) for each in value["events"]),
            unmatched_events=tuple(map(str, value["unmatched_events"])),
            traced=tuple(map(int, value["traced"])),
            unmatched_traced=tuple(map(str, value["unmatched_traced"])),
            fuel_per_call=tuple(map(int, value["fuel_per_call"])),
            may_take_long=value["may_take_long"].encode("ascii").translate(_FROM_DIGITS),
            tail_called=tuple(map(int, value["tail_called"])),
        )


class FunctionNames(Protocol):
    """Names of the functions of one module, imports first; never raises for an index in range."""

    def __getitem__(self, funcidx: int) -> FunctionName: ...
