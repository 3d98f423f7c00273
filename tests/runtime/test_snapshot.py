from __future__ import annotations

import dataclasses
from array import array

import pytest

from telemetry_image import SITES, Names
from wasmtrace import layout as cells
from wasmtrace.records import FunctionStats, HostCallStats, MemoryStats
from wasmtrace.runtime import snapshot as stats
from wasmtrace.sites import Skipped


def counters(calls: list[int]) -> stats.Counters:
    errnos = array("Q", [0] * cells.ERRNO_COUNT)
    errnos[8], errnos[44], errnos[77] = 1, 2, 3
    return stats.Counters(
        array("Q", calls),
        array("Q", [1, 0, 2, 0]),
        array("Q", [1500, 0, 2500, 0]),
        [(7, 1)],
        {0: errnos},
        [(3, stats.NO_LIMIT)],
        array("Q", [0, 0, 2000, 0]),
        [0, 30, 40, 5],
        {0: 10**9, 2: 5 * 10**8},
    )


def test_functions_and_imports_that_were_called() -> None:
    read = counters([6, 0, 9, 1])
    assert stats.function_stats(SITES, Names(), read, None) == (
        FunctionStats(2, "f2", "f2", 9, 2, 0.0025, 0.002, 0.5, 7, 1, 40),
        FunctionStats(3, "f3", "f3", 1, fuel=5),
    )
    errors = {"badf": 1, "noent": 2, "other": 3}
    assert stats.host_call_stats(SITES, read) == (
        HostCallStats(0, "wasi_snapshot_preview1", "fd_write", 6, 1, 0.0015, 0.0, 1.0, errors),
    )
    assert stats.memory_stats(SITES, read) == (MemoryStats(0, 3, 3, 65536, None),)


@pytest.mark.parametrize(
    ("top", "indices"), [(None, [1, 2, 3]), (3, [1, 2, 3]), (2, [1, 3]), (1, [3]), (0, [])], ids=str
)
def test_top(top: int | None, indices: list[int]) -> None:
    found = stats.function_stats(SITES, Names(), counters([9, 5, 4, 8]), top)
    assert [each.index for each in found] == indices


@pytest.mark.parametrize("field", dataclasses.fields(FunctionStats), ids=lambda field: field.name)
def test_every_field_is_filled(field: dataclasses.Field[object]) -> None:
    """Records are filled column by column: one that is left out would have no value at all."""
    for each in stats.function_stats(SITES, Names(), counters([6, 0, 9, 1]), None):
        assert type(getattr(each, field.name)).__name__ in str(field.type).split(" | ")


def test_before_the_instance_is_there_nothing_was_called() -> None:
    nothing = stats.no_counters(SITES)
    assert stats.function_stats(SITES, Names(), nothing, None) == ()
    assert stats.host_call_stats(SITES, nothing) == ()
    assert stats.memory_stats(SITES, nothing) == (MemoryStats(0, 2, 2, 65536, None),)


def test_frames_become_open_calls_and_wrong_ones_are_left_out() -> None:
    frames = [cells.stamp(100) | 1, cells.stamp(200) | 0, cells.stamp(300) | 99, cells.stamp(900) | 2]
    calls = stats.open_calls(SITES, Names(), frames, 600)
    assert [(each.function.name, each.host, each.start_us, each.open_seconds) for each in calls] == [
        ("f1", False, 100, 0.0005),
        ("f0", True, 200, 0.0004),
        ("f2", False, 900, 0.0),
    ]


AROUND = [
    pytest.param([], [], [], id="nothing"),
    pytest.param([3, 2, 1], [1, 2, 3], [], id="all-told"),
    pytest.param([3, 3], [1, 2, 3, 3], [2, 1], id="outer-missing"),
    pytest.param([9, 3, 9, 3], [1, 3, 3], [1], id="functions-without-frames"),
    pytest.param([9], [1, 2], [], id="nothing-in-common"),
]


@pytest.mark.parametrize(("stack", "frames", "around"), AROUND)
def test_frames_around_what_the_engine_tells(stack: list[int], frames: list[int], around: list[int]) -> None:
    assert stats.frames_around(stack, [cells.stamp(5) | each for each in frames]) == around


def test_uninstrumented_has_names() -> None:
    sites = dataclasses.replace(SITES, skipped=(Skipped(2, "too large"), Skipped(None, "no room")))
    found = [(each.index, each.name, each.reason) for each in stats.uninstrumented(sites, Names())]
    assert found == [(2, "f2", "too large"), (None, "", "no room")]
