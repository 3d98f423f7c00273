"""What the hooks see: every call and its end, every growth, in the order in which they happen."""

from __future__ import annotations

import ctypes
from bisect import bisect_right
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import wasmtime
from wasmtime import _ffi as ffi

from oracle_text import FUNCTION_BITS, HOOKS_MODULE

_FUNCTION_MASK = (1 << FUNCTION_BITS) - 1
_U64_MASK = (1 << 64) - 1
_NO_FINALIZER = ctypes.cast(0, ctypes.CFUNCTYPE(None, ctypes.c_void_p))
_VALUES = ctypes.CFUNCTYPE(
    ctypes.c_size_t, ctypes.c_void_p, ctypes.c_void_p, ctypes.POINTER(ctypes.c_int64), ctypes.c_size_t
)
_RAW_VALUE_WORDS = 2
"""A raw value takes 16 bytes, of which a number up to 64 bits is the first 8."""


class Returned(NamedTuple):
    """A call of a function with a frame has returned; `depth` is how many frames lay below."""

    funcidx: int
    depth: int


class Grew(NamedTuple):
    """A `memory.grow` by some pages, or one that was refused."""

    funcidx: int
    memidx: int
    pages: int
    failed: bool


@dataclass(slots=True)
class Events:
    """All that happened. `framed` is which functions are to be in `open_frames` and `happened`."""

    framed: Collection[int] = frozenset()
    calls: Counter[int] = field(default_factory=Counter)
    """By what the hook was told: module number and function index."""
    grown: Counter[tuple[int, int]] = field(default_factory=Counter)
    refused: Counter[tuple[int, int]] = field(default_factory=Counter)
    happened: list[Returned | Grew] = field(default_factory=list)
    open_frames: list[int] = field(default_factory=list)
    slow_threshold_us: int = 0
    ticks_us: list[int] = field(default_factory=lambda: [0])
    """When the clock has ticked, the last time last; whoever runs the module adds to it."""
    _open: list[int] = field(default_factory=list)
    _began_us: list[int] = field(default_factory=list)
    """By open frame: the last tick before it."""
    _callbacks: list[Any] = field(default_factory=list)

    def calls_of(self, module_number: int, function_count: int) -> list[int]:
        first = module_number << FUNCTION_BITS
        return [self.calls[first + funcidx] for funcidx in range(function_count)]

    def define(self, linker: wasmtime.Linker) -> None:
        """Gives the hooks to modules that are linked by it; must live as long as they do."""
        hooks: tuple[tuple[str, Callable[[Any], None], tuple[str, ...], bool], ...] = (
            ("enter", self._enter, ("i32",), True),
            ("leave", self._leave, ("i32",), False),
            ("unwind", self._unwind, ("i32",), False),
            ("leave_by_tail_call", self._leave_by_tail_call, (), False),
            ("count", self._count, ("i32",), False),
            ("grew", self._grew, ("i32", "i32", "i64", "i64"), False),
        )
        for name, hook, params, has_result in hooks:
            types = [getattr(wasmtime.ValType, each)() for each in params]
            results = [wasmtime.ValType.i32()] if has_result else []
            self._define(linker, name, hook, wasmtime.FuncType(types, results))

    def _define(
        self, linker: wasmtime.Linker, name: str, hook: Callable[[Any], None], functype: wasmtime.FuncType
    ) -> None:
        def called(_data: object, _caller: object, values: Any, _count: int) -> int:
            hook(values)
            return 0

        callback = _VALUES(called)
        self._callbacks.append(callback)
        module, encoded = HOOKS_MODULE.encode(), name.encode()
        error = ffi.wasmtime_linker_define_func_unchecked(
            linker.ptr(),
            ctypes.create_string_buffer(module),
            len(module),
            ctypes.create_string_buffer(encoded),
            len(encoded),
            functype.ptr(),
            ctypes.cast(callback, ffi.wasmtime_func_unchecked_callback_t),
            None,
            _NO_FINALIZER,
        )
        if error:
            raise wasmtime.WasmtimeError._from_ptr(error)

    # Hooks: each finds its arguments, and leaves its result, in an array of raw values.

    def _enter(self, values: Any) -> None:
        number = values[0] & 0xFFFF_FFFF
        self.calls[number] += 1
        funcidx = number & _FUNCTION_MASK
        values[0] = len(self._open)
        self._open.append(funcidx)
        if funcidx in self.framed:
            self.open_frames.append(funcidx)
            self._began_us.append(self.ticks_us[-1])

    def forget_open(self) -> None:
        """After a trap: nothing that was open will end."""
        self._open.clear()
        self.open_frames.clear()
        self._began_us.clear()

    def _close(self) -> int | None:
        """Ends the innermost call; gives its function if that has a frame and was slow."""
        if self._open.pop() not in self.framed:
            return None
        funcidx, began_us = self.open_frames.pop(), self._began_us.pop()
        return funcidx if self._slow(began_us) else None

    def _slow(self, began_us: int) -> bool:
        """Whether some tick after it began is a threshold ago."""
        if not self.slow_threshold_us:
            return True
        slow_since = self.ticks_us[-1] - self.slow_threshold_us
        after = bisect_right(self.ticks_us, began_us)
        return after < len(self.ticks_us) and self.ticks_us[after] <= slow_since

    def _leave(self, values: Any) -> None:
        if len(self._open) > values[0] & 0xFFFF_FFFF:
            self._leave_by_tail_call(values)

    def _leave_by_tail_call(self, _values: Any) -> None:
        funcidx = self._close()
        if funcidx is not None:
            self.happened.append(Returned(funcidx, len(self.open_frames)))

    def _count(self, values: Any) -> None:
        self.calls[values[0] & 0xFFFF_FFFF] += 1

    def _unwind(self, values: Any) -> None:
        while len(self._open) > values[0] & 0xFFFF_FFFF:
            self._close()

    def _grew(self, values: Any) -> None:
        funcidx, memidx = values[0] & 0xFFFF_FFFF, values[_RAW_VALUE_WORDS] & 0xFFFF_FFFF
        pages, result = values[2 * _RAW_VALUE_WORDS] & _U64_MASK, values[3 * _RAW_VALUE_WORDS]
        if result == -1:
            self.refused[funcidx, memidx] += 1
        else:
            self.grown[funcidx, memidx] += pages
        if result == -1 or pages:
            self.happened.append(Grew(funcidx, memidx, pages, result == -1))
