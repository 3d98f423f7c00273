"""Rewrites WebAssembly modules: bytes in, bytes and a site table out. Knows no engine, no clock and no
socket."""

from wasmtrace.instrument.names import ModuleNames, demangle, module_names
from wasmtrace.instrument.options import Options
from wasmtrace.instrument.rewrite import Instrumented, instrument, original_offset

__all__ = [
    "Instrumented",
    "ModuleNames",
    "Options",
    "demangle",
    "instrument",
    "module_names",
    "original_offset",
]
