"""`wasmtrace run`: rewrites a module, runs it, says what it did. Here: its options."""

from __future__ import annotations

import argparse
import re

from wasmtrace.cli.anomaly_options import add_anomaly_options
from wasmtrace.cli.event_options import add_event_output_options
from wasmtrace.cli.otlp_options import add_otlp_options
from wasmtrace.cli.probe_options import add_probe_options

_SIZE = re.compile(r"(\d+)\s*(?:([KMGT])(?:i?B)?|B)?", re.IGNORECASE)
_UNITS = {"": 0, "K": 1, "M": 2, "G": 3, "T": 4}


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "run",
        help="run a module and show what it did",
        usage="wasmtrace run [OPTIONS] MODULE [ARGS...]",
        description="Runs MODULE with probes in it. Arguments after MODULE are the guest's, untouched. "
        "The guest has no directory, no environment and no network unless given.",
        epilog="Exit code: the guest's own; 134 trap, 124 --timeout, 137 --on-anomaly kill, 130 Ctrl-C, 143 SIGTERM; "
        "2 wrong usage, 1 any other error.",
        allow_abbrev=False,
    )
    _add_sandbox_options(parser.add_argument_group("what the guest gets"))
    _add_limit_options(parser.add_argument_group("limits"))
    add_probe_options(parser)
    add_anomaly_options(parser.add_argument_group("what is an anomaly"))
    _add_output_options(parser.add_argument_group("what is shown"))
    add_otlp_options(parser.add_argument_group("OpenTelemetry"))
    parser.add_argument("--no-cache", action="store_true", help="neither read nor keep rewritten or compiled code")
    parser.add_argument("module", metavar="MODULE", help="a .wasm or .wat file, or - for standard input")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, metavar="ARGS", help="arguments of the guest")
    parser.set_defaults(run=run)


def _add_sandbox_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--dir", action="append", default=[], metavar="HOST[::GUEST]", help="a directory, to read and write"
    )
    group.add_argument(
        "--dir-ro", action="append", default=[], metavar="HOST[::GUEST]", help="a directory, to read only"
    )
    group.add_argument(
        "--env", action="append", default=[], metavar="NAME[=VALUE]", help="a variable; without VALUE, ours"
    )
    group.add_argument(
        "--invoke",
        metavar="NAME",
        help="call this function, with ARGS as its arguments, and print its results",
    )
    group.add_argument(
        "--unknown-imports",
        choices=("error", "trap"),
        default="error",
        help="what an import nobody provides does",
    )


def _add_limit_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--fuel", type=_count, metavar="N", help="trap after this much of the engine's fuel")
    group.add_argument("--max-memory", type=_size, metavar="BYTES", help="of each memory; K, M and G are understood")
    group.add_argument("--max-stack", type=_size, metavar="BYTES", help="of the guest's calls (default 512K)")
    group.add_argument("--timeout", type=_seconds, metavar="SECONDS", help="stop the guest after this time")


def _add_output_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument("--metrics", metavar="ADDR:PORT", help="serve Prometheus metrics at /metrics while it runs")
    group.add_argument("--metrics-file", metavar="PATH", help="write Prometheus metrics at the end")
    group.add_argument("--report", metavar="PATH", help="write a JSON report at the end")
    add_event_output_options(group)
    group.add_argument(
        "--summary", action=argparse.BooleanOptionalAction, default=True, help="say on stderr what happened"
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _size(text: str) -> int:
    found = _SIZE.fullmatch(text)
    if found is None:
        raise argparse.ArgumentTypeError(f"expected bytes, such as 65536, 64K or 1G, got {text!r}")
    return int(found[1]) << 10 * _UNITS[(found[2] or "").upper()]


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return seconds


def run(arguments: argparse.Namespace) -> int:
    from wasmtrace.cli.run_guest import run_guest

    return run_guest(arguments)
