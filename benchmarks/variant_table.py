"""The variants that `bench_run.py` runs, in the order of a round."""

from __future__ import annotations

from command_line import CommandLine
from variants import LogExecution, LogExecutionPython, PythonHook, Traced, Variant
from wasmtrace.instrument import Options

PLAIN = "plain"
LEVELS = ("calls", "trace")
COMMAND = "command"

VARIANTS: tuple[Variant | CommandLine, ...] = (
    Variant(PLAIN, "plain wasmtime"),
    Traced("calls", "wasmtrace, level calls", options=Options(level="calls", fuel=False)),
    Traced("trace", "wasmtrace, level trace", options=Options(level="trace", fuel=False)),
    Traced("calls+fuel", "wasmtrace, level calls, fuel by function", options=Options(level="calls", fuel=True)),
    Traced("trace+fuel", "wasmtrace, level trace, fuel by function", options=Options(level="trace", fuel=True)),
    Traced(
        "trace+engine-fuel",
        "wasmtrace, level trace, the engine's fuel",
        "fuel",
        options=Options(level="trace", fuel=False),
    ),
    Variant("engine-fuel", "the engine's fuel alone", "fuel"),
    Variant("engine-epochs", "the engine's epoch checks alone", "epochs"),
    LogExecution("log-execution", "binaryen's log-execution, into Wasm"),
    PythonHook("python-hook", "a Python hook at each call"),
    LogExecutionPython("log-execution-python", "binaryen's log-execution, into Python"),
    CommandLine(COMMAND, "wasmtime's command line"),
    CommandLine(
        "guest-profile", "wasmtime's command line, --profile=guest", ("--profile=guest,{folder}/profile.json",)
    ),
)

BASES = {"guest-profile": COMMAND}
"""What a variant is compared with, where that is not plain wasmtime."""


def base_of(key: str) -> str:
    return BASES.get(key, PLAIN)


INSTRUCTION_VARIANTS = tuple(
    each for each in VARIANTS if isinstance(each, Variant) and each.key.removesuffix("+fuel") in (PLAIN, *LEVELS)
)
"""Those whose instructions are counted."""
