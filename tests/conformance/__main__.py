"""`python -m tests.conformance [--write] [SCRIPT...]`: runs the scripts, prints the table."""

from __future__ import annotations

import argparse
import os
import queue
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from spec_outcomes import ScriptRun, differences  # noqa: E402
from spec_refusals import REFUSALS  # noqa: E402
from spec_scripts import missing_reason, script_names  # noqa: E402
from spec_table import document, text_table  # noqa: E402
from spec_worker import Died, Worker  # noqa: E402

DOCUMENT = HERE.parents[1] / "docs" / "conformance.md"


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.conformance", description=__doc__)
    parser.add_argument("scripts", nargs="*", metavar="SCRIPT", help="all, if none is named")
    parser.add_argument("--write", action="store_true", help=f"write {DOCUMENT.name} too")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    chosen = parser.parse_args(arguments)
    reason = missing_reason()
    if reason is not None:
        print(reason)
        return 0
    started = time.monotonic()
    runs, faults = run_all(chosen.scripts or script_names(), chosen.jobs)
    print(text_table(runs))
    for fault in faults:
        print(fault, file=sys.stderr)
    print(f"{len(faults)} differences, {time.monotonic() - started:.0f} s")
    if chosen.write and not chosen.scripts and not faults:
        before = DOCUMENT.read_text() if DOCUMENT.exists() else ""
        DOCUMENT.write_text(document(runs, before))
    return 1 if faults else 0


def run_all(names: list[str], jobs: int) -> tuple[dict[str, list[ScriptRun]], list[str]]:
    """Each script's runs, and what is wrong."""
    idle: queue.SimpleQueue[Worker] = queue.SimpleQueue()
    for _ in range(jobs):
        idle.put(Worker())

    def run(name: str) -> list[ScriptRun] | Died:
        worker = idle.get()
        try:
            return worker.run(name)
        except Died as error:
            return error
        finally:
            idle.put(worker)

    runs: dict[str, list[ScriptRun]] = {}
    faults: list[str] = []
    with ThreadPoolExecutor(jobs) as pool:
        for name, found in zip(names, pool.map(run, names), strict=True):
            if isinstance(found, Died):
                faults.append(str(found))
                continue
            runs[name] = found
            faults += _faults(name, found)
    while not idle.empty():
        idle.get().close()
    return runs, faults


def _faults(name: str, runs: list[ScriptRun]) -> list[str]:
    plain, *instrumented = runs
    found = [f"{name}: {each}" for run in instrumented for each in differences(plain, run)]
    failed = {(name, each.line): each for each in plain.outcomes if not each.passed}
    found += [
        f"{name}: line {line}, {each.command}: plain {each.detail!r}, and no reason is known"
        for (_, line), each in failed.items()
        if (name, line) not in REFUSALS
    ]
    return found


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
