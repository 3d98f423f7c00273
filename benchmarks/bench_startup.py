"""How long it takes from the shell to the guest's first instruction, when all that can be cached is cached.

The guest is resvg, which prints its help at once: the time is from the start of the process to the first byte
of standard output. The breakdown comes from commands that each do one thing more than the one before. The
caches are in a directory of their own, so the first start is a cold one.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from statistics import median

from subjects import Program, Row, arguments, chosen, publish, real_subjects

PLAIN = """
import sys
from wasmtime import Config, Engine, ExitTrap, Linker, Module, Store, WasiConfig
config = Config()
config.cache = True
engine = Engine(config)
module = Module.from_file(engine, sys.argv[1])
linker = Linker(engine)
linker.define_wasi()
store = Store(engine)
wasi = WasiConfig()
wasi.argv = ["guest", "--help"]
wasi.inherit_stdout()
store.set_wasi(wasi)
start = linker.instantiate(store, module).exports(store)["_start"]
try:
    start(store)
except ExitTrap as end:
    sys.exit(end.code)
"""
WASMTRACE = "from wasmtrace.cli import console_main; raise SystemExit(console_main())"
"""What the installed command does."""
SUITABLE = ("resvg", "usvg")
"""Commands of about 5 MB that print something at once."""


def first_byte_seconds(command: list[str], environment: Mapping[str, str]) -> float:
    """From the start of the process to its first byte of standard output, or to its end if it prints none."""
    start = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, bufsize=0
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        printed = process.stdout.read(1)
        seconds = time.perf_counter() - start
        process.stdout.read()
        complaint = process.stderr.read().decode(errors="replace")
    if process.returncode != 0:
        raise SystemExit(f"{' '.join(command)} failed: {complaint.strip()}")
    assert printed or "-c" in command, f"{command} printed nothing"
    return seconds


def steps(path: str) -> dict[str, list[str]]:
    """Each does all that the one before does, and one thing more."""
    python = sys.executable
    return {
        "python starts": [python, "-c", "pass"],
        "and imports wasmtime": [python, "-c", "import wasmtime"],
        "and imports wasmtrace.cli": [python, "-c", "import wasmtime, wasmtrace.cli"],
        "wasmtrace run": [python, "-c", WASMTRACE, "run", "--no-summary", path, "--help"],
        "wasmtrace run, with summary": [python, "-c", WASMTRACE, "run", "--summary", path, "--help"],
        "plain wasmtime script": [python, "-c", PLAIN, path],
    }


def measure(program: Program, rounds: int) -> list[Row]:
    commands = steps(str(program.path))
    with tempfile.TemporaryDirectory() as folder:
        environment = os.environ | {"XDG_CACHE_HOME": folder}
        cold = {name: first_byte_seconds(command, environment) for name, command in commands.items()}
        warm: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(rounds):
            for name, command in commands.items():
                warm[name].append(first_byte_seconds(command, environment))
    return [
        {
            "program": program.name,
            "command": name,
            "first time ms": cold[name] * 1000,
            "warm ms": median(times) * 1000,
            "best ms": min(times) * 1000,
        }
        for name, times in warm.items()
    ]


def main() -> None:
    options = arguments("time to the guest's first instruction", rounds=11).parse_args()
    programs = [program for program in real_subjects(large=False) if program.name in SUITABLE]
    rows: list[Row] = []
    for program in chosen(programs, options.only or ["resvg"]):
        rows += measure(program, 1 if options.quick else options.rounds)
    slowest = max(float(row["warm ms"]) for row in rows if row["command"] == "wasmtrace run")
    publish("time to the first byte", rows, {"wasmtrace run, warm ms": slowest}, options.json)


if __name__ == "__main__":
    main()
