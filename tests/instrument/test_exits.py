"""Each exit of a function: same results as plain, exact counts, an empty shadow stack, each call recorded."""

from __future__ import annotations

from collections import Counter

import pytest

from exit_cases import CAST_EXITS, EXITS, SHAPES, Exit, Shape, program
from traced_guest import Guest, Traced, wasm_of
from wasmtrace.instrument import Options

CASES = [(row, shape) for row in EXITS for shape in SHAPES]
CASES += [(row, shape) for row in CAST_EXITS for shape in SHAPES if shape.id == "i31"]
EACH_CASE = pytest.mark.parametrize(("row", "shape"), CASES, ids=[f"{row.id}-{shape.id}" for row, shape in CASES])
CALL_COUNT = 3


def expected_calls(row: Exit, shape: Shape) -> dict[str, int]:
    once = Counter(("run", "f", "touch", *row.calls, *shape.extra_calls))
    return {name: count * CALL_COUNT for name, count in once.items()}


@EACH_CASE
def test_trace(row: Exit, shape: Shape) -> None:
    wasm = wasm_of(program(row, shape))
    plain, traced = Guest(wasm), Traced(wasm)
    for _ in range(CALL_COUNT):
        assert traced.call("run") == plain.call("run")
        assert traced.depth == 0
        assert traced.recorded() == list(row.recorded)
    assert traced.calls == expected_calls(row, shape)
    assert traced.slow_calls == {name: CALL_COUNT for name, _ in row.recorded}


@EACH_CASE
def test_calls(row: Exit, shape: Shape) -> None:
    wasm = wasm_of(program(row, shape))
    plain, traced = Guest(wasm), Traced(wasm, options=Options(level="calls", slow_threshold_us=0))
    for _ in range(CALL_COUNT):
        assert traced.call("run") == plain.call("run")
    assert traced.calls == expected_calls(row, shape)
    assert (traced.slow_calls, traced.recorded(), traced.depth) == ({}, [], 0)
    assert traced.sites.framed_functions == 0


@EACH_CASE
def test_excluded_from_frames(row: Exit, shape: Shape) -> None:
    wasm = wasm_of(program(row, shape))
    traced = Traced(wasm, options=Options(exclude=("f", "g"), slow_threshold_us=0))
    assert traced.call("run") == Guest(wasm).call("run")
    assert (traced.recorded(), traced.depth) == ([("run", 0)], 0)
    assert traced.sites.framed_functions == 1
