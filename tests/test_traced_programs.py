"""Real programs give under wasmtrace what they give without it: output, exit code, files; and were seen doing it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from c_programs import SMALL, every
from command import wasmtrace
from plain import run_plain
from programs import REAL, Kind, Program
from traced import run_traced
from wasmtrace import Level, Snapshot

SMALL_REAL = [each for each in REAL if not each.large]
LARGE = [each for each in REAL if each.large]
COMMANDS = [each for each in REAL if each.drive is None]


def _skip_if_missing(program: Program) -> None:
    if program.missing:
        pytest.skip(program.missing)


def _check_seen(snapshot: Snapshot, level: Level) -> None:
    assert sum(each.calls for each in snapshot.functions) > 20
    assert snapshot.host_calls
    assert snapshot.open_calls == () or snapshot.exit_code is not None
    assert snapshot.memories[0].pages > 0
    assert snapshot.module.level is level
    if level is Level.CALLS:
        assert not any(each.slow_calls for each in snapshot.functions)


@pytest.mark.parametrize("level", Level, ids=lambda level: level.value)
@pytest.mark.parametrize("program", [pytest.param(each, id=each.name) for each in [*SMALL_REAL, *every(SMALL)]])
def test_same_as_plain(program: Program, level: Level) -> None:
    _skip_if_missing(program)
    expected = run_plain(program)
    result, snapshot = run_traced(program, level)
    program.check(result)
    if program.name != "clocks":
        assert (result.stdout, result.stderr, result.exit_code) == (
            expected.stdout,
            expected.stderr,
            expected.exit_code,
        )
        assert (result.files, result.value) == (expected.files, expected.value)
    _check_seen(snapshot, level)


@pytest.mark.large
@pytest.mark.parametrize("program", [pytest.param(each, id=each.name) for each in LARGE])
def test_large_program_does_its_work(program: Program) -> None:
    _skip_if_missing(program)
    result, snapshot = run_traced(program, Level.TRACE)
    program.check(result)
    _check_seen(snapshot, Level.TRACE)


@pytest.mark.parametrize(
    "program", [pytest.param(each, id=each.name, marks=[pytest.mark.large] * each.large) for each in COMMANDS]
)
def test_command_line_runs_it(program: Program, tmp_path: Path) -> None:
    _skip_if_missing(program)
    work, home, report = tmp_path / "work", tmp_path / "home", tmp_path / "report.json"
    work.mkdir()
    dirs = [
        word
        for each in program.dirs(work)
        for word in ("--dir-ro" if each.read_only else "--dir", f"{each.host}::{each.guest}")
    ]
    invoke = [] if program.kind is Kind.COMMAND else ["--invoke", program.entry]
    unknown = ["--unknown-imports", "trap"] if program.unknown_imports else []
    variables = [word for item in program.env.items() for word in ("--env", "=".join(item))]
    # The engine's cache is in the user's own home: a large program is compiled once, not once a test.
    done = wasmtrace(
        Path.home(),
        "run",
        "--no-fuel",
        f"--report={report}",
        *dirs,
        *invoke,
        *unknown,
        *variables,
        program.path,
        *program.args,
        stdin=program.stdin,
        XDG_CACHE_HOME=str(Path.home() / ".cache"),
    )
    written = json.loads(report.read_bytes())
    assert done.code == 0, done.err
    assert written["outcome"] in ("returned", "exited")
    assert len(written["functions"]) > 50
    assert written["dropped"] == 0
    assert "most calls" in done.err
    assert not (home / ".cache").exists()
    assert program.left_in(work).keys() == set(program.outputs)
