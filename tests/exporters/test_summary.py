from __future__ import annotations

import re
import subprocess
import sys

import pytest
from rich.cells import cell_len

from hand_made import COST, HOSTILE_NAMES, empty_snapshot, hanging, hostile, module, snapshot, trapped
from wasmtrace.exporters.summary import render, render_failure
from wasmtrace.records import FunctionStats, HostCallStats, Outcome, Snapshot, Uninstrumented

NORMAL = """\
app.wasm: exit code 0
  1.23 s wall, 1.21 s cpu, 1.00 M calls, 1.23 G fuel (12.3% of 10.0 G), peak memory 4.19 MiB,
    memory limit 64.0 MiB
most time          self %  self time  slow calls  slow time  slowest
  fib               73.2%     900 ms           3     500 ms   250 ms
  fd_write (host)   20.3%     250 ms           4     200 ms   110 ms
  main               2.4%    30.0 ms           1     1.23 s   1.23 s
most fuel          fuel %    fuel  fuel per call  calls %   calls
  fib               83.3%  1.00 G         1.00 k    99.9%  1.00 M
  dlmalloc          16.7%   200 M          200 k     0.1%     999
  main              <0.1%  30.0 k         30.0 k    <0.1%       1
host calls         calls  slow calls  slow time  slowest  errors
  fd_write           120           4     200 ms   110 ms  2 badf, 1 io
  clock_time_get       3           -          -        -
memory growth      pages  refused
  dlmalloc            50        2
start 41.0 ms: instrument 12.0 ms cached, compile 25.0 ms, instantiate 100 us, other 3.90 ms
telemetry (trace): reader 0.4% of a cpu, clock tick 2.30 ms at worst, 1.25 MiB, slow from 1.00 ms,
  0 records dropped
not instrumented, 1: huge (body is larger than the engine takes)
"""

EMPTY = """\
app.wasm: running
  0 s wall, 0 s cpu
start 0 s: instrument 0 s, compile 0 s, instantiate 0 s, other 0 s
telemetry (trace): reader 0 s, clock tick 0 s at worst, 0 B, slow from 1.00 ms, 0 records dropped
"""

WHOLE_CASES = {"normal": (snapshot(), NORMAL), "empty": (empty_snapshot(), EMPTY)}


@pytest.mark.parametrize(("state", "text"), WHOLE_CASES.values(), ids=WHOLE_CASES)
def test_whole_summary(state: Snapshot, text: str) -> None:
    assert render(state, colour=False, width=None) == text


FAILURE_CASES = {
    "returned": (empty_snapshot(outcome=Outcome.RETURNED), ""),
    "exit-3": (empty_snapshot(outcome=Outcome.EXITED, exit_code=3), ""),
    "trap": (
        trapped(),
        "app.wasm: trapped: unreachable in level_0 at 0x100\n",
    ),
    "timeout": (
        empty_snapshot(outcome=Outcome.TIMED_OUT, message="time limit of 2 s reached"),
        "app.wasm: timed out\n  time limit of 2 s reached\n  0 s wall, 0 s cpu\n",
    ),
}


@pytest.mark.parametrize(("state", "start"), FAILURE_CASES.values(), ids=FAILURE_CASES)
def test_failure_alone(state: Snapshot, start: str) -> None:
    text = render_failure(state, colour=False, width=None)
    assert text.startswith(start)
    assert bool(text) == bool(start)
    assert "telemetry" not in text
    assert ("trap stack" in text) == (state.outcome is Outcome.TRAPPED)


def test_note_about_the_module_is_whole() -> None:
    reason = "left out of the module that runs, as code has moved: " + ", ".join(f".debug_{at}" for at in range(9))
    text = render(empty_snapshot(uninstrumented=(Uninstrumented(None, "", reason),)), colour=False, width=200)
    assert f"note: {reason}\n" in text
    assert "not instrumented" not in text


def changed(**changes: object) -> Snapshot:
    return empty_snapshot(**changes)


