"""Programs compiled here, from tests/c, with the Zig package's compilers; kept in .cache, which git ignores.

A file's key is the hash of its source, the shared header, the compiler's version and the options, so a change
of any makes a new file. Two processes may compile the same at once: each writes its own file and renames it.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import os
import subprocess
import sys
import tempfile
from enum import Enum
from functools import cache
from pathlib import Path

SOURCES = Path(__file__).parent / "c"
CACHE = Path(__file__).parent.parent / ".cache"


class Missing(LookupError):
    """What a program needs is not installed; the message is the reason to skip."""


class Keep(Enum):
    """Which custom sections a compiled module keeps."""

    NAMES = "names"
    """All but DWARF: what the compiler's C library brings of it is twenty times the code."""
    DWARF = "dwarf"
    NOTHING = "nothing"
    """As `-s` leaves it: no names either."""


def compile_c(name: str, *, optimise: str = "-O2", keep: Keep = Keep.NAMES, defines: tuple[str, ...] = ()) -> Path:
    """The module of `tests/c/<name>.c`, for WASI. Raises `Missing` without a compiler."""
    macros = tuple(f"-D{each}" for each in defines)
    return _compiled(f"{name}.c", ("cc", "-target", "wasm32-wasi", optimise, *macros), keep)


def compile_cpp(name: str, *, optimise: str = "-O2", keep: Keep = Keep.NAMES) -> Path:
    """The module of `tests/c/<name>.cpp`, for WASI with libc++, whose own compilation takes 20 s at first.

    The linker demangles what it writes to the name section.
    """
    return _compiled(f"{name}.cpp", ("c++", "-target", "wasm32-wasi", optimise, "-fno-exceptions"), keep)


def compile_zig(name: str, *, optimise: str = "ReleaseSmall", keep: Keep = Keep.NAMES) -> Path:
    """The module of `tests/c/<name>.zig`, without WASI: it exports its functions, and imports nothing."""
    options = ("build-exe", "-target", "wasm32-freestanding", "-fno-entry", "-rdynamic", "-O", optimise)
    return _compiled(f"{name}.zig", options, keep)


def strip_debug(wasm: bytes) -> bytes:
    """The module without the custom sections of DWARF."""
    kept = bytearray(wasm[:8])
    position = 8
    while position < len(wasm):
        start, section = position, wasm[position]
        size, content = _read_u32(wasm, position + 1)
        position = content + size
        if section == 0:
            length, at = _read_u32(wasm, content)
            if wasm[at : at + length].startswith(b".debug_"):
                continue
        kept += wasm[start:position]
    return bytes(kept)


def _read_u32(wasm: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = wasm[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, position
        shift += 7


@cache
def _compiler_version() -> str:
    if importlib.util.find_spec("ziglang") is None:
        raise Missing("package ziglang is not installed")
    return importlib.metadata.version("ziglang")


def _compiled(file: str, options: tuple[str, ...], keep: Keep) -> Path:
    source = SOURCES / file
    key = hashlib.sha256(repr((_compiler_version(), options, keep.value)).encode())
    key.update(source.read_bytes())
    key.update((SOURCES / "scale.h").read_bytes())
    key.update(Path(__file__).read_bytes())
    target = CACHE / "compiled" / f"{source.stem}-{key.hexdigest()[:16]}.wasm"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        _build(source, options, keep, target)
    return target


def _build(source: Path, options: tuple[str, ...], keep: Keep, target: Path) -> None:
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        made = Path(folder) / "made.wasm"
        is_zig = source.suffix == ".zig"
        output = [f"-femit-bin={made}"] if is_zig else ["-o", str(made)]
        if keep is Keep.NOTHING:
            output.append("-fstrip" if is_zig else "-s")
        elif is_zig:
            output.append("-fno-strip")
        command = [sys.executable, "-m", "ziglang", options[0], str(source), *options[1:], *output]
        caches = {f"ZIG_{scope}_CACHE_DIR": str(CACHE / "zig") for scope in ("GLOBAL", "LOCAL")}
        done = subprocess.run(command, env=os.environ | caches, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise RuntimeError(f"{source.name} does not compile: {done.stderr}")
        if keep is Keep.NAMES:
            made.write_bytes(strip_debug(made.read_bytes()))
        made.replace(target)
