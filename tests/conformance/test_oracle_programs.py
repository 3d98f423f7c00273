"""The telemetry of real programs says what the oracle's hooks saw, call by call."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest

from c_programs import CHECKSUMS, SMALL, computing, input_output
from compiled import Missing
from oracle_programs import Seen, run_rewritten, run_with_hooks
from programs import REAL, Program

_CLOCKS = "clocks"
"""It looks at the time, and so makes other calls in each run."""


def _small_micropython() -> Program:
    program = next(each for each in REAL if each.name == "micropython")
    return replace(program, inputs={"primes.py": b"print(sum(n * n for n in range(200)))\n"})


def _programs() -> dict[str, Callable[[], Program]]:
    table: dict[str, Callable[[], Program]] = {name: partial(computing, name, SMALL) for name in CHECKSUMS}
    for number, each in enumerate(input_output(SMALL)):
        if each.name != _CLOCKS:
            table[each.name] = partial(input_output(SMALL).__getitem__, number)
    table["micropython"] = _small_micropython
    return table


PROGRAMS = _programs()


@pytest.mark.parametrize("name", PROGRAMS)
def test_calls_records_and_growth_are_those_that_the_hooks_saw(name: str) -> None:
    try:
        program = PROGRAMS[name]()
        expected_result, expected = run_with_hooks(program)
    except Missing as reason:
        pytest.skip(str(reason))
    result, seen = run_rewritten(program)
    assert result == expected_result
    assert expected.happened
    # Not one comparison of all: a difference among a million records would take minutes to print.
    for field in Seen.__slots__:
        assert _first_difference(getattr(seen, field), getattr(expected, field)) is None, field


def _first_difference(mine: object, expected: object) -> object:
    if mine == expected:
        return None
    if not isinstance(mine, list) or not isinstance(expected, list):
        return mine, expected
    for place, (a, b) in enumerate(zip(mine, expected, strict=False)):
        if a != b:
            return place, a, b
    return len(mine), len(expected)
