"""Runs the command line in a process of its own, with a cache and a home of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "wasmtrace")
DEADLINE_SECONDS = 300
"""Compiling the largest program took 84 s, alone on two cores."""


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: bytes
    err: str


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **more}


def wasmtrace(home: Path, *arguments: str | Path, stdin: bytes = b"", **more: str) -> Done:
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=environment(home, **more),
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode("utf-8", "backslashreplace"))


@contextmanager
def started(home: Path, arguments: Sequence[str | Path], **more: str) -> Iterator[subprocess.Popen[bytes]]:
    """A command that goes on; killed at the end if it still runs."""
    process = subprocess.Popen(
        [*COMMAND, *map(str, arguments)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home, **more),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
