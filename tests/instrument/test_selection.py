"""Globs on names: which functions get frames. All are counted."""

from __future__ import annotations

import pytest

from traced_guest import Traced, wasm_of
from wasmtrace.instrument import Options

PROGRAM = wasm_of("""
(module
  (func $leaf)
  (func $alloc call $leaf)
  (func $alloc_zeroed call $alloc)
  (func $_ZN3app4mainEi (param i32) call $alloc_zeroed)
  (func $_ZN3app4pollEi (param i32) local.get 0 call $_ZN3app4mainEi)
  (func $Free call $leaf)
  (func $run (export "run") i32.const 1 call $_ZN3app4pollEi call $Free))
""")
ALL = {"alloc", "alloc_zeroed", "app::main(int)", "app::poll(int)", "Free", "run"}

# id, include, exclude, which have frames
CASES: list[tuple[str, tuple[str, ...], tuple[str, ...], set[str]]] = [
    ("all", (), (), ALL),
    ("star", ("*",), (), ALL),
    ("one", ("run",), (), {"run"}),
    ("none-matches", ("nothing",), (), set()),
    ("leaf-never", ("leaf",), (), set()),
    ("prefix", ("alloc*",), (), {"alloc", "alloc_zeroed"}),
    ("whole-name", ("alloc",), (), {"alloc"}),
    ("demangled", ("app::*",), (), {"app::main(int)", "app::poll(int)"}),
    ("raw", ("_ZN3app4main*",), (), {"app::main(int)"}),
    ("case-matters", ("free", "RUN"), (), set()),
    ("several", ("Free", "run"), (), {"Free", "run"}),
    ("question-mark", ("?ree",), (), {"Free"}),
    ("set", ("[Fr]*",), (), {"Free", "run"}),
    ("exclude", (), ("alloc*",), ALL - {"alloc", "alloc_zeroed"}),
    ("exclude-raw", (), ("_ZN*",), ALL - {"app::main(int)", "app::poll(int)"}),
    ("exclude-demangled", (), ("app::poll*",), ALL - {"app::poll(int)"}),
    ("exclude-wins", ("a*",), ("alloc",), {"alloc_zeroed", "app::main(int)", "app::poll(int)"}),
    ("exclude-all", (), ("*",), set()),
    ("broken-set", ("[",), (), set()),
    ("regex-is-no-glob", (".*",), (), set()),
]
EACH_CASE = pytest.mark.parametrize(
    ("include", "exclude", "framed"), [row[1:] for row in CASES], ids=[row[0] for row in CASES]
)


@EACH_CASE
def test_frames(include: tuple[str, ...], exclude: tuple[str, ...], framed: set[str]) -> None:
    traced = Traced(PROGRAM, options=Options(include=include, exclude=exclude, slow_threshold_us=0))
    traced.call("run")
    assert {name for name, _ in traced.recorded()} == framed
    assert traced.sites.framed_functions == len(framed)
    assert traced.depth == 0


@EACH_CASE
@pytest.mark.parametrize("level", ["calls", "trace"])
def test_every_function_is_counted(
    include: tuple[str, ...], exclude: tuple[str, ...], framed: set[str], level: str
) -> None:
    traced = Traced(PROGRAM, options=Options(level=level, include=include, exclude=exclude))
    traced.call("run")
    assert traced.calls == dict.fromkeys(ALL, 1) | {"leaf": 2}
