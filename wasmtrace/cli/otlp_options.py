"""Options about OTLP: where traces, metrics and logs go. `--otlp` takes a value only after `=`."""

from __future__ import annotations

import argparse

from wasmtrace.errors import UsageError

_BARE = "--otlp=\0"
"""Stands for `--otlp` alone: no word of a command line can hold a zero byte."""


def add_otlp_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--otlp",
        metavar="ENDPOINT",
        help="send traces, metrics and logs to this collector; without =ENDPOINT to that of OTEL_EXPORTER_OTLP_ENDPOINT",
    )
    group.add_argument("--otlp-file", metavar="PATH", help="write them as OTLP JSON lines")
    group.add_argument(
        "--logs", action="store_true", help="send what the guest writes to stdout and stderr, too, line by line"
    )


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
    if arguments.logs and not wanted:
        raise UsageError("--logs needs --otlp or --otlp-file: say where the logs go")
    return wanted
