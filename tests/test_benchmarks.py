"""Each benchmark still runs, on little work, and writes its results."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from programs import REAL

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"


@pytest.mark.parametrize(
    ("script", "program", "key"),
    [
        ("bench_run.py", "micropython", "trace run"),
        ("bench_rewrite.py", "micropython", "code MB/s"),
        ("bench_startup.py", "resvg", "warm ms"),
        ("bench_events.py", "i32 x 4", "written K/s"),
    ],
)
def test_benchmark_runs(script: str, program: str, key: str, tmp_path: Path) -> None:
    missing = next((each.missing for each in REAL if each.name == program), None)
    if missing:
        pytest.skip(missing)
    results = tmp_path / "results.json"
    command = [sys.executable, str(BENCHMARKS / script), "--quick", "--only", program, "--json", str(results)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    rows = json.loads(results.read_text())["rows"]
    assert rows
    assert all(row["program"] == program and row[key] > 0 for row in rows)


def test_looking_for_anomalies_costs_little(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    command = [sys.executable, str(BENCHMARKS / "bench_anomalies.py"), "--quick", "--json", str(results)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert all(row["share of a core %"] < 5 for row in json.loads(results.read_text())["rows"])
