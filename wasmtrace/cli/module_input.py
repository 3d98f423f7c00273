"""Reads a module from where the user said: a file, or `-` for standard input."""

from __future__ import annotations

import sys

from wasmtrace.errors import GuestError

STANDARD_INPUT = "-"


def read_module(path: str) -> bytes:
    """The bytes of a module, binary or text. Raises GuestError that names the file and why."""
    try:
        if path == STANDARD_INPUT:
            return sys.stdin.buffer.read()
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise GuestError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise GuestError(f"cannot read {path!r}: {error}") from error


def module_name(path: str) -> str:
    """What a module is called, by us and by itself: its file's name."""
    return "stdin" if path == STANDARD_INPUT else path.rstrip("/").rsplit("/", 1)[-1]
