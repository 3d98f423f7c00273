"""What a guest is given of the world outside: by default nothing.

Plain data. `engine_link.py` makes it true.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any


class Stream(Enum):
    """Where a standard stream goes that is neither a file nor kept by the caller."""

    INHERIT = "inherit"
    """This process's own."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A directory of the host, and what the guest calls it."""

    host: str | Path
    guest: str
    read_only: bool = False


Input = Stream | bytes | Path | None
"""Standard input: this process's own, these bytes, that file, or empty."""
Output = Stream | Path | None
"""Standard output or error: this process's own, written to that file, or thrown away. A pipe is `/dev/fd/N`."""

HostCallable = Callable[..., Any]
Imports = Mapping[tuple[str, str], HostCallable]
"""Host functions by module and name. Integers come in signed; the type is what the guest declares."""


@dataclass(frozen=True, slots=True)
class Sandbox:
    """Arguments, environment, directories, streams and host functions for one guest.

    `args` begins with the program's own name, as the guest sees it.
    """

    args: Sequence[str] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    dirs: Sequence[Directory] = ()
    stdin: Input = None
    stdout: Output = None
    stderr: Output = None
    imports: Imports = field(default_factory=dict)


def with_instance(function: HostCallable) -> HostCallable:
    """Marks a host function that wants the instance that calls it, as its first argument."""
    function.__wasmtrace_instance__ = True  # type: ignore[attr-defined]
    return function


def wants_instance(function: HostCallable) -> bool:
    return bool(getattr(function, "__wasmtrace_instance__", False))
