"""`kill -9` at any moment: what is there afterwards is whole, and the next run works and tells the same."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import time
from pathlib import Path

import pytest

from faulty_process import DEADLINE_SECONDS, GREETING, begun, run_shell, write_modules

OUTPUTS = {"report.json", "metrics.prom"}
WORDS = ["run", "--no-summary", "--report", "report.json", "--metrics-file", "metrics.prom", "greeting.wat"]
KILLS = 24


def _calls(folder: Path) -> dict[str, int]:
    """What the report says; it must be whole."""
    report = json.loads((folder / "report.json").read_bytes())
    assert report["outcome"] == "returned"
    return {each["name"]: each["calls"] for each in report["functions"]}


def _check_what_is_there(folder: Path) -> None:
    for name in OUTPUTS:
        path = folder / name
        assert not path.exists() or path.read_bytes().endswith(b"\n")
    if (folder / "report.json").exists():
        _calls(folder)
    # The one thing that a killed process leaves behind.
    for path in folder.glob(".*"):
        assert path.name.endswith(".tmp")


def _one_run_seconds(folder: Path) -> float:
    began = time.monotonic()
    assert run_shell(folder, " ".join(WORDS), "", greeting=GREETING).code == 0
    return time.monotonic() - began


@pytest.mark.parametrize("part", range(4))
def test_killed_at_random(tmp_path: Path, part: int) -> None:
    """Early moments, in which Python starts, are left out; in every other run the caches are empty."""
    random_moment = random.Random(part)
    whole = tmp_path / "whole"
    whole.mkdir()
    longest = _one_run_seconds(whole)
    expected = _calls(whole)
    for number in range(KILLS // 4):
        folder = tmp_path / str(number // 2)
        folder.mkdir(exist_ok=True)
        write_modules(folder, {"greeting": GREETING})
        with begun(folder, WORDS) as process:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(longest * random_moment.uniform(0.2, 1.0))
            process.send_signal(signal.SIGKILL)
            process.communicate(timeout=DEADLINE_SECONDS)
            assert process.returncode in (0, -signal.SIGKILL)
        _check_what_is_there(folder)
        if number % 2:
            again = run_shell(folder, " ".join(WORDS), "")
            assert (again.code, again.out, again.err) == (0, b"to stdout\n", b"to stderr\n")
            assert _calls(folder) == expected
