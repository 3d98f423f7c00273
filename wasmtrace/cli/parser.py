"""The parser of all subcommands: each has its own file with a parser part and a run part."""

from __future__ import annotations

import argparse
from typing import NoReturn

from wasmtrace.cli import dashboards, diff, inspect, instrument, run
from wasmtrace.cli.otlp_options import settle_otlp, with_bare_otlp
from wasmtrace.errors import UsageError


class _Parser(argparse.ArgumentParser):
    """Says what is wrong in one line, as every other error does."""

    def error(self, message: str) -> NoReturn:
        raise UsageError(f"{message} (try: {self.prog} --help)")


def parse(argv: list[str]) -> argparse.Namespace:
    """The arguments, with `run` set to the subcommand's function. Raises UsageError."""
    from wasmtrace.version import VERSION

    parser = _Parser(
        prog="wasmtrace",
        description="Shows what happens inside any WebAssembly program.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"wasmtrace {VERSION}")
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=_Parser)
    for command in (run, diff, instrument, inspect, dashboards):
        command.add_parser(commands)
    return settle_otlp(parser.parse_args(with_bare_otlp(argv)))
