"""The telemetry of modules written for it says what the oracle's hooks saw."""

from __future__ import annotations

import pytest
import wasmtime

from oracle_cases import CASES, MOVING_CLOCK, Case
from oracle_modules import rewritten, with_hooks


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.id)
def test_calls_frames_and_growth_are_those_that_the_hooks_saw(case: Case) -> None:
    wasm = bytes(wasmtime.wat2wasm(case.text))
    expected = with_hooks(wasm, case.calls)
    assert any(each.happened for each in expected.seen)
    assert rewritten(wasm, case.calls) == expected


@pytest.mark.parametrize("slow_threshold_us", [0, 1, 50, 300, 1000, 5000])
def test_slow_calls_are_those_of_which_a_later_tick_is_a_threshold_ago(slow_threshold_us: int) -> None:
    wasm = bytes(wasmtime.wat2wasm(MOVING_CLOCK.text))
    expected = with_hooks(wasm, MOVING_CLOCK.calls, slow_threshold_us)
    assert any(each.happened for each in expected.seen)
    assert rewritten(wasm, MOVING_CLOCK.calls, slow_threshold_us) == expected
