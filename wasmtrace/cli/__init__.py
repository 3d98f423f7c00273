"""The command line. `main` is the only place that turns an error into a line on stderr and an exit code."""

from __future__ import annotations

import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn, TextIO

from wasmtrace.errors import WasmtraceError

LONGEST_LINE = 4000
"""A module may have names of a megabyte; what is too much is cut out of the middle."""


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one subcommand; the exit code: 2 for usage, 1 for other errors of ours, else the subcommand's."""
    from wasmtrace.cli.parser import parse

    try:
        arguments = parse(sys.argv[1:] if argv is None else list(argv))
        result: int = arguments.run(arguments)
        sys.stdout.flush()
        return result
    except WasmtraceError as error:
        complain(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has gone.
        _silence(sys.stdout)
        return 1
    except MemoryError:
        complain("out of memory")
        return 1
    except RuntimeError as error:
        if "start new thread" not in str(error):
            raise
        complain("out of memory or of threads: cannot start a thread")
        return 1
    except OSError as error:
        if error.errno is None:
            # The loader of shared objects has a text alone.
            complain(f"cannot load the engine: {error}")
            return 1
        # Files of ours raise errors of ours: this is standard output, or what has no descriptors left.
        complain(f"cannot write {error.filename or 'standard output'}: {(error.strerror or str(error)).lower()}")
        _silence(sys.stdout)
        return 1


def complain(message: str) -> None:
    """One line on stderr that begins with our name."""
    say(f"wasmtrace: {message}")


def say(line: str) -> None:
    """One line on stderr, harmless to a terminal whatever a module put into it. What cannot be said is not an
    error."""
    from wasmtrace.exporters.text import printable, shorten

    try:
        print(shorten(printable(line), LONGEST_LINE), file=sys.stderr, flush=True)
    except OSError:
        _silence(sys.stderr)


def _silence(stream: TextIO) -> None:
    """Python must not complain, while it ends, about what it could not write."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _open_standard_streams() -> None:
    """Opens those that the caller closed: else a file of ours gets the number, and the guest writes into it."""
    for descriptor, (name, mode) in enumerate((("stdin", "r"), ("stdout", "w"), ("stderr", "w"))):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != descriptor:
                os.dup2(null, descriptor)
                os.close(null)
            setattr(sys, name, open(descriptor, mode))  # noqa: SIM115


def end_process(code: int) -> NoReturn:
    """Ends without taking the interpreter and the engine apart, and without waiting for a guest that may loop for
    ever: the system is faster at that."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError):
            stream.flush()
    os._exit(code)


def console_main() -> NoReturn:
    """The console script."""
    gc.disable()  # until the guest runs: what is imported stays
    _open_standard_streams()
    end_process(main())
