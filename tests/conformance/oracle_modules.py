"""A module written for the oracle, run with hooks and rewritten; host functions look at the stack and move the
clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import wasmtime

from oracle_events import Events
from oracle_programs import Seen, seen_by_hooks, seen_by_telemetry
from oracle_text import hook
from spec_guests import End, Guests, call_values
from spec_soundness import Telemetry
from spec_variants import EVERY_CALL_SLOW, engine_for
from wasmtrace.instrument import Options, instrument
from wasmtrace.runtime.telemetry import TelemetryMemory

Call = tuple[str, tuple[int, ...]]
"""An export and its i32 arguments."""
RING_CAPACITY = 1 << 18


@dataclass(slots=True)
class Story:
    """What was seen of a module's run, after each call."""

    ends: list[tuple[str, list[int]]] = field(default_factory=list)
    """How each call ended, and its results."""
    looks: list[tuple[int, list[int]]] = field(default_factory=list)
    """What `look` was given, and the frames that were open, outermost first."""
    seen: list[Seen] = field(default_factory=list)


class _Stage:
    """What the two ways of running have in common: the host, the calls, the story."""

    def __init__(self) -> None:
        self.guests = Guests(engine_for(EVERY_CALL_SLOW.stack_bytes))
        self.story = Story()
        self._define("look", ["i32"], self._look)
        self._define("fail", [], self._fail)
        self._define("tick", ["i32"], self.tick)

    def _define(self, name: str, params: list[str], function: object) -> None:
        functype = wasmtime.FuncType([getattr(wasmtime.ValType, each)() for each in params], [])
        assert callable(function)
        self.guests.linker.define(self.guests.store, "host", name, wasmtime.Func(self.guests.store, functype, function))

    def _look(self, value: int) -> None:
        self.story.looks.append((value, self.frames()))

    def _fail(self) -> None:
        raise RuntimeError("the host function fails")

    def frames(self) -> list[int]:
        raise NotImplementedError

    def tick(self, us: int) -> None:
        raise NotImplementedError

    def begin(self) -> None:
        """Before the first call."""

    def seen(self) -> Seen:
        raise NotImplementedError

    def forget_open(self) -> None:
        raise NotImplementedError

    def play(self, module: wasmtime.Module, calls: Sequence[Call]) -> Story:
        ended, self.instance = self.guests.instantiate(module)
        assert ended.end is End.RETURNED, ended
        self.begin()
        for name, arguments in calls:
            function = self.guests.function(self.instance, name)
            ended, results = call_values(self.guests, function, arguments)
            self.story.ends.append((f"{ended.end.value} {ended.code}", results))
            seen = self.seen()
            if ended.end is End.THREW:
                # The hooks have seen the exception pass, and so closed what it passed.
                seen.open_frames.clear()
            self.story.seen.append(seen)
            if ended.end is not End.RETURNED:
                self.forget_open()
        return self.story


class _Hooked(_Stage):
    def __init__(self, wasm: bytes, slow_threshold_us: int) -> None:
        super().__init__()
        self._hooked = hook(wasm)
        self._events = Events(self._hooked.framed, slow_threshold_us=slow_threshold_us)
        self._events.define(self.guests.linker)
        self.module = wasmtime.Module(self.guests.engine, self._hooked.wasm)

    def frames(self) -> list[int]:
        return list(self._events.open_frames)

    def tick(self, us: int) -> None:
        self._events.ticks_us.append(self._events.ticks_us[-1] + us)

    def seen(self) -> Seen:
        seen = seen_by_hooks(self._events, self._hooked.function_count)
        self._events.happened = []
        return seen

    def forget_open(self) -> None:
        self._events.forget_open()


class _Rewritten(_Stage):
    def __init__(self, wasm: bytes, slow_threshold_us: int) -> None:
        super().__init__()
        self._done = instrument(
            wasm,
            Options(
                slow_threshold_us=slow_threshold_us,
                max_stack_bytes=EVERY_CALL_SLOW.stack_bytes,
                ring_capacity=RING_CAPACITY,
            ),
        )
        self._now_us = 0
        self.module = wasmtime.Module(self.guests.engine, self._done.wasm)

    def begin(self) -> None:
        place = self.guests.memory(self.instance, self._done.sites.telemetry_export)
        self._telemetry = Telemetry(*place, self._done)
        self._clock = TelemetryMemory(*place, self._done.sites.layout, self.guests.store)
        self._clock.tick(0)

    def frames(self) -> list[int]:
        return list(self._telemetry.frames())

    def tick(self, us: int) -> None:
        self._now_us += us
        self._clock.tick(self._now_us)

    def seen(self) -> Seen:
        return seen_by_telemetry(self._telemetry)

    def forget_open(self) -> None:
        self._telemetry.reset_stack()


def with_hooks(wasm: bytes, calls: Sequence[Call], slow_threshold_us: int = 0) -> Story:
    stage = _Hooked(wasm, slow_threshold_us)
    return stage.play(stage.module, calls)


def rewritten(wasm: bytes, calls: Sequence[Call], slow_threshold_us: int = 0) -> Story:
    stage = _Rewritten(wasm, slow_threshold_us)
    return stage.play(stage.module, calls)
