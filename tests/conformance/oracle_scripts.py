"""Calls of each function of each module of a script of the specification: by hooks, and by the telemetry."""

from __future__ import annotations

from collections.abc import Sequence

import wasmtime

from oracle_events import Events
from oracle_text import hook
from spec_guests import RETURNED, Ended, Instance
from spec_outcomes import Outcome
from spec_runner import ScriptRunner
from spec_scripts import Command, Script
from spec_soundness import Telemetry
from spec_variants import INSTRUMENTED, PLAIN, Loaded, Variant, load

Counts = dict[int, list[int]]
"""By module, in the order in which they are loaded: calls by funcidx, of all its instances."""


class _Counting(ScriptRunner):
    """Numbers the modules as they are loaded."""

    def __init__(self, script: Script, variant: Variant) -> None:
        super().__init__(script, variant)
        self._numbers: dict[int, int] = {}
        self._kept: list[Loaded] = []

    def _numbered(self, loaded: Loaded) -> Loaded:
        self._numbers[id(loaded)] = len(self._kept)
        self._kept.append(loaded)
        return loaded

    def outcomes(self) -> list[Outcome]:
        """Without fuel, of which hooks take their own."""
        return [self._outcome(command)._replace(fuel=None) for command in self._script.commands]


class _ByHooks(_Counting):
    def __init__(self, script: Script) -> None:
        super().__init__(script, PLAIN)
        self._events = Events()
        self._events.define(self._guests.linker)
        self._function_counts: list[int] = []

    def _load(self, command: Command) -> Loaded:
        wasm = load_bytes(self._script, command)
        engine = self._variant.engine
        # What is refused must be refused as it came.
        wasmtime.Module.validate(engine, wasm)
        hooked = hook(wasm, len(self._kept), only_calls=True)
        self._function_counts.append(hooked.function_count)
        return self._numbered(Loaded(hooked.wasm, wasmtime.Module(engine, hooked.wasm), None))

    def counts(self) -> Counts:
        return {number: self._events.calls_of(number, count) for number, count in enumerate(self._function_counts)}


class _ByTelemetry(_Counting):
    def __init__(self, script: Script) -> None:
        super().__init__(script, INSTRUMENTED[0])
        self._of_module: dict[int, list[Telemetry]] = {}

    def _load(self, command: Command) -> Loaded:
        return self._numbered(load(self._variant, load_bytes(self._script, command)))

    def _instantiate(self, loaded: Loaded) -> tuple[Ended, Instance]:
        ended, instance = super()._instantiate(loaded)
        of_module = self._of_module.setdefault(self._numbers[id(loaded)], [])
        if ended is RETURNED:
            of_module.append(self._telemetry[-1])
        return ended, instance

    def counts(self) -> Counts:
        """Without modules whose instances nobody can look into: their start function has trapped."""
        return {number: _sum([each.calls() for each in found]) for number, found in self._of_module.items() if found}


def load_bytes(script: Script, command: Command) -> bytes:
    return script.file(command.get("binary_filename") or command["filename"])


def _sum(rows: Sequence[Sequence[int]]) -> list[int]:
    return [sum(column) for column in zip(*rows, strict=True)]


def counted_by_hooks(script: Script) -> tuple[list[Outcome], Counts]:
    runner = _ByHooks(script)
    return runner.outcomes(), runner.counts()


def counted_by_telemetry(script: Script) -> tuple[list[Outcome], Counts]:
    runner = _ByTelemetry(script)
    return runner.outcomes(), runner.counts()


def exhausts_the_stack(script: Script) -> bool:
    """How many calls there are is then the engine's choice."""
    return any(command["type"] == "assert_exhaustion" for command in script.commands)
