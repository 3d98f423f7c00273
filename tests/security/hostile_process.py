"""The command line in a process of its own, given hostile modules."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

COMMAND = (sys.executable, "-m", "wasmtrace")
DEADLINE_SECONDS = 60


@dataclass(frozen=True, slots=True)
class Done:
    code: int
    out: bytes
    err: str


def environment(home: Path, **more: str) -> dict[str, str]:
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **more}


def wasmtrace(home: Path, *arguments: str | Path, stdin: bytes = b"") -> Done:
    """Raises `UnicodeDecodeError` for an error output that is not UTF-8."""
    done = subprocess.run(
        [*COMMAND, *map(str, arguments)],
        input=stdin,
        capture_output=True,
        env=environment(home),
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    return Done(done.returncode, done.stdout, done.stderr.decode())
