"""`python -m tests.fuzz --seconds N [--seed S] [--kind smith|mutate]`: see README.md."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE), str(HERE.parent)]

from fuzz_campaign import run_campaign  # noqa: E402
from fuzz_worker import GENERATORS, check_file, work  # noqa: E402


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="for each kind")
    parser.add_argument("--seed", type=int, default=1, help="the first one")
    parser.add_argument("--kind", choices=sorted(GENERATORS), action="append")
    parser.add_argument("--check", type=Path, metavar="FILE", help="compare one module, with arguments of --seed")
    parser.add_argument("--worker", nargs=3, metavar=("KIND", "FIRST", "COUNT"), help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker:
        kind, first, count = arguments.worker
        work(kind, int(first), int(count))
        return 0
    if arguments.check:
        return _check(arguments.check, arguments.seed)
    failures = 0
    for kind in arguments.kind or sorted(GENERATORS, reverse=True):
        totals = run_campaign(kind, first_seed=arguments.seed, seconds=arguments.seconds)
        print(f"{kind}:", *totals.lines(), sep="\n  ")
        failures += len(totals.failures)
    return 1 if failures else 0


def _check(path: Path, seed: int) -> int:
    """1 if instrumenting changes something, 2 if the engine refuses the module as it is."""
    verdict = check_file(path, seed)
    print(verdict.rejected or "", *verdict.problems, sep="\n")
    return 2 if verdict.rejected else int(bool(verdict.problems))


if __name__ == "__main__":
    sys.exit(main())
