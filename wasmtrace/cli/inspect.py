"""`wasmtrace inspect`: what a module is, and what would be put into it."""

from __future__ import annotations

import argparse
import json
import sys
from typing import Any

from wasmtrace.cli.module_input import read_module
from wasmtrace.cli.probe_options import add_probe_options, options_of

SHOWN = 40


def add_parser(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = commands.add_parser(
        "inspect",
        help="say what a module is",
        description="Says what MODULE is: kind, size, imports, exports, memories, functions, features, producers, "
        "and what would be instrumented.",
        allow_abbrev=False,
    )
    parser.add_argument("module", metavar="MODULE", help="a .wasm or .wat file, or - for standard input")
    parser.add_argument("--json", action="store_true", help="everything, as JSON")
    add_probe_options(parser)
    parser.set_defaults(run=run)


def run(arguments: argparse.Namespace) -> int:
    from wasmtrace.runtime.engine import binary_of, validate

    wasm = binary_of(read_module(arguments.module))
    validate(wasm)
    description = describe(wasm, arguments)
    if arguments.json:
        print(json.dumps(description, indent=1))
    else:
        sys.stdout.write(as_text(description))
    return 0


def describe(wasm: bytes, arguments: argparse.Namespace) -> dict[str, Any]:
    """Facts about a module. Raises DecodeError, UnsupportedError."""
    import hashlib

    from wasmtrace.instrument import instrument
    from wasmtrace.instrument.facts import module_facts

    result = instrument(wasm, options_of(arguments))
    sites = result.sites
    return {
        "module": arguments.module,
        "sha256": hashlib.sha256(wasm).hexdigest(),
        "size_bytes": len(wasm),
        **module_facts(wasm),
        "instrumented": {
            "level": sites.level,
            "size_bytes": len(result.wasm),
            "counted_functions": sites.function_count - len(sites.host_functions),
            "timed_functions": sites.framed_functions,
            "host_functions": len(sites.host_functions),
            "grow_sites": len(sites.grow_sites),
            "telemetry_bytes": sites.layout.pages * 65536,
            "notes": [each.reason for each in sites.skipped],
        },
    }


def as_text(facts: dict[str, Any]) -> str:
    """For people: one fact a line, long lists cut with how many more there are."""
    from wasmtrace.exporters.text import printable
    from wasmtrace.exporters.units import size

    inside = facts["instrumented"]
    functions = facts["functions"]
    lines = [
        ("module", facts["module"]),
        ("kind", facts["kind"]),
        ("size", f"{size(facts['size_bytes'])} ({facts['size_bytes']} bytes)"),
        ("sha256", facts["sha256"]),
        (
            "functions",
            f"{functions['defined']} defined, {functions['imported']} imported, {functions['named']} named",
        ),
        ("code", size(facts["code_bytes"])),
        ("start function", facts["start"]),
        ("features", ", ".join(facts["features"]) or "none beyond the first version of WebAssembly"),
        *(("producers", f"{field}: {', '.join(names)}") for field, names in facts["producers"].items()),
        *(("memory", _memory(each)) for each in facts["memories"]),
        *_items("import", [f"{each['module']}.{each['name']} ({each['kind']})" for each in facts["imports"]]),
        *_items("export", [f"{each['name']} ({each['kind']})" for each in facts["exports"]]),
        *_items("custom section", [f"{each['name']} ({size(each['size_bytes'])})" for each in facts["custom"]]),
        (
            f"at level {inside['level']}",
            f"{inside['counted_functions']} functions counted, {inside['timed_functions']} timed, "
            f"{inside['host_functions']} host functions watched, "
            f"{inside['grow_sites']} functions that grow memory",
        ),
        (
            "instrumented",
            f"{size(inside['size_bytes'])}, {inside['size_bytes'] / facts['size_bytes']:.2f} times the size, "
            f"and {size(inside['telemetry_bytes'])} of telemetry memory",
        ),
        *_items("note", inside["notes"]),
    ]
    return "".join(f"{label:16} {printable(str(text))}\n" for label, text in lines if text is not None)


def _items(label: str, items: list[str]) -> list[tuple[str, str]]:
    rows = [(label, each) for each in items[:SHOWN]]
    if len(items) > SHOWN:
        rows.append((label, f"... {len(items) - SHOWN} more"))
    return rows


def _memory(memory: dict[str, Any]) -> str:
    most = "no maximum" if memory["max_pages"] is None else f"at most {memory['max_pages']} pages"
    kinds = [name for name in ("imported", "shared", "64-bit") if memory[name]]
    return ", ".join([f"{memory['min_pages']} pages of {memory['page_bytes']} bytes", most, *kinds])
