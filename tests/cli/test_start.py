"""What is not imported before the guest runs: each of these takes longer than all that the guest waits for."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from command import DEADLINE_SECONDS, environment

HELLO = b"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00ready\\n")
  (func (export "_start") (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))
"""
WATCHED = """
import json, sys
from wasmtrace import cli
from wasmtrace.runtime.engine_call import GuestInstance

def loaded():
    return sorted({name.split(".")[0] for name in sys.modules} | {n for n in sys.modules if n.startswith("wasmtrace.")})

def call(self, prepared, call=GuestInstance.call):
    seen["start"] = loaded()
    return call(self, prepared)

def end(code):
    seen["end"] = loaded()
    json.dump(seen, open(path, "w"))
    end_process(code)

seen, path, end_process = {}, sys.argv.pop(1), cli.end_process
GuestInstance.call, cli.end_process = call, end
cli.console_main()
"""
HEAVY = ["grpc", "google", "jsonschema", "opentelemetry", "prometheus_client", "rich", "waitress"]


@pytest.fixture
def hello(tmp_path: Path) -> Path:
    path = tmp_path / "hello.wat"
    path.write_bytes(HELLO)
    return path


def _modules(tmp_path: Path, *arguments: str | Path) -> dict[str, set[str]]:
    """What was imported when the guest began, and when the process ended."""
    found = tmp_path / "modules.json"
    done = subprocess.run(
        [sys.executable, "-c", WATCHED, str(found), *map(str, arguments)],
        capture_output=True,
        env=environment(tmp_path),
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == b"ready\n"
    return {moment: set(names) for moment, names in json.loads(found.read_text()).items()}


@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="summary"),
        pytest.param(["--no-summary"], id="no summary"),
        pytest.param(["--report", "report.json", "--metrics-file", "metrics.prom"], id="files"),
    ],
)
def test_before_the_guest_runs(tmp_path: Path, hello: Path, options: list[str]) -> None:
    placed = [str(tmp_path / each) if "." in each else each for each in options]
    seen = _modules(tmp_path, "run", *placed, hello)
    assert "wasmtime" in seen["start"]
    assert not seen["start"] & set(HEAVY)
    assert "wasmtrace.exporters.sections" not in seen["start"]


def test_with_a_warm_cache_not_even_the_rewriter(tmp_path: Path, hello: Path) -> None:
    assert "wasmtrace.instrument.rewrite" in _modules(tmp_path, "run", hello)["start"]
    assert "wasmtrace.instrument" not in _modules(tmp_path, "run", hello)["start"]


def test_without_a_summary_nothing_of_it_at_the_end(tmp_path: Path, hello: Path) -> None:
    assert not _modules(tmp_path, "run", "--no-summary", hello)["end"] & {*HEAVY, "wasmtrace.exporters.sections"}
    assert "rich" in _modules(tmp_path, "run", hello)["end"]


def test_help_needs_no_engine(tmp_path: Path) -> None:
    program = (
        "import atexit, sys; from wasmtrace.cli import console_main; sys.argv = ['wasmtrace', 'run', '--help'];"
        f"atexit.register(lambda: print([each for each in {['wasmtime', *HEAVY]!r} if each in sys.modules]));"
        "console_main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("usage: wasmtrace run")
    assert done.stdout.splitlines()[-1] == "[]"