LINE_CASES = {
    "returned": (changed(outcome=Outcome.RETURNED), "app.wasm: returned\n"),
    "exit-3": (changed(outcome=Outcome.EXITED, exit_code=3), "app.wasm: exit code 3\n"),
    "trap": (trapped(), "app.wasm: trapped: unreachable in level_0 at 0x100\n"),
    "trap-message": (trapped(), "  wasm `unreachable` instruction executed\n"),
    "trap-stack": (
        trapped(),
        "trap stack, innermost first    offset\n   0 level_0                    0x100\n",
    ),
    "trap-no-stack": (trapped(0), "app.wasm: trapped: unreachable\n"),
    "timeout": (hanging(), "app.wasm: timed out in poll_oneoff, open for 1.23 s\n  timeout of 1 s reached\n"),
    "open-calls": (
        hanging(),
        "   0 poll_oneoff (host)          1.23 s\n   1 wait_for_input              1.23 s\n",
    ),
    "interrupted": (
        changed(outcome=Outcome.INTERRUPTED, message="SIGTERM"),
        "app.wasm: interrupted\n  SIGTERM\n",
    ),
    "failed": (changed(outcome=Outcome.FAILED, message="a\nb"), "app.wasm: failed\n  a\\x0ab\n"),
    "stack-of-26": (
        trapped(26),
        "  19 level_19                   0x113\n  20 level_20                   0x114\n",
    ),
    "stack-cut": (
        trapped(1025),
        "  19 level_19                   0x113\n     ... 1,000 more\n1020 level_1020                 0x4fc\n",
    ),
    "fuel-limit-only": (changed(fuel_limit=5000), "0 s cpu, fuel limit 5.00 k\n"),
    "dropped": (changed(dropped=12_345), "12,345 records\n  dropped\n"),
    "many-functions": (
        changed(functions=tuple(FunctionStats(at, f"f{at}", f"f{at}", 100 - at) for at in range(20))),
        "  f5              5.2%     95\n  ... 14 more\n",
    ),
    "fuel-limit-and-the-guests-own-fuel": (
        changed(fuel=200, fuel_limit=400, functions=(FunctionStats(0, "f", "f", 8, fuel=100),)),
        "8 calls, 200 fuel (50.0% of 400)\n"
        "most fuel  fuel %  fuel  fuel per call  calls %  calls\n  f  100.0%  100  12.5  100.0%  8\n",
    ),
    "cheap-but-called-most": (
        changed(
            functions=(
                *(FunctionStats(at, f"f{at}", f"f{at}", 1, fuel=1000 - at) for at in range(20)),
                FunctionStats(20, "poll", "poll", 60, fuel=60),
            )
        ),
        "  f5       5.0%   995            995    1.2%      1\n"
        "  poll     0.3%    60              1   75.0%     60\n"
        "  ... 14 more\n",
    ),
    "errors-first": (
        changed(
            host_calls=(
                *(HostCallStats(at, "env", f"busy{at}", 1000) for at in range(9)),
                HostCallStats(9, "env", "open", 2, errors={"noent": 1, "a": 3, "b": 2, "c": 1}),
            )
        ),
        "  open           2           -          -        -  3 a, 2 b, 1 c, ...\n  busy0",
    ),
    "gaps": (
        changed(uninstrumented=tuple(Uninstrumented(at, f"f{at}", "why") for at in range(1005))),
        "not instrumented, 1,005: f0 (why), f1 (why), f2 (why), ... 1,002 more\n",
    ),
    "name-cut-in-the-middle": (
        changed(functions=(FunctionStats(0, "a" * 100 + "b" * 100, "", 1),)),
        "  " + "a" * 40 + "..." + "b" * 39 + "   100.0%      1\n",
    ),
}


@pytest.mark.parametrize(("state", "line"), LINE_CASES.values(), ids=LINE_CASES)
def test_summary_has(state: Snapshot, line: str) -> None:
    assert words(line) in words(render(state, colour=False, width=None))


def words(text: str) -> str:
    """The text without its columns and line ends, which `test_whole_summary` looks at."""
    return " ".join(text.split())


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
@pytest.mark.parametrize("width", [40, 80, 200])
def test_hostile_names_reach_no_terminal(name: str, width: int) -> None:
    plain = render(hostile(name), colour=False, width=width)
    colours = render(hostile(name), colour=True, width=width)
    assert all(char == "\n" or char.isprintable() for char in plain)
    assert re.sub(r"\x1b\[[0-9;]*m", "", colours).replace(" ", "") == plain.replace(" ", "")
    assert set(re.findall(r"\x1b\[([0-9;]*)m", colours)) <= {"0", "1", "2", "1;31", "1;33", "1;32"}


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_lines_fit_the_terminal(name: str) -> None:
    lines = render(hostile(name), colour=False, width=100).splitlines()
    assert max(map(cell_len, lines)) <= 100


def test_markup_in_names_is_shown() -> None:
    text = render(snapshot(module=module("[red]x[/red]")), colour=False, width=None)
    assert text.startswith("[red]x[/red]: exit code 0\n")


TONES = {
    "good": (snapshot(), "\x1b[1;32mapp.wasm: exit code 0\x1b[0m\n"),
    "bad": (snapshot(exit_code=1), "\x1b[1;31mapp.wasm: exit code 1\x1b[0m\n"),
    "warning": (snapshot(outcome=Outcome.INTERRUPTED), "\x1b[1;33mapp.wasm: interrupted\x1b[0m\n"),
}


@pytest.mark.parametrize(("state", "line"), TONES.values(), ids=TONES)
def test_outcome_has_its_colour(state: Snapshot, line: str) -> None:
    assert render(state, colour=True, width=100).startswith(line)


def test_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "20", "TERM": "dumb", "TTY_COMPATIBLE": "1"}.items():
        monkeypatch.setenv(name, value)
    assert render(snapshot(), colour=False, width=None) == NORMAL


def test_a_normal_program_fits_a_screen() -> None:
    functions = tuple(FunctionStats(at, f"f{at}", f"f{at}", 9, 1, 1.0, 1.0, 1.0, 1, 0, 7) for at in range(99))
    host_calls = tuple(HostCallStats(at, "env", f"h{at}", 9, 1, 1.0, 1.0, 1.0) for at in range(99))
    text = render(snapshot(functions=functions, host_calls=host_calls, cost=COST), colour=False, width=None)
    assert len(text.splitlines()) <= 45


def test_only_this_module_imports_rich() -> None:
    script = (
        "import sys, wasmtrace.exporters.report, wasmtrace.exporters.prometheus, wasmtrace.exporters.http,"
        " wasmtrace.exporters.files, wasmtrace.exporters.sections; print('rich' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout == "False\n"
