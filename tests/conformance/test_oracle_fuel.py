"""The fuel of each function of real programs is what counters before each instruction say."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest
import wasmtime

from compiled import Missing
from fuel_guest import exit_frames
from fuel_oracle import counted
from oracle_programs import OracleGuest, telemetry_of
from oracle_text import without_custom_sections
from programs import Program
from spec_variants import EVERY_CALL_SLOW, engine_for
from test_oracle_programs import PROGRAMS
from wasmtrace.instrument import Instrumented, Options, instrument
from wasmtrace.instrument.rewrite import Places

_OPTIONS = {"calls": Options(level="calls"), "trace": Options()}


@pytest.mark.parametrize("name", PROGRAMS)
def test_fuel_by_function_is_that_of_counters_before_each_instruction(name: str) -> None:
    try:
        program = PROGRAMS[name]()
        wasm = program.path.read_bytes()
        expected_result, expected = _run(program, counted(without_custom_sections(wasm)))
    except Missing as reason:
        pytest.skip(str(reason))
    assert sum(expected.values()) > 1000
    for options in _OPTIONS.values():
        result, found = _run(program, wasm, options)
        assert result == expected_result
        assert {each: fuel for each, fuel in found.items() if fuel != expected[each]} == {}


class _Guest(OracleGuest):
    """Keeps the frames that were open when the program ended itself."""

    frames: Sequence[tuple[int, int]] = ()

    def call(self, export: str, *args: int) -> int:
        try:
            return super().call(export, *args)
        except wasmtime.ExitTrap as end:
            self.frames = exit_frames(end)
            raise


def _run(program: Program, wasm: bytes, options: Options | None = None) -> tuple[object, dict[int, int]]:
    """The result, and fuel by function: of a module with counters, or of one to be rewritten."""
    done = None if options is None else instrument(wasm, options)
    engine = engine_for(EVERY_CALL_SLOW.stack_bytes)
    module = wasmtime.Module(engine, wasm if done is None else done.wasm)
    with tempfile.TemporaryDirectory(prefix="wasmtrace-") as folder:
        guest = _Guest(program, module, engine, Path(folder), None)
        guest.initialize()
        end = guest.run()
        fuel = _counters(guest) if done is None else _cells(guest, done)
        if options is not None:
            places = Places(wasm, options, None if done is None else done.sites)
            for funcidx, offset in guest.frames:
                if funcidx in fuel:
                    fuel[funcidx] += places.uncounted_fuel(funcidx, offset)
        return guest.finish(*end), fuel


def _counters(guest: OracleGuest) -> dict[int, int]:
    found = {}
    for name in guest.exports:
        if name.startswith("fuel "):
            value = guest.exports[name]
            assert isinstance(value, wasmtime.Global)
            found[int(name.removeprefix("fuel "))] = int(value.value(guest.store))
    return found


def _cells(guest: OracleGuest, done: Instrumented) -> dict[int, int]:
    first = len(done.sites.host_functions)
    return dict(enumerate(telemetry_of(guest, done).fuel_by_function()[first:], first))
