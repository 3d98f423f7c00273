"""Compiles walk.c to walk.wasm with ziglang's C compiler: `python -m wasmtrace.instrument.kernel.build`.

The result is checked in, so that nobody needs a compiler; a test builds it again and compares.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

SOURCE = Path(__file__).parent / "walk.c"
FLAGS = (
    *("-target", "wasm32-freestanding", "-mcpu=generic+bulk_memory", "-O2", "-std=c11", "-nostdlib"),
    *("-Wall", "-Wextra", "-Werror", "-Wl,--no-entry", "-Wl,--strip-all"),
)


def build(output: Path, source: Path = SOURCE) -> None:
    """Raises `subprocess.CalledProcessError`."""
    subprocess.run([sys.executable, "-m", "ziglang", "cc", *FLAGS, "-o", str(output), str(source)], check=True)


if __name__ == "__main__":
    build(SOURCE.with_name("walk.wasm"))
