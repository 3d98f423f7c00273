"""The command line in a shell of its own, in a folder of its own: to be given broken streams, limits and signals."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DEADLINE_SECONDS = 60
GREETING = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\20\\00\\00\\00\\0a\\00\\00\\00\\30\\00\\00\\00\\0a\\00\\00\\00")
  (data (i32.const 32) "to stdout\\n")
  (data (i32.const 48) "to stderr\\n")
  (func $say (param i32 i32)
    (drop (call $fd_write (local.get 0) (local.get 1) (i32.const 1) (i32.const 64))))
  (func (export "_start")
    (call $say (i32.const 1) (i32.const 0))
    (call $say (i32.const 2) (i32.const 8))))
"""
RETURNS_A_NUMBER = '(module (func (export "answer") (result i32) (i32.const 42)))'


@dataclass(frozen=True, slots=True)
class Ended:
    code: int
    out: bytes
    err: bytes


def environment(home: Path, **more: str) -> dict[str, str]:
    """Variables for a process with its caches in `home`."""
    kept = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    return {**kept, "HOME": str(home), "XDG_CACHE_HOME": str(home / "cache"), **more}


def write_modules(folder: Path, modules: dict[str, str]) -> None:
    for name, text in modules.items():
        (folder / f"{name}.wat").write_text(text)


def run_shell(folder: Path, words: str, redirection: str, *, before: str = "", **modules: str) -> Ended:
    """`wasmtrace WORDS REDIRECTION` in `folder`, where each module is a `.wat` file; `before` runs first."""
    write_modules(folder, modules)
    home = folder / "home"
    home.mkdir(exist_ok=True)
    line = f"{before}\n{sys.executable} -m wasmtrace {words} {redirection}"
    done = subprocess.run(
        ["sh", "-c", line],
        cwd=folder,
        env=environment(home),
        capture_output=True,
        timeout=DEADLINE_SECONDS,
        check=False,
    )
    return Ended(done.returncode, done.stdout, done.stderr)


@contextmanager
def begun(folder: Path, arguments: Sequence[str]) -> Iterator[subprocess.Popen[bytes]]:
    """`wasmtrace ARGUMENTS` in `folder`, going on; killed at the end if it still runs."""
    home = folder / "home"
    home.mkdir(exist_ok=True)
    process = subprocess.Popen(
        [sys.executable, "-m", "wasmtrace", *arguments],
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(home),
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()
