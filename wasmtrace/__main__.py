"""`python -m wasmtrace` is the command line."""

from wasmtrace.cli import console_main

console_main()
