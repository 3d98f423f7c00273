"""`wasmtrace diff`: which functions of a program got dearer from one run to another."""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from wasmtrace.cli import complain
from wasmtrace.cli.terminal import terminal_of
from wasmtrace.errors import ReportError

if TYPE_CHECKING:
    from fractions import Fraction

    from wasmtrace.exporters.diff import Comparison
    from wasmtrace.exporters.past_run import PastRun

TOO_DEAR = 3
"""The exit code of `--fail-above`."""
_PERCENT = re.compile(r"\d{1,9}(\.\d{1,9})?")


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "diff",
        help="compare two runs: which functions got dearer",
        description="Compares the reports (wasmtrace run --report) of two runs, of two releases or with two inputs, "
        "function by function: by fuel, which is exact on any machine, and by calls.",
        epilog=f"Exit code: 0; {TOO_DEAR} if --fail-above is exceeded; 2 wrong usage, 1 any other error.",
        allow_abbrev=False,
    )
    parser.add_argument("before", metavar="OLD", help="the report of the earlier run")
    parser.add_argument("after", metavar="NEW", help="the report of the later one")
    parser.add_argument("--top", type=_count, metavar="N", help="show the N greatest changes (default 20; JSON: all)")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    parser.add_argument(
        "--fail-above",
        type=_percent,
        metavar="PERCENT",
        help=f"exit with {TOO_DEAR} if the fuel in all has grown by more than this",
    )
    parser.set_defaults(run=run)


def _count(text: str) -> int:
    if re.fullmatch(r"\d{1,9}", text, re.ASCII) is None:
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _percent(text: str) -> Fraction:
    from fractions import Fraction  # and with it decimal: not at each start of the command line

    if re.fullmatch(_PERCENT, text.removesuffix("%")) is None or not text.isascii():
        raise argparse.ArgumentTypeError(f"expected a percentage, such as 5 or 0.1, got {text!r}")
    return Fraction(text.removesuffix("%"))


def run(arguments: argparse.Namespace) -> int:
    from wasmtrace.exporters.diff import compare

    comparison = compare(_read(arguments.before), _read(arguments.after))
    limit: Fraction | None = arguments.fail_above
    if limit is not None and not comparison.has_fuel:
        lacking = [run.source for run in (comparison.before, comparison.after) if not run.has_fuel]
        raise ReportError(f"--fail-above needs fuel, which {' and '.join(lacking)} does not have")
    _show(comparison, arguments)
    sys.stdout.flush()  # before what comes on stderr
    if limit is None or not comparison.grew_by_more_than(limit):
        return 0
    complain(f"fuel has grown by more than {float(limit):g}%")
    return TOO_DEAR


def _read(path: str) -> PastRun:
    from wasmtrace.exporters.past_run import decode

    try:
        data = Path(path).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ReportError(f"cannot read {path!r}: {reason}") from None
    return decode(data, path)


def _show(comparison: Comparison, arguments: argparse.Namespace) -> None:
    from wasmtrace.exporters import diff_shown

    if arguments.json:
        sys.stdout.write(diff_shown.encode(comparison, arguments.top).decode("ascii"))
        return
    from wasmtrace.exporters.summary import lay_out

    colour, width = terminal_of(sys.stdout)
    top = diff_shown.DEFAULT_TOP if arguments.top is None else arguments.top
    sections = tuple(diff_shown.tables(comparison, top))
    said = lay_out(diff_shown.headline(comparison), sections, diff_shown.notes(comparison), colour=colour, width=width)
    sys.stdout.write(said)
