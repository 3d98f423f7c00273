"""binaryen's `log-execution` pass: a call of an imported function at each function's start, loop and return.

The tool is `wasm-opt` of the npm package `binaryen`, installed under build/. What it makes is kept by content, as it
takes seconds for a large module.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from wasmtime import Func, FuncType, Global, GlobalType, Instance, Linker, Module, Store, Val, ValType

from wasmtrace.errors import UnsupportedError
from wasmtrace.instrument.module import decode

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "build" / "npm" / "node_modules" / "binaryen"
IMPORT_NAME = "log_execution"
_FEATURES = ("--all-features", "--disable-compact-imports")
"""It writes what it may; the engine does not take compact imports as it comes."""


def wasm_opt() -> list[str]:
    """The command. Raises `UnsupportedError` with the reason."""
    node = shutil.which("node")
    if node is None:
        raise UnsupportedError("node is not installed, which binaryen's wasm-opt runs on")
    if not (PACKAGE / "bin" / "wasm-opt").exists():
        raise UnsupportedError("the npm package binaryen is not installed (make bench does)")
    return [node, str(PACKAGE / "bin" / "wasm-opt")]


def version() -> str | None:
    """Of binaryen, None if it is not here."""
    about = PACKAGE / "package.json"
    return str(json.loads(about.read_text())["version"]) if about.exists() else None


def with_log_execution(wasm: bytes) -> bytes:
    """The module as the pass leaves it. Raises `UnsupportedError` with what wasm-opt says."""
    command = wasm_opt()
    key = hashlib.sha256(wasm + str(version()).encode()).hexdigest()[:24]
    target = ROOT / "build" / "bench" / "log-execution" / f"{key}.wasm"
    if not target.exists():
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=target.parent) as folder:
            source, made = Path(folder) / "in.wasm", Path(folder) / "out.wasm"
            source.write_bytes(wasm)
            options = [*_FEATURES, "--log-execution", str(source), "-o", str(made)]
            done = subprocess.run([*command, *options], capture_output=True, text=True, check=False)
            if done.returncode != 0 or not made.exists():
                raise UnsupportedError(f"wasm-opt: {(done.stderr.strip() or str(done.returncode)).splitlines()[-1]}")
            os.replace(made, target)
    return target.read_bytes()


def import_module(wasm: bytes) -> str:
    """The module name under which the pass imports its function."""
    return next(each.module for each in decode(wasm).imports if each.name == IMPORT_NAME)


_COUNTER = """
(module
  (global $calls (import "" "calls") (mut i64))
  (func (export "log") (param i32) (global.set $calls (i64.add (global.get $calls) (i64.const 1)))))
"""


def counter_link(wasm: bytes) -> Callable[[Linker, Store], object]:
    """Gives the pass a function of another Wasm module that adds to a global: what a call from Wasm to Wasm costs."""
    where = import_module(wasm)

    def link(linker: Linker, store: Store) -> object:
        calls = Global(store, GlobalType(ValType.i64(), True), Val.i64(0))
        log = Instance(store, Module(linker.engine, _COUNTER), [calls]).exports(store)["log"]
        assert isinstance(log, Func)
        linker.define(store, where, IMPORT_NAME, log)
        return calls

    return link


def counted(linked: object, store: Store) -> int:
    """What `counter_link` has counted."""
    assert isinstance(linked, Global)
    return int(linked.value(store))


def python_link(wasm: bytes) -> Callable[[Linker, Store], object]:
    """Gives the pass a Python function that does the least that can be stopped: it adds to the first item of a list."""
    where = import_module(wasm)

    def link(linker: Linker, store: Store) -> object:
        counts = [0]

        def log(_: int) -> None:
            counts[0] += 1

        linker.define(store, where, IMPORT_NAME, Func(store, FuncType([ValType.i32()], []), log))
        return counts

    return link
