"""The tables of programs are right: each gives what its check asks for, in plain wasmtime."""

from __future__ import annotations

import pytest
from wasmtime import Engine, Func, Instance, Module, Store, Trap, TrapCode

from c_programs import CHECKSUMS, FULL, SMALL, computing, every
from compiled import Keep, Missing, compile_c, compile_cpp, compile_zig, strip_debug
from plain import run_plain
from programs import REAL, Program


def _run(program: Program) -> None:
    if program.missing:
        pytest.skip(program.missing)
    program.check(run_plain(program))


# The large ones run under wasmtrace only (test_traced_programs.py): compiling each takes a minute or more.
@pytest.mark.parametrize("program", [pytest.param(each, id=each.name) for each in REAL if not each.large])
def test_real_program_does_its_work(program: Program) -> None:
    _run(program)


@pytest.mark.parametrize("program", [pytest.param(each, id=each.name) for each in every(SMALL)])
def test_c_program_prints_its_checksum(program: Program) -> None:
    _run(program)


@pytest.mark.parametrize("name", CHECKSUMS)
def test_c_program_prints_its_checksum_at_full_scale(name: str) -> None:
    _run(computing(name, FULL))


@pytest.mark.parametrize("program", [pytest.param(each, id=each.name) for each in REAL])
def test_real_program_is_a_module(program: Program) -> None:
    if program.missing:
        pytest.skip(program.missing)
    with program.path.open("rb") as file:
        assert file.read(8) == b"\0asm\1\0\0\0"
    assert program.large == (program.size_bytes > 50_000_000)


@pytest.mark.parametrize(
    ("ending", "code"),
    [
        ("abort", TrapCode.UNREACHABLE),
        ("trap", TrapCode.UNREACHABLE),
        ("divide", TrapCode.INTEGER_DIVISION_BY_ZERO),
        ("bounds", TrapCode.MEMORY_OUT_OF_BOUNDS),
        ("stack", TrapCode.STACK_OVERFLOW),
    ],
)
def test_ending_traps(ending: str, code: TrapCode) -> None:
    with pytest.raises(Trap) as caught:
        run_plain(_ending(ending))
    assert caught.value.trap_code is code


@pytest.mark.parametrize(("ending", "exit_code"), [("return", 7), ("exit", 9), ("other", 2)])
def test_ending_exits(ending: str, exit_code: int) -> None:
    assert run_plain(_ending(ending)).exit_code == exit_code


def _ending(name: str) -> Program:
    program = Program("endings", lambda: compile_c("endings"), lambda result: None, args=(name,))
    if program.missing:
        pytest.skip(program.missing)
    return program


def test_cpp_program_keeps_its_names() -> None:
    program = Program("names", lambda: compile_cpp("names"), lambda result: None)
    if program.missing:
        pytest.skip(program.missing)
    assert run_plain(program).stdout == b"oil 150\nsalt 150\ntea 300\ntotal 600, first 41\n"
    assert b"shop::goods::Shelf<shop::goods::Price>::total() const" in program.path.read_bytes()
    assert b"shop::goods" not in compile_cpp("names", keep=Keep.NOTHING).read_bytes()


def test_zig_program_runs_without_wasi() -> None:
    try:
        path = compile_zig("counters")
    except Missing as missing:
        pytest.skip(str(missing))
    store = Store(Engine())
    run = Instance(store, Module.from_file(store.engine, str(path)), []).exports(store)["run"]
    assert isinstance(run, Func)
    assert run(store, 1000) == 16881364


def test_strip_debug_keeps_all_but_dwarf() -> None:
    try:
        whole = compile_c("fib", keep=Keep.DWARF).read_bytes()
    except Missing as missing:
        pytest.skip(str(missing))
    assert b"\x0b.debug_info" in whole
    assert strip_debug(whole) == compile_c("fib").read_bytes()
    assert b".debug_" not in strip_debug(whole)
