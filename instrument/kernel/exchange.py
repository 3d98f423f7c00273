"""What goes in and out of the walk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

Span = tuple[int, int]


class Segment(NamedTuple):
    """A piece of a new body. Copied bytes have their places one by one, code of a probe has one for all."""

    new_offset: int
    """From the new body's first byte after its size."""
    length: int
    old_offset: int
    """In the old module."""
    copied: bool


@dataclass(frozen=True)
class Inputs:
    """What the walk must know of a module."""

    data: bytes
    bodies: Sequence[Span]
    typeidxs: Sequence[int]
    """By funcidx; each names a function type."""
    types: Sequence[tuple[int, int]]
    """Numbers of parameters and results by typeidx; zeros for other types than functions."""
    host_count: int
    memory_is_64: Sequence[bool]
    table_is_64: Sequence[bool]
    exceptions: bool
    """Whether a call may end by an exception."""
    fuel: bool


@dataclass(frozen=True)
class Templates:
    """What the walk puts in; see `wasmtrace.instrument.template`. Empty code stands for nothing."""

    enter: Sequence[bytes]
    """By `BodyClass`, as the next two."""
    leave: Sequence[bytes]
    land: Sequence[bytes]
    class_locals: Sequence[int]
    add: bytes
    add_before: bytes
    add_after: bytes
    block_types: Mapping[int, bytes]
    """By typeidx of a function: the type of a block with its results."""
    own_code: Mapping[int, bytes]
    """By funcidx."""
    host_calls: Sequence[bytes]
    host_tail_calls: Sequence[bytes]
    growers: Sequence[bytes]
    flags: bytes
    detour_type: int
    """typeidx of [i32] -> []; wanted only if fuel is counted."""
    calls_offset: int
    fuel_offset: int


class WalkError(Exception):
    """A body that is not well-formed: which, and where in the module."""

    def __init__(self, ordinal: int, offset: int) -> None:
        super().__init__(f"body {ordinal} at {offset:#x}")
        self.ordinal = ordinal
        self.offset = offset


@dataclass(frozen=True)
class Findings:
    """What the first pass found of the whole module."""

    may_take_long: bytes
    """By funcidx: 1 for a function whose calls do not all end in bounded time, else 0."""
    tail_called: frozenset[int]
    """Imports that some function calls in tail position."""
    grow_sites: Sequence[tuple[int, int]]
    """Function and memory of each place of growth."""
