"""`wasmtrace instrument`: the rewritten module and its site table, as files."""

from __future__ import annotations

import argparse
import json

from wasmtrace.cli import say
from wasmtrace.cli.module_input import STANDARD_INPUT, read_module
from wasmtrace.cli.probe_options import add_probe_options, options_of


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "instrument",
        help="write the rewritten module and its site table",
        description="Writes MODULE with probes in it, and beside it a JSON file that says what each cell counts.",
        allow_abbrev=False,
    )
    parser.add_argument("module", metavar="MODULE", help="a .wasm or .wat file, or - for standard input")
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help="where the rewritten module goes")
    parser.add_argument("--sites", metavar="FILE", help="where the site table goes (default: OUTPUT.sites.json)")
    add_probe_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from wasmtrace.exporters.files import OutputFile
    from wasmtrace.instrument import instrument, module_names
    from wasmtrace.runtime.engine import binary_of, validate

    wasm = binary_of(read_module(arguments.module))
    sites_path = arguments.sites or f"{arguments.output}.sites.json"
    output = OutputFile(arguments.output)
    try:
        sites_output = OutputFile(sites_path)
    except BaseException:
        output.discard()
        raise
    try:
        validate(wasm)
        result = instrument(wasm, options_of(arguments))
        names = module_names(wasm)
        table = result.sites.as_json()
        table["functions"] = [
            {"index": index, "name": names[index].name, "raw_name": names[index].raw_name}
            for index in range(result.sites.function_count)
        ]
        encoded = json.dumps(table, indent=1).encode() + b"\n"
        output.commit(result.wasm)
        sites_output.commit(encoded)
    except BaseException:
        output.discard()
        sites_output.discard()
        raise
    source = "standard input" if arguments.module == STANDARD_INPUT else arguments.module
    skipped = f", {len(result.sites.skipped)} notes in {sites_path}" if result.sites.skipped else ""
    say(
        f"{source}: {result.sites.function_count} functions, {result.sites.framed_functions} timed, "
        f"{len(wasm)} -> {len(result.wasm)} bytes{skipped}"
    )
    return 0
