"""The command line. `main` is the only place that turns an error into a line on stderr and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from wasmtrace.errors import WasmtraceError


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; the exit code: 2 for usage, 1 for other errors of ours, else the subcommand's."""
    from wasmtrace.cli.parser import parse

    try:
        arguments = parse(sys.argv[1:] if argv is None else list(argv))
        result: int = arguments.run(arguments)
        return result
    except WasmtraceError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone; Python must not complain about it while it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1


def complain(message: str) -> None:
    """One line on stderr, harmless to a terminal whatever a module put into it."""
    from wasmtrace.exporters.text import printable

    print(f"wasmtrace: {printable(message)}", file=sys.stderr)


def console_main() -> None:
    """The console script."""
    sys.exit(main())
