"""Signals in storms and at bad moments: one exit code, and outputs that are whole."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
from pathlib import Path

import pytest

from faulty_process import DEADLINE_SECONDS, begun, write_modules

LOOP = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00ready\\n")
  (func $spin (loop (br 0)))
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
    (call $spin)))
"""
OPTIONS = ["run", "--report", "report.json", "--metrics-file", "metrics.prom"]
EXIT_CODES = {signal.SIGINT: 130, signal.SIGTERM: 143}


def _many_functions(count: int) -> str:
    body = "(local.set 0 (i32.add (local.get 0) (i32.const 7)))" * 20
    return f'(module {f"(func (param i32) {body})" * count} (func (export "_start") (loop (br 0))))'


def _storm(process: subprocess.Popen[bytes], numbers: list[signal.Signals]) -> None:
    for number in numbers:
        process.send_signal(number)


@pytest.mark.parametrize("first", EXIT_CODES, ids=lambda each: each.name)
@pytest.mark.parametrize("mixed", [False, True], ids=["same", "mixed"])
def test_a_storm_is_one_signal(tmp_path: Path, first: signal.Signals, mixed: bool) -> None:
    """The exit code is the first one's, and everything is written."""
    write_modules(tmp_path, {"loop": LOOP})
    rest = random.Random(1).choices(list(EXIT_CODES), k=99) if mixed else [first] * 99
    with begun(tmp_path, [*OPTIONS, "loop.wat"]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        _storm(process, [first, *rest])
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    # Two different signals at once may come in any order.
    assert process.returncode in (set(EXIT_CODES.values()) if mixed else {EXIT_CODES[first]})
    assert b"Traceback" not in err
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert report["outcome"] == "interrupted"
    assert {each["name"]: each["calls"] for each in report["functions"]} == {"_start": 1, "spin": 1}
    assert (tmp_path / "metrics.prom").read_bytes().endswith(b"\n")
    assert _names(tmp_path) == ["loop.wat", "metrics.prom", "report.json"]


def test_during_compilation(tmp_path: Path) -> None:
    """Compiling would take many seconds; the port is open before it begins."""
    write_modules(tmp_path, {"large": _many_functions(20_000)})
    with begun(tmp_path, [*OPTIONS, "--metrics", "127.0.0.1:0", "--no-cache", "large.wat"]) as process:
        assert process.stderr is not None
        assert b"metrics at" in process.stderr.readline()
        _storm(process, [signal.SIGTERM] * 100)
        out, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert (process.returncode, out, err) == (143, b"", b"")
    assert _names(tmp_path) == ["large.wat"]


@pytest.mark.parametrize("seed", range(4))
def test_while_the_report_is_written(tmp_path: Path, seed: int) -> None:
    """The report goes into a pipe that is full, and is read only when the storm is over: it is whole."""
    write_modules(tmp_path, {"loop": LOOP.replace("(func $spin", "(func nop)" * 3000 + "(func $spin")})
    command = ["run", "--no-summary", "--report", "/dev/stderr", "loop.wat"]
    with begun(tmp_path, command) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(signal.SIGINT)
        first = os.read(process.stderr.fileno(), 1)
        _storm(process, random.Random(seed).choices(list(EXIT_CODES), k=50))
        _, rest = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == 130
    report, end = json.JSONDecoder().raw_decode((first + rest).decode())
    assert report["outcome"] == "interrupted"
    assert "stopped by SIGINT" in (first + rest).decode()[end:]


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir() if each.is_file())
