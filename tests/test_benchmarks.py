"""Each benchmark still runs, on little work, and writes its results; what it makes of samples is right."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from wasmtime import Func, FuncType, Instance, Module, Store, Table, ValType, wat2wasm

from bench_instructions import counted_in
from checking import Expected
from guests import engine_with
from log_execution import with_log_execution
from machine import machine, sentence
from naive_hook import HOOK_TABLE, with_hooks
from noise import Ratio, Verdict, compare, paired_ratio, signed_rank_bound, spread
from outside_suites import outside_programs, without_times
from programs import REAL, Program, Result
from publish import parts_of_run, with_parts
from results import figure, missing, noise_of, ratio
from tables import by_program, gaps, instructions, of_rows, overview, pivoted
from tree import BRANCHES
from wasmtrace.errors import UnsupportedError

ROOT = Path(__file__).parent.parent
BENCHMARKS = ROOT / "benchmarks"


def run_script(script: str, *arguments: str, expected: int = 0) -> str:
    command = [sys.executable, str(BENCHMARKS / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == expected, done.stdout + done.stderr
    return done.stdout


def skip_without(program: str) -> None:
    reason = next((each.missing for each in REAL if each.name == program), None)
    if reason:
        pytest.skip(reason)


@pytest.mark.parametrize(
    ("script", "program", "key"),
    [
        ("bench_rewrite.py", "micropython", "code MB/s"),
        ("bench_startup.py", "resvg", "warm ms"),
        ("bench_events.py", "i32 x 4", "written K/s"),
    ],
)
def test_benchmark_runs(script: str, program: str, key: str, tmp_path: Path) -> None:
    skip_without(program)
    results = tmp_path / "results.json"
    run_script(script, "--quick", "--only", program, "--json", str(results))
    rows = json.loads(results.read_text())["rows"]
    assert rows
    assert all(row["program"] == program and row[key] > 0 for row in rows)


def test_looking_for_anomalies_costs_little(tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    run_script("bench_anomalies.py", "--quick", "--json", str(results))
    assert all(row["share of a core %"] < 5 for row in json.loads(results.read_text())["rows"])


# The suite


def test_the_suite_measures_every_variant_or_says_why_not(tmp_path: Path) -> None:
    skip_without("micropython")
    path = tmp_path / "run.json"
    printed = run_script("bench_run.py", "--quick", "--minutes", "0.01", "--only", "micropython", "--json", str(path))
    results = json.loads(path.read_text())
    jsonschema.validate(results, json.loads((BENCHMARKS / "results.schema.json").read_text()))
    (program,) = results["programs"]
    assert set(program["variants"]) == set(results["variants"])
    for key in ("plain", "calls", "trace", "engine-fuel", "engine-epochs"):
        assert len(program["variants"][key]["wall"]) == program["rounds"]
    assert program["variants"]["calls"]["wasm_bytes"] < program["variants"]["trace"]["wasm_bytes"]
    assert program["calls"] > 1000
    assert sentence(results["machine"]) in printed
    assert overview(results) in printed
    assert set(parts_of_run(results)) == {"machine", "overview", "levels", "programs", "gaps"}


_TEXT = """
(module
  (func $leaf (param i32) (local i64 (ref null func) f32 f32))
  (func (export "run") (param $n i32)
    (loop (call $leaf (local.get $n)) (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))
"""


def test_the_naive_hook_sees_every_call() -> None:
    engine = engine_with(None)
    store = Store(engine)
    exports = Instance(store, Module(engine, with_hooks(bytes(wat2wasm(_TEXT)))), []).exports(store)
    table, run = exports[HOOK_TABLE], exports["run"]
    assert isinstance(table, Table)
    assert isinstance(run, Func)
    seen: list[int] = []
    table.set(store, 0, Func(store, FuncType([ValType.i32()], []), seen.append))
    run(store, 5)
    assert seen == [1, 0, 0, 0, 0, 0]


def test_the_naive_hook_refuses_a_start_function() -> None:
    with pytest.raises(UnsupportedError, match="start function"):
        with_hooks(bytes(wat2wasm("(module (func $s) (start $s))")))


def test_log_execution_without_node_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UnsupportedError, match="node is not installed"):
        with_log_execution(b"\0asm\1\0\0\0")


def test_outside_programs_are_found_by_name() -> None:
    programs = outside_programs()
    if not programs:
        pytest.skip("package wasure is not installed")
    assert len({each.name for each in programs}) == len(programs) > 25
    assert [each.name for each in programs if each.missing] == []


def _expected(memory: str | None) -> Expected:
    program = Program("made-up", lambda: Path("made-up.wasm"), lambda result: None)
    return Expected(program, b"> (time)\n", 0, memory, 1.0)


@pytest.mark.parametrize(
    ("stdout", "exit_code", "memory", "message"),
    [
        pytest.param(b"> Time: 2.5 sec\n", 0, "m", None, id="same"),
        pytest.param(b"> Time: 2.5 sec\n", 0, None, None, id="memory-not-seen"),
        pytest.param(b"> Bits: 2\n", 0, "m", "another output", id="output"),
        pytest.param(b"> Time: 2.5 sec\n", 1, "m", "exit code 1", id="exit-code"),
        pytest.param(b"> Time: 2.5 sec\n", 0, "x", "another memory", id="memory"),
    ],
)
def test_a_run_must_leave_what_the_plain_one_left(
    stdout: bytes, exit_code: int, memory: str | None, message: str | None
) -> None:
    expected, result = _expected("m"), Result(stdout, b"", exit_code, {})
    if message is None:
        expected.check(result, memory)
        return
    with pytest.raises(AssertionError, match=message):
        expected.check(result, memory)


def test_only_times_are_taken_out_of_output() -> None:
    assert without_times(b"a > Time:   0.003 sec.; Bits: 1\nBest  > x\n") == b"a > (time).; Bits: 1\n(time)\n"


# Noise


@pytest.mark.parametrize(
    ("count", "alpha", "left_out"),
    [(5, 0.05, 0), (6, 0.05, 0), (8, 0.05, 3), (10, 0.05, 8), (15, 0.05, 25), (20, 0.05, 52), (20, 0.01, 37)],
)
def test_signed_rank_bound_is_that_of_the_tables(count: int, alpha: float, left_out: int) -> None:
    assert signed_rank_bound(count, alpha) == left_out


def _noisy(seed: int, rounds: int, factor: float, noise: float) -> tuple[list[float], list[float]]:
    """Pairs whose rounds differ by a quarter, as on a machine that others use, and within a round by `noise`."""
    chance = random.Random(seed)
    base, present = [], []
    for _ in range(rounds):
        load = chance.uniform(1.0, 1.25)
        base.append(load * math.exp(chance.gauss(0, noise)))
        present.append(load * factor * math.exp(chance.gauss(0, noise)))
    return base, present


@pytest.mark.parametrize(
    ("factor", "noise", "verdict"),
    [
        pytest.param(1.04, 0.005, Verdict.SLOWER, id="slower"),
        pytest.param(0.95, 0.005, Verdict.FASTER, id="faster"),
        pytest.param(1.0, 0.005, Verdict.NO_DIFFERENCE, id="equal"),
        pytest.param(1.005, 0.001, Verdict.NO_DIFFERENCE, id="below-the-tolerance"),
        pytest.param(1.0, 0.3, Verdict.UNCLEAR, id="noise"),
    ],
)
def test_verdict_knows_the_noise(factor: float, noise: float, verdict: Verdict) -> None:
    assert [paired_ratio(*_noisy(seed, 15, factor, noise)).verdict() for seed in range(20)].count(verdict) >= 19


def test_the_interval_holds_the_true_ratio_as_often_as_it_says() -> None:
    ratios = [paired_ratio(*_noisy(seed, 10, 1.1, 0.1)) for seed in range(1000)]
    assert 930 <= sum(each.low <= 1.1 <= each.high for each in ratios) <= 980


def test_twenty_equal_programs_are_not_slower_by_chance() -> None:
    found = 0
    for seed in range(50):
        pairs = {str(program): _noisy(seed * 100 + program, 15, 1.0, 0.05) for program in range(20)}
        found += bool(compare(pairs).slower)
    assert found <= 5


def test_what_is_slower_is_named() -> None:
    pairs = {"a": _noisy(1, 15, 1.0, 0.004), "b": _noisy(2, 15, 1.2, 0.004)}
    assert compare(pairs).slower == ["b", "all together"]


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (Ratio(1.04, 1.02, 1.06), "slower by 4.0 % (+2.0 % to +6.0 %)"),
        (Ratio(0.9, 0.88, 0.92), "faster by 10.0 % (-12.0 % to -8.0 %)"),
        (Ratio(1.0, 0.99, 1.012), "no difference (-1.0 % to +1.2 %)"),
        (Ratio(1.0, 0.8, 1.2), "unclear (-20.0 % to +20.0 %)"),
    ],
)
def test_verdict_in_words(found: Ratio, text: str) -> None:
    assert str(found) == text


def test_no_rounds_are_an_error() -> None:
    with pytest.raises(ValueError, match="one round or more"):
        paired_ratio([], [])


def test_spread_is_the_middle_half() -> None:
    found = spread([1.0, 2.0, 3.0, 4.0, 5.0])
    assert (found.low, found.median, found.high) == (2.0, 3.0, 4.0)
    assert spread([2.0]).share == 0


# Tables


def _program(name: str, suite: str, variants: Mapping[str, Any]) -> dict[str, Any]:
    plain = {"wall": [2.0, 1.0, 3.0], "cpu": [2.0, 1.0, 3.0], "compile_cpu": [1.0], "wasm_bytes": 10, "code_bytes": 100}
    return {
        "name": name,
        "suite": suite,
        "checked": "output",
        "rounds": 3,
        "calls": 4_000_000,
        "variants": {"plain": plain, **variants},
    }


def _results() -> dict[str, Any]:
    def timed(*seconds: float, **more: Any) -> dict[str, Any]:
        return {"wall": list(seconds), "cpu": list(seconds)} | more

    slow = {"trace": timed(8.0, 8.0, 8.0), "hook": timed(2000.0, share_done=0.01), "guest-profile": {"missing": "why"}}
    command = {"trace": timed(4.0, 4.0, 4.0), "hook": timed(20.0, share_done=1.0)}
    command |= {"command": timed(4.0), "guest-profile": timed(5.0)}
    titles = {"plain": "Plain", "trace": "Trace", "hook": "Hook", "command": "Command", "guest-profile": "Profile"}
    return {
        "schema": 1,
        "made": "2026-01-01T00:00:00+00:00",
        "commit": "abc",
        "machine": machine(),
        "tools": {"binaryen": None},
        "variants": titles,
        "programs": [_program("slow", "c", slow), _program("real one", "real", command)],
    }


def test_ratios_are_of_medians_and_of_the_right_base() -> None:
    slow, real = _results()["programs"]
    assert ratio(slow, "trace", "wall") == 4.0
    assert ratio(real, "guest-profile", "wall") == 1.25
    assert ratio(slow, "guest-profile", "wall") is None


def test_geometric_mean_and_worst() -> None:
    found = figure(_results(), "trace", "wall")
    assert found is not None
    assert found.mean == pytest.approx(math.sqrt(8))
    assert found.worst == ("slow", 4.0)
    assert noise_of(_results(), "plain") == 0.5
    assert noise_of(_results(), "hook") is None


def test_the_overview_has_a_row_for_each_variant() -> None:
    rows = overview(_results()).splitlines()
    assert rows[2:] == [
        "| Trace | **2.83** | 4.00 (slow) | 2.00 | 4.00 | 0.0 % | 2 |",
        "| Hook | **100** | 1,000 (slow) | 10 | 1,000 | – | 2 |",
        "| Profile | **1.25** | 1.25 (real one) | 1.25 | – | – | 1 |",
    ]


def test_scaled_figures_are_marked() -> None:
    rows = by_program(_results()).splitlines()
    assert rows[2] == "| real one | 2.000 ± 0.500 | 2.0 | 2.00 | 10 | 1.25 | 3 |"
    assert rows[3] == "| slow | 2.000 ± 0.500 | 2.0 | 4.00 | ~1,000 | – | 3 |"


def test_gaps_give_the_reason() -> None:
    assert missing(_results(), "guest-profile") == {"why": ["slow"]}
    assert gaps(_results()) == "- Profile (slow): why"


def test_instructions_as_multiples() -> None:
    counted = {"variants": {"plain": "", "trace": ""}, "programs": {"fib": {"plain": 2_000_000, "trace": 3_000_000}}}
    assert instructions(counted).splitlines()[2:] == ["| fib | 2.0 | 1.50 |", "| geometric mean |  | **1.50** |"]
    assert instructions({"missing": "no valgrind", "programs": {}}) == "Not counted: no valgrind."


def test_callgrind_files_are_read_by_trigger(tmp_path: Path) -> None:
    dump = "desc: Trigger: Client Request: {}\nsummary: 18446744073709551615\n1 2\ntotals: {}\n"
    (tmp_path / "out.1").write_text(dump.format("fib plain", 10))
    (tmp_path / "out.2").write_text(dump.format("fib trace", 20))
    (tmp_path / "out.3").write_text(dump.format("first", 99))
    assert counted_in(tmp_path) == {"fib": {"plain": 10, "trace": 20}}


def test_counted_instructions_grow_with_the_level(tmp_path: Path) -> None:
    if shutil.which("valgrind") is None:
        pytest.skip("valgrind is not installed")
    path = tmp_path / "counted.json"
    run_script("bench_instructions.py", "--only", "fib", "--json", str(path))
    results = json.loads(path.read_text())
    if "missing" in results:
        pytest.skip(results["missing"])
    counts = results["programs"]["fib"]
    assert 1_000_000 < counts["plain"] < counts["calls"] < counts["trace"] < 3 * counts["plain"]


# Publishing


def test_parts_are_put_between_their_markers() -> None:
    text = "a\n<!-- bench one -->\nold\n<!-- end -->\nb\n<!-- bench two -->\n<!-- end -->\n"
    new = with_parts(text, {"one": "1", "two": "2\\1"})
    assert new == "a\n<!-- bench one -->\n\n1\n\n<!-- end -->\nb\n<!-- bench two -->\n\n2\\1\n\n<!-- end -->\n"
    assert with_parts(new, {"one": "1", "two": "2\\1"}) == new


def test_a_missing_marker_is_an_error() -> None:
    with pytest.raises(ValueError, match="one marker for one"):
        with_parts("text", {"one": "1"})


def test_the_page_has_every_marker() -> None:
    parts = parts_of_run(_results()) | {"instructions": "i"}
    assert "instructions -->\n\ni\n" in with_parts((ROOT / "docs" / "performance.md").read_text(), parts)


def _drawn(draw: Callable[[dict[str, Any], Path], None], path: Path) -> bytes:
    draw(_results(), path)
    return path.read_bytes()


def test_plots_are_the_same_for_the_same_results(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    from plots import draw_levels, draw_variants

    for draw in (draw_variants, draw_levels):
        first, second = _drawn(draw, tmp_path / "1.svg"), _drawn(draw, tmp_path / "2.svg")
        assert first == second
        assert b"multiple of" in first


# Comparing versions


def _slower_version(folder: Path) -> Path:
    """This wasmtrace, but for one thing: it puts every probe in four times."""
    for name in ("wasmtrace", *BRANCHES):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"), symlinks=True)
    rewriter = folder / "instrument" / "rewrite.py"
    rewriter.write_text(
        f"{rewriter.read_text()}\n_once = instrument\n\n\n"
        "def instrument(wasm, options=Options()):\n"
        "    for _ in range(3):\n        wasm = _once(wasm, options).wasm\n    return _once(wasm, options)\n"
    )
    return folder


def test_a_version_whose_code_is_slower_is_found_out(tmp_path: Path) -> None:
    slower = _slower_version(tmp_path / "slower")
    path = tmp_path / "compare.json"
    options = ["--present", str(slower), "--only", "fib", "--rounds", "6", "--json", str(path)]
    printed = run_script("bench_compare.py", str(ROOT), *options, expected=1)
    assert "slower by" in printed
    results = json.loads(path.read_text())
    assert results["slower"] == ["fib", "all together"]
    assert len(results["samples"]["fib"]["base"]) == len(results["samples"]["fib"]["present"]) == 6
    options[1], options[-1] = str(ROOT), os.devnull
    run_script("bench_compare.py", str(slower), *options)


def test_an_unknown_commit_is_an_error() -> None:
    done = subprocess.run(
        [sys.executable, str(BENCHMARKS / "bench_compare.py"), "no-such-commit", "--only", "fib"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 2
    assert "no-such-commit" in done.stderr


@pytest.mark.parametrize("series", ["functions", "depth", "memory", "instances"])
def test_growth_is_measured(series: str, tmp_path: Path) -> None:
    results = tmp_path / "results.json"
    command = [sys.executable, str(BENCHMARKS / "bench_growth.py"), "--quick", "--only", series, "--json", str(results)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    small, large = json.loads(results.read_text())["series"][series]
    sizes = {"functions": "functions", "depth": "depth", "memory": "memory MB", "instances": "instances"}
    assert 0 < small[sizes[series]] < large[sizes[series]]
    assert set(small) == set(large)
    assert "last step" in done.stdout


def test_rows_become_a_table_as_wide_as_they_are_asked_for() -> None:
    rows: list[dict[str, float | str]] = [
        {"program": program, "step": step, "cold ms": cold}
        for program, step, cold in (("a", "read", 1.26), ("a", "hash", 2.0), ("b", "read", 1234.5))
    ]
    wide = pivoted(rows, "program", "step")
    assert wide == [
        {"step": "read", "a, cold ms": 1.26, "b, cold ms": 1234.5},
        {"step": "hash", "a, cold ms": 2.0},
    ]
    assert of_rows(wide[:1], 1) == (
        "| step | a, cold ms | b, cold ms |\n| --- | ---: | ---: |\n| read | 1.3 | 1,234.5 |"
    )
