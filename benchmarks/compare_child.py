"""Runs programs as one version of wasmtrace does, each time that a line on stdin names one, a level, and fuel or none.

Started by `bench_compare.py` with the version's folder on PYTHONPATH; knows nothing but wasmtrace's public API, so
that old versions run, too. Answers with a line of JSON: the guest's processor time and wall time in seconds.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

import wasmtrace
from programs import Kind
from subjects import Program, c_subjects, outside_programs, real_subjects
from traced import TracedGuest
from wasmtrace import Level, Runtime, RuntimeConfig


def _runtime(level: str, fuel: bool, cache: Path, program: Program) -> Runtime:
    return Runtime(
        RuntimeConfig(
            level=Level(level),
            fuel=fuel,
            cache_dir=cache / "rewritten",
            unknown_imports="trap" if program.unknown_imports else "error",
        )
    )


def _run(runtime: Runtime, program: Program, folder: Path) -> dict[str, float]:
    with TracedGuest(runtime, program, folder) as guest:
        if program.drive is None:
            invoke = None if program.kind is Kind.COMMAND else program.entry
            snapshot = runtime.run(guest.loaded, guest.sandbox, invoke=invoke).snapshot
            return {"cpu": snapshot.cpu_seconds, "wall": snapshot.wall_seconds}
        guest.instance = runtime.instantiate(guest.loaded, guest.sandbox)
        before = guest.instance.snapshot()
        program.drive(guest)
        after = guest.instance.snapshot()
        return {
            "cpu": after.cpu_seconds - before.cpu_seconds,
            "wall": after.wall_seconds - before.wall_seconds,
        }


def main() -> None:
    every = {each.name: each for each in [*real_subjects(large=False), *outside_programs(), *c_subjects(quick=False)]}
    cache = Path(sys.argv[1])
    os.environ["XDG_CACHE_HOME"] = str(cache)
    print(json.dumps({"wasmtrace": str(Path(wasmtrace.__file__).resolve().parent)}), flush=True)
    runtimes: dict[tuple[str, str, bool], Any] = {}
    for line in sys.stdin:
        name, level, fuel = line.split()
        program = every[name]
        key = (level, fuel, program.unknown_imports)
        if key not in runtimes:
            runtimes[key] = _runtime(level, fuel == "fuel", cache, program)
        with tempfile.TemporaryDirectory(prefix="wasmtrace-bench-") as folder:
            print(json.dumps(_run(runtimes[key], program, Path(folder))), flush=True)


if __name__ == "__main__":
    main()
