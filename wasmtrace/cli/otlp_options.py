"""Options about OTLP: where traces, metrics and logs go. `--otlp` takes a value only after `=`."""

from __future__ import annotations

import argparse

from wasmtrace.errors import UsageError

DEFAULT_BUDGET = 200
DEFAULT_FLUSH_AFTER = 5.0
_BARE = "--otlp=\0"
"""Stands for `--otlp` alone: no word of a command line can hold a zero byte."""


def add_otlp_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--otlp",
        metavar="ENDPOINT",
        help="send traces, metrics and logs to this collector; alone to that of OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    group.add_argument("--otlp-file", metavar="PATH", help="write them as OTLP JSON lines")
    group.add_argument(
        "--logs", action="store_true", help="send what the guest writes to stdout and stderr, too, line by line"
    )
    group.add_argument(
        "--span-budget",
        type=_count,
        metavar="N",
        help=f"at most so many calls a second become spans (default {DEFAULT_BUDGET}); 0 for all",
    )
    group.add_argument(
        "--flush-after",
        type=_seconds,
        metavar="SECONDS",
        help=f"show a call before it has ended when it is open for so long (default {DEFAULT_FLUSH_AFTER:g})",
    )
    group.add_argument(
        "--propagate-env", action="store_true", help="give the guest the span of its run, as TRACEPARENT and friends"
    )


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 9):
        raise argparse.ArgumentTypeError(f"expected a whole number, got {text!r}")
    return int(text)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 < seconds <= 1e6:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, got {text!r}")
    return seconds


def with_bare_otlp(argv: list[str]) -> list[str]:
    """The words for argparse, which would take MODULE for the value of `--otlp`."""
    return [_BARE if each == "--otlp" else each for each in argv]


def settle_otlp(arguments: argparse.Namespace) -> argparse.Namespace:
    """Undoes `with_bare_otlp` where it was not ours; `arguments.otlp` is "" for `--otlp` alone."""
    if getattr(arguments, "arguments", None):
        arguments.arguments = ["--otlp" if each == _BARE else each for each in arguments.arguments]
    if getattr(arguments, "otlp", None) == "\0":
        arguments.otlp = ""
    return arguments


def otlp_wanted(arguments: argparse.Namespace) -> bool:
    """Whether anything is sent or written. Raises UsageError for options that have no meaning without."""
    wanted = arguments.otlp is not None or arguments.otlp_file is not None
    for option in ("--logs", "--span-budget", "--flush-after", "--propagate-env", "--trace-function"):
        given = getattr(arguments, option[2:].replace("-", "_"))
        if not wanted and given is not None and given is not False and given != []:
            raise UsageError(f"{option} needs --otlp or --otlp-file: say where telemetry goes")
    return wanted
