"""Calls of each function over whole scripts of the specification are those that hooks at their entries saw."""

from __future__ import annotations

import pytest

from oracle_scripts import counted_by_hooks, counted_by_telemetry, exhausts_the_stack
from spec_scripts import load_script, missing_reason, script_names


@pytest.mark.skipif(missing_reason() is not None, reason=missing_reason() or "")
@pytest.mark.parametrize("name", script_names() or ["none"])
def test_calls_by_function_are_those_that_the_hooks_saw(name: str) -> None:
    script = load_script(name)
    if exhausts_the_stack(script):
        pytest.skip("how many calls exhaust the stack is the engine's choice")
    outcomes, by_hooks = counted_by_hooks(script)
    same_outcomes, by_telemetry = counted_by_telemetry(script)
    assert same_outcomes == outcomes
    assert by_telemetry == {number: by_hooks[number] for number in by_telemetry}
