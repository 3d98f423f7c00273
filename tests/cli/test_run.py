"""`wasmtrace run`: what the guest gets, how it ends, what is written, and what is said when it cannot be run."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import urllib.request
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from command import DEADLINE_SECONDS, Done, started, wasmtrace
from compiled import compile_c

FOREVER = b"""
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\06\\00\\00\\00ready\\n")
  (func $spin (loop (br 0)))
  (func $outer (call $spin))
  (func (export "_start")
    (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20)))
    (call $outer)))
"""
ARITHMETIC = b"""
(module
  (func (export "add") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
  (func (export "pair") (param i64) (result i64 f64) (local.get 0) (f64.const 1.5))
  (func (export "divide") (param i32) (result i32) (i32.div_s (i32.const 1) (local.get 0)))
  (func (export "deep") (call 3)))
"""
GREEDY = b"""
(module (memory (export "memory") 1)
  (func (export "grow") (param i32) (result i32) (memory.grow (local.get 0))))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def forever(tmp_path: Path) -> Path:
    path = tmp_path / "forever.wat"
    path.write_bytes(FOREVER)
    return path


def _run(home: Path, *arguments: str | Path, stdin: bytes = b"", **more: str) -> Done:
    return wasmtrace(home, "run", *arguments, stdin=stdin, **more)


# how the guest ends

ENDINGS = {
    "return": (7, "exit code 7", []),
    "exit": (9, "exit code 9", ["end_exit"]),
    "trap": (134, "trapped: unreachable in end_trap", ["end_trap", "main", "_start"]),
    "divide": (134, "trapped: integer_division_by_zero in end_divide", ["end_divide", "main"]),
    "bounds": (134, "trapped: memory_out_of_bounds in end_bounds", ["end_bounds", "main"]),
    "stack": (134, "trapped: stack_overflow in end_stack", ["end_stack", "main"]),
}


@pytest.mark.parametrize(
    ("ending", "code", "says", "stack"), [(name, *row) for name, row in ENDINGS.items()], ids=ENDINGS
)
def test_ending(home: Path, ending: str, code: int, says: str, stack: list[str]) -> None:
    done = _run(home, compile_c("endings"), ending)
    assert (done.code, done.out) == (code, f"{ending}\n".encode())
    assert says in done.err
    for name in stack:
        assert re.search(rf"^ +\d+ {name}\b", done.err, re.MULTILINE), done.err


def test_trap_without_summary_still_says_where(home: Path) -> None:
    done = _run(home, "--no-summary", compile_c("endings"), "trap")
    assert done.code == 134
    assert re.search(r"trapped: unreachable in end_trap at 0x[0-9a-f]+", done.err)
    assert "most calls" not in done.err


def test_no_summary_says_nothing_of_a_good_run(home: Path) -> None:
    done = _run(home, "--no-summary", compile_c("endings"), "return")
    assert (done.code, done.out, done.err) == (7, b"return\n", "")


# what the guest gets


def test_arguments_after_the_module_are_the_guests(home: Path) -> None:
    words = ["--level", "calls", "--", "-x", "", "ä", "--summary", "a b"]
    done = _run(home, "--no-summary", compile_c("echo"), *words)
    assert done.code == 1 + len(words)
    assert done.err == "".join(f"[{word}]\n" for word in words) + "GREETING=(none)\n"


def test_environment_and_input_reach_the_guest(home: Path) -> None:
    module = compile_c("echo")
    given = _run(home, "--no-summary", "--env", "GREETING=a=b", module, stdin=b"in\x00put", GREETING="ours")
    assert (given.out, given.err) == (b"IN\x00PUT", "GREETING=a=b\n")
    taken = _run(home, "--no-summary", "--env", "GREETING", module, GREETING="ours")
    assert taken.err == "GREETING=ours\n"
    nothing = _run(home, "--no-summary", module, GREETING="ours")
    assert nothing.err == "GREETING=(none)\n"


def test_a_directory_is_written_and_a_read_only_one_is_not(home: Path, tmp_path: Path) -> None:
    module = compile_c("files")
    assert _run(home, "--dir", f"{tmp_path}::/work", module).code == 0
    assert list(tmp_path.iterdir())
    locked = tmp_path / "locked"
    locked.mkdir()
    assert _run(home, "--dir-ro", f"{locked}::/work", module).code != 0
    assert not list(locked.iterdir())


# functions without WASI

INVOCATIONS = {
    "add": (["add", "40", "2"], 0, "42\n"),
    "negative": (["add", "--", "-1", "0x10"], 0, "15\n"),
    "two results": (["pair", "-9223372036854775808"], 0, "-9223372036854775808\n1.5\n"),
    "trap": (["divide", "0"], 134, ""),
    "too few": (["add", "1"], 2, ""),
    "too many": (["add", "1", "2", "3"], 2, ""),
    "no number": (["add", "1", "two"], 2, ""),
    "too large": (["add", "1", "4294967296"], 2, ""),
    "not there": (["sub", "1", "2"], 2, ""),
    "exhaustion": (["deep"], 134, ""),
}


@pytest.mark.parametrize(("words", "code", "out"), INVOCATIONS.values(), ids=INVOCATIONS)
def test_invoke(home: Path, words: list[str], code: int, out: str) -> None:
    name, *arguments = [word for word in words if word != "--"]
    done = _run(home, "--no-summary", "--invoke", name, "-", *arguments, stdin=ARITHMETIC)
    assert (done.code, done.out.decode()) == (code, out)
    if code == 2:
        assert re.fullmatch(r"wasmtrace: [^\n]+\n", done.err)


# limits


def test_fuel_limit(home: Path) -> None:
    done = _run(home, "--fuel", "100000", compile_c("fib"))
    assert done.code == 134
    assert "out_of_fuel" in done.err
    assert "100 k" in done.err


def test_fuel_in_the_report_is_the_functions(home: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = _run(home, "--report", report, "--invoke", "add", "-", "1", "2", stdin=ARITHMETIC)
    written = json.loads(report.read_bytes())
    assert [(each["name"], each["fuel"]) for each in written["functions"]] == [("add", 4)]
    assert (written["fuel"], written["fuel_limit"]) == (4, None)
    assert "add 100.0% 4 4 100.0% 1" in " ".join(done.err.split())


def test_a_limit_is_the_engines_and_functions_have_their_own(home: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    _run(home, "--fuel", "1000", "--report", report, "--invoke", "add", "-", "1", "2", stdin=ARITHMETIC)
    written = json.loads(report.read_bytes())
    assert [each["fuel"] for each in written["functions"]] == [4]
    assert written["fuel_limit"] == 1000
    assert written["fuel"] > 4, "the probes' instructions too"


def test_no_fuel(home: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = _run(home, "--no-fuel", "--report", report, "--invoke", "add", "-", "1", "2", stdin=ARITHMETIC)
    written = json.loads(report.read_bytes())
    assert (written["fuel"], [each["fuel"] for each in written["functions"]]) == (None, [None])
    assert "most calls" in done.err
    assert "fuel" not in done.err


def test_memory_limit_refuses_growth(home: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = _run(home, "--max-memory", "128K", "--report", report, "--invoke", "grow", "-", "2", stdin=GREEDY)
    assert (done.code, done.out) == (0, b"-1\n")
    written = json.loads(report.read_bytes())
    assert written["memories"][0]["pages"] == 1
    assert written["memories"][0]["limit_pages"] == 2
    assert [each["failed_grows"] for each in written["functions"]] == [1]


def test_timeout(home: Path, forever: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = _run(home, "--timeout", "0.5", "--report", report, forever)
    assert (done.code, done.out) == (124, b"ready\n")
    assert "timed out in spin" in done.err
    written = json.loads(report.read_bytes())
    assert written["outcome"] == "timed_out"
    assert written["wall_seconds"] >= 0.4
    assert [each["function"] for each in written["open_calls"]][-1] == "spin"


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["int", "term"])
def test_signal_stops_at_once_and_flushes(
    home: Path, forever: Path, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    report, metrics = tmp_path / "report.json", tmp_path / "metrics.prom"
    with started(home, ["run", "--report", report, "--metrics-file", metrics, forever]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        process.send_signal(number)
        _, err = process.communicate(timeout=DEADLINE_SECONDS)
    assert process.returncode == code
    assert number.name in err.decode()
    assert json.loads(report.read_bytes())["outcome"] == "interrupted"
    assert "wasmtrace_runs_total{" in metrics.read_text()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["forever.wat", "metrics.prom", "report.json"]


# metrics


def test_metrics_are_served_while_the_guest_loops(home: Path, forever: Path) -> None:
    with started(home, ["run", "--metrics", "127.0.0.1:0", forever]) as process:
        assert process.stderr is not None
        assert process.stdout is not None
        address = re.search(r"http://\S+:\d+", process.stderr.readline().decode())
        assert address is not None
        assert process.stdout.readline() == b"ready\n"
        samples = _scraped(address[0])
        later = _scraped(address[0])
        while later["wasmtrace_function_fuel_total", "spin"] <= samples["wasmtrace_function_fuel_total", "spin"]:
            later = _scraped(address[0])
        with urllib.request.urlopen(f"{address[0]}/healthz", timeout=DEADLINE_SECONDS) as answer:
            assert answer.read() == b"ok\n"
    assert samples["wasmtrace_function_calls_total", "spin"] == 1
    assert later["wasmtrace_fuel_consumed_total", None] == sum(
        value for (name, _), value in later.items() if name == "wasmtrace_function_fuel_total"
    )
    assert samples["wasmtrace_host_calls_total", "fd_write"] == 1
    assert samples["wasmtrace_runs_active", None] == 1


def _scraped(address: str) -> dict[tuple[str, str | None], float]:
    with urllib.request.urlopen(f"{address}/metrics", timeout=DEADLINE_SECONDS) as answer:
        text = answer.read().decode()
    return {
        (sample.name, sample.labels.get("function")): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


# bad input: one line, a code, nothing left behind

USAGE, OTHER = 2, 1
BAD_INPUT = {
    "no module": ([], USAGE, "MODULE"),
    "unknown option": (["--nonsense", "x.wasm"], USAGE, "--nonsense"),
    "bad level": (["--level", "all", "x.wasm"], USAGE, "--level"),
    "bad slow": (["--slow", "soon", "x.wasm"], USAGE, "milliseconds"),
    "bad fuel": (["--fuel", "-1", "x.wasm"], USAGE, "fuel"),
    "fuel twice": (["--fuel", "1", "--no-fuel", "{good}"], USAGE, "--no-fuel"),
    "bad size": (["--max-memory", "lots", "x.wasm"], USAGE, "bytes"),
    "bad timeout": (["--timeout", "0", "x.wasm"], USAGE, "seconds"),
    "bad address": (["--metrics", "nowhere", "{good}"], USAGE, "nowhere"),
    "no such file": (["{tmp}/absent.wasm"], OTHER, "absent.wasm"),
    "a directory": (["{tmp}"], OTHER, "irectory"),
    "not a module": (["{tmp}/text.txt"], OTHER, "not a WebAssembly module"),
    "truncated": (["{tmp}/short.wasm"], OTHER, "0x"),
    "component": (["{tmp}/component.wasm"], OTHER, "component"),
    "bad text": (["{tmp}/bad.wat"], OTHER, "1:"),
    "missing import": (["{tmp}/import.wat"], OTHER, "env.absent"),
    "no such directory": (["--dir", "{tmp}/absent::/x", "{good}"], OTHER, "absent"),
    "report nowhere": (["--report", "{tmp}/absent/report.json", "{good}"], OTHER, "absent/report.json"),
    "metrics nowhere": (["--metrics-file", "{tmp}/absent/m.prom", "{good}"], OTHER, "absent/m.prom"),
    "no command": (["{tmp}/empty.wat"], USAGE, "_start"),
    "no such function": (["--invoke", "absent", "{good}"], USAGE, "absent"),
}


@pytest.fixture
def bad_folder(tmp_path: Path) -> Path:
    good = compile_c("echo").read_bytes()
    (tmp_path / "text.txt").write_bytes(b"hello")
    (tmp_path / "short.wasm").write_bytes(good[: len(good) // 2])
    (tmp_path / "component.wasm").write_bytes(b"\0asm\x0d\0\x01\0")
    (tmp_path / "bad.wat").write_bytes(b"(module (func (i32.konst 1)))")
    (tmp_path / "import.wat").write_bytes(b'(module (import "env" "absent" (func)) (func (export "_start")))')
    (tmp_path / "empty.wat").write_bytes(b"(module)")
    return tmp_path


@pytest.mark.parametrize(("words", "code", "says"), BAD_INPUT.values(), ids=BAD_INPUT)
def test_bad_input_is_one_line(home: Path, bad_folder: Path, words: list[str], code: int, says: str) -> None:
    before = sorted(bad_folder.iterdir())
    good = str(compile_c("echo"))
    done = _run(home, *[word.replace("{tmp}", str(bad_folder)).replace("{good}", good) for word in words])
    assert done.code == code, done.err
    assert done.out == b""
    assert re.fullmatch(r"wasmtrace: [^\n]+\n", done.err), done.err
    assert says in done.err
    assert sorted(bad_folder.iterdir()) == before


def test_taken_port(home: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = _run(home, "--metrics", f"127.0.0.1:{port}", compile_c("echo"), "x")
    assert (done.code, done.out) == (1, b"")
    assert re.fullmatch(rf"wasmtrace: [^\n]*{port}[^\n]*in use[^\n]*\n", done.err), done.err


def test_unknown_imports_trap_when_called(home: Path) -> None:
    module = b'(module (import "env" "absent" (func $f)) (func (export "_start") (call $f)))'
    done = _run(home, "--unknown-imports", "trap", "-", stdin=module)
    assert done.code in (1, 134)
    assert "absent" in done.err


def test_missing_functions_could_trap_and_missing_memories_not(home: Path) -> None:
    for imports, hinted in (("(func)", True), ('(func)) (import "env" "m" (memory 1)', False)):
        module = f'(module (import "env" "absent" {imports}) (func (export "_start")))'
        done = _run(home, "-", stdin=module.encode())
        assert (done.code, "--unknown-imports trap" in done.err) == (1, hinted), done.err


def test_a_library_that_was_only_initialized_is_no_success_in_silence(home: Path) -> None:
    module = b"""(module (func (export "_initialize")) (memory (export "memory") 1)
                 (func (export "parse")) (func (export "print")))"""
    said = "note: a library, not a command: only _initialize was called; --invoke NAME calls another function"
    assert f"{said}: parse, print\n" in _run(home, "-", stdin=module).err
    for quiet in (("--invoke", "parse"), ("--no-summary",)):
        done = _run(home, *quiet, "-", stdin=module)
        assert (done.code, "note:" in done.err) == (0, False)


def test_hostile_names_reach_no_terminal(home: Path) -> None:
    module = b'(module (func (export "\\1b]0;owned\\07") unreachable) (func (export "_start") (call 0)))'
    done = _run(home, "-", stdin=module)
    assert done.code == 134
    assert "\x1b" not in done.err
    assert "\x07" not in done.err
    assert "owned" in done.err


def test_second_start_takes_the_module_from_the_cache(tmp_path: Path) -> None:
    module = compile_c("echo")
    first, second = (_run(tmp_path, module, "x") for _ in range(2))
    assert first.out == second.out
    assert "cached" not in first.err
    assert "cached" in second.err
    third = _run(tmp_path, "--no-cache", module, "x")
    assert (third.out, "cached" in third.err) == (first.out, False)


def test_closed_output_does_not_hang(home: Path) -> None:
    with started(home, ["run", "--no-summary", compile_c("strings")]) as process:
        assert process.stdout is not None
        process.stdout.close()
        try:
            code = process.wait(DEADLINE_SECONDS)
        except subprocess.TimeoutExpired:  # pragma: no cover
            pytest.fail("it hangs")
    assert code is not None
