"""What a rewriting adds to a module: types, functions and cells, each after the existing ones of its index
space.

The only place where new indices are given out: no old index ever shifts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from wasmtrace.errors import UnsupportedError
from wasmtrace.instrument.emit import MemoryOps
from wasmtrace.instrument.kernel.exchange import Findings
from wasmtrace.instrument.kernel.host import Kernel
from wasmtrace.instrument.leb128 import encode_u32
from wasmtrace.instrument.module import Module
from wasmtrace.instrument.options import Options
from wasmtrace.instrument.sections.types import FuncType
from wasmtrace.layout import GrowSite, Layout
from wasmtrace.sites import EventSite, Skipped

MAX_TYPES = 1_000_000
"""Limit of the engine (wasmparser's `limits.rs`)."""


@dataclass(frozen=True, slots=True)
class AddedFunction:
    """`code` is what stands between the locals and the final `end`; `locals` are value types after the
    parameters."""

    typeidx: int
    locals: tuple[bytes, ...]
    code: bytes

    def encode(self) -> bytes:
        groups = b"".join(b"\x01" + each for each in self.locals)
        body = encode_u32(len(self.locals)) + groups + self.code + b"\x0b"
        return encode_u32(len(body)) + body


@dataclass(slots=True)
class Plan:
    """The state of one rewriting, shared by the probes."""

    module: Module
    options: Options
    layout: Layout
    """Areas that come before the grow cells are fixed; later ones are known when the code has been walked."""
    memory: MemoryOps
    kernel: Kernel
    """The walk."""
    findings: Findings
    """Of its first pass."""
    framed: Callable[[int], bool]
    """Whether a function that can be slow gets a frame: the user's globs."""
    events: Mapping[int, EventSite]
    """By funcidx: the functions whose calls are events."""
    unmatched_events: tuple[str, ...] = ()
    traced: frozenset[int] = frozenset()
    """Functions, imports too, each of whose calls becomes a record."""
    unmatched_traced: tuple[str, ...] = ()
    new_types: list[FuncType] = field(default_factory=list)
    new_functions: list[AddedFunction] = field(default_factory=list)
    grow_sites: list[GrowSite] = field(default_factory=list)
    skipped: list[Skipped] = field(default_factory=list)
    framed_count: int = 0
    fuel_per_call: tuple[int, ...] = ()
    """By funcidx: the fuel of each call that its cell does not count."""
    _typeidxs: dict[FuncType, int] = field(default_factory=dict)

    def typeidx(self, functype: FuncType) -> int:
        """The index of a type of our own, the same for the same type. Raises UnsupportedError."""
        if functype not in self._typeidxs:
            typeidx = len(self.module.types) + len(self.new_types)
            if typeidx >= MAX_TYPES:
                raise UnsupportedError(f"expected at most {MAX_TYPES} types with those added, got more")
            self._typeidxs[functype] = typeidx
            self.new_types.append(functype)
        return self._typeidxs[functype]

    def add_function(self, functype: FuncType, code: bytes, locals: Iterable[bytes] = ()) -> int:
        """Appends a function of a type of our own; gives its funcidx."""
        return self.add_function_of(self.typeidx(functype), code, locals)

    def add_function_of(self, typeidx: int, code: bytes, locals: Iterable[bytes] = ()) -> int:
        funcidx = len(self.module.function_typeidxs) + len(self.new_functions)
        self.new_functions.append(AddedFunction(typeidx, tuple(locals), code))
        return funcidx
