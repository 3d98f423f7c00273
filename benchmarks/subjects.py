"""What the benchmarks share: the programs of the tests, and their common options and output."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import geometric_mean

from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parent.parent / "tests"))
sys.path.insert(0, str(Path(__file__).parent))

from c_programs import CHECKSUMS, FULL, SMALL, computing
from compiled import strip_debug
from outside_suites import outside_programs
from plain import PlainGuest
from programs import REAL, Kind, Program, Result

__all__ = [
    "CHECKSUMS",
    "PlainGuest",
    "Program",
    "Result",
    "Row",
    "arguments",
    "c_subjects",
    "chosen",
    "geometric_mean",
    "is_command",
    "outside_programs",
    "publish",
    "real_subjects",
    "strip_debug",
    "suite_of",
]

Row = dict[str, float | str]
"""One line of results; the units are in the keys."""


def arguments(description: str, rounds: int | None = None) -> argparse.ArgumentParser:
    """The common options; without `rounds`, the benchmark finds out itself how often it repeats."""
    parser = argparse.ArgumentParser(description=description)
    if rounds is not None:
        parser.add_argument("--rounds", type=int, default=rounds, help=f"repetitions (default {rounds})")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this program (repeatable)")
    parser.add_argument("--quick", action="store_true", help="one round of little work: does it run at all?")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write the results there, too")
    return parser


def real_subjects(*, large: bool) -> list[Program]:
    return [each for each in REAL if large or not each.large]


def c_subjects(*, quick: bool) -> list[Program]:
    return [computing(name, SMALL if quick else FULL) for name in CHECKSUMS]


def is_command(program: Program) -> bool:
    """Whether a command line can run it: `_start`, and all it needs comes as arguments and files."""
    return program.kind is Kind.COMMAND


def suite_of(program: Program) -> str:
    """`real`, `c`, or the suite before the slash of its name."""
    if "/" in program.name:
        return program.name.partition("/")[0]
    return "c" if program.name in CHECKSUMS else "real"


def chosen(programs: Iterable[Program], only: list[str]) -> list[Program]:
    """Those asked for that are installed; says on stderr which are not."""
    found = []
    for program in programs:
        if only and program.name not in only:
            continue
        if program.missing:
            print(f"{program.name} is left out: {program.missing}", file=sys.stderr)
        else:
            found.append(program)
    if not found:
        raise SystemExit(f"no program to measure (--only {' '.join(only)})")
    return found


def publish(
    title: str,
    rows: list[Row],
    summary: Row,
    path: Path | None,
    *,
    digits: Callable[[str], int] = lambda key: 3,
) -> None:
    """Prints a table and its summary, and writes both as JSON if asked."""
    table = Table(title=title)
    for key in rows[0]:
        table.add_column(key, justify="left" if isinstance(rows[0][key], str) else "right")
    for row in rows:
        table.add_row(*(_cell(value, digits(key)) for key, value in row.items()))
    console = Console(width=None if sys.stdout.isatty() else 160)
    console.print(table)
    for key, value in summary.items():
        console.print(f"{key}: {_cell(value, 3)}", highlight=False)
    if path is not None:
        path.write_text(json.dumps({"title": title, "rows": rows, "summary": summary}, indent=2) + "\n")


def _cell(value: float | str, digits: int) -> str:
    return value if isinstance(value, str) else f"{value:,.{digits}f}"
