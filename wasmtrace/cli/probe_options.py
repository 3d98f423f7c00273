"""Options about what is put into a module, shared by `run`, `instrument` and `inspect`."""

from __future__ import annotations

import argparse
import math
from typing import TYPE_CHECKING

from wasmtrace.cli.event_options import add_event_options, event_probes

if TYPE_CHECKING:
    from wasmtrace.instrument import Options

DEFAULT_SLOW_MS = 1.0


def add_probe_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--level",
        choices=("calls", "trace"),
        default="trace",
        help="calls: count calls, host calls and memory growth; trace: also time every call (default)",
    )
    parser.add_argument(
        "--include", action="append", default=[], metavar="GLOB", help="time only functions of this name"
    )
    parser.add_argument(
        "--exclude", action="append", default=[], metavar="GLOB", help="do not time functions of this name"
    )
    parser.add_argument(
        "--slow",
        type=slow_microseconds,
        default=slow_microseconds(str(DEFAULT_SLOW_MS)),
        metavar="MS",
        help="a call is slow from this many milliseconds on; 0 records every call (default 1)",
    )
    parser.add_argument(
        "--trace-function",
        action="append",
        default=[],
        metavar="GLOB",
        help="each call of the functions and imports of this name becomes a span, however short",
    )
    parser.add_argument(
        "--no-fuel", action="store_true", help="do not count the instructions that each function executes"
    )
    add_event_options(parser)


def slow_microseconds(text: str) -> int:
    """Microseconds from milliseconds. Raises ArgumentTypeError."""
    try:
        milliseconds = float(text)
    except ValueError:
        milliseconds = math.nan
    if not 0 <= milliseconds <= 1e9:
        raise argparse.ArgumentTypeError(f"expected milliseconds from 0 to 1e9, got {text!r}")
    return round(milliseconds * 1000)


def options_of(arguments: argparse.Namespace) -> Options:
    from wasmtrace.instrument import Options

    return Options(
        level=arguments.level,
        include=tuple(arguments.include),
        exclude=tuple(arguments.exclude),
        slow_threshold_us=arguments.slow,
        trace_functions=tuple(arguments.trace_function),
        fuel=not arguments.no_fuel,
        **event_probes(arguments),
    )
