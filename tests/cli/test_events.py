"""`wasmtrace run --event`: the file, what is said, and what is refused before the guest starts."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from command import DEADLINE_SECONDS, Done, started, wasmtrace

PROGRAM = """
(module
  (import "wasi_snapshot_preview1" "fd_write" (func $fd_write (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (data (i32.const 0) "\\08\\00\\00\\00\\04\\00\\00\\00ran\\n")
  (func $foo (param i32 i64 f64))
  (func $say (drop (call $fd_write (i32.const 1) (i32.const 0) (i32.const 1) (i32.const 20))))
  (func (export "_start")
    (call $foo (i32.const 1) (i64.const 9007199254740993) (f64.const 0.5))
    (call $say))
  (func (export "trap") (call $foo (i32.const -2) (i64.const 0) (f64.const nan)) unreachable)
  (func (export "spin") (call $say) (loop (call $foo (i32.const 3) (i64.const 0) (f64.const inf)) (br 0))))
"""


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("home")


@pytest.fixture
def program(tmp_path: Path) -> Path:
    path = tmp_path / "program.wat"
    path.write_text(PROGRAM)
    return path


def run(home: Path, *arguments: str | Path) -> Done:
    return wasmtrace(home, "run", *arguments)


def lines(data: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in data.splitlines()]


@pytest.mark.parametrize("level", ["calls", "trace"])
def test_the_file(home: Path, program: Path, tmp_path: Path, level: str) -> None:
    events = tmp_path / "events.jsonl"
    done = run(
        home, "--level", level, "--event", "f[!d]*", "--event", "*.fd_write", "--event", "fd_write",
        "--events-file", events, program,
    )  # fmt: skip
    assert (done.code, done.out) == (0, b"ran\n")
    first, second = lines(events.read_bytes())
    assert (first["function"], first["arguments"]) == ("foo", [1, 9007199254740993, 0.5])
    assert (second["function"], second["host"], second["arguments"]) == ("fd_write", True, [1, 0, 1, 20])
    assert first["time"] <= second["time"]
    assert [first["depth"], second["depth"]] == ([0, 0] if level == "calls" else [1, 2])
    assert "no function of this module is named by --event *.fd_write" in done.err


def test_standard_output(home: Path, program: Path) -> None:
    done = run(home, "--event", "foo", "--events-file", "-", "--no-summary", program)
    assert [each["function"] for each in lines(done.out.replace(b"ran\n", b""))] == ["foo"]


def test_events_from_before_a_trap_are_there(home: Path, program: Path, tmp_path: Path) -> None:
    done = run(home, "--event", "foo", "--events-file", tmp_path / "e", "--invoke", "trap", program)
    assert done.code == 134
    assert [each["arguments"] for each in lines((tmp_path / "e").read_bytes())] == [[-2, 0, "NaN"]]
    assert "unreachable in trap" in done.err


REFUSED = [
    pytest.param(["--event", "foo", "--events-file", "no/folder/e"], 1, "cannot write no/folder/e", id="unwritable"),
    pytest.param(["--event", "foo"], 2, "--event needs --events-file", id="no-file"),
    pytest.param(["--events-file", "/dev/null"], 2, "--events-file needs --event", id="no-event"),
    pytest.param(["--events-lossless"], 2, "--events-lossless needs --event", id="lossless-alone"),
    pytest.param(["--event", "foo", "--event-buffer", "0"], 2, "expected a number of events", id="no-buffer"),
    pytest.param(["--event", "foo", "--event-buffer", "9" * 30], 2, "expected a number of events", id="huge-buffer"),
    pytest.param(["--event", "foo", "--event-buffer", "1e3"], 2, "expected a number of events", id="odd-buffer"),
]


@pytest.mark.parametrize(("options", "code", "says"), REFUSED)
def test_refused_before_the_guest_starts(home: Path, program: Path, options: list[str], code: int, says: str) -> None:
    done = run(home, *options, program)
    assert (done.code, done.out) == (code, b"")
    assert says in done.err
    assert len(done.err.splitlines()) == 1


def test_a_glob_that_names_nothing_is_said_in_one_line(home: Path, program: Path, tmp_path: Path) -> None:
    done = run(home, "--event", "nix*", "--events-file", tmp_path / "e", "--no-summary", program)
    assert (done.code, done.out) == (0, b"ran\n")
    assert done.err == "wasmtrace: no function of this module is named by --event nix*\n"
    assert (tmp_path / "e").read_bytes() == b""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_is_said_once_and_counted(home: Path, program: Path, tmp_path: Path) -> None:
    report = tmp_path / "report.json"
    done = run(
        home, "--event", "foo", "--events-file", "/dev/full", "--no-summary", "--report", report, program
    )  # fmt: skip
    assert (done.code, done.out) == (0, b"ran\n")
    assert done.err == "wasmtrace: cannot write events to /dev/full: no space left on device; 1 events are lost\n"
    assert json.loads(report.read_bytes())["dropped"] == 1


@pytest.mark.parametrize("lossless", [[], ["--events-lossless"]], ids=["dropping", "lossless"])
def test_a_timeout_keeps_whole_lines(home: Path, program: Path, tmp_path: Path, lossless: list[str]) -> None:
    events = tmp_path / "e"
    done = run(
        home, "--event", "foo", *lossless, "--events-file", events, "--timeout", "0.3", "--invoke", "spin", program
    )
    assert done.code == 124, done.err
    found = lines(events.read_bytes())
    assert len(found) > 100
    assert {json.dumps(each["arguments"]) for each in found} == {'[3, 0, "Infinity"]'}


def test_a_signal_ends_a_guest_that_waits_for_a_reader_who_has_stopped(
    home: Path, program: Path, tmp_path: Path
) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    options = ["--event", "foo", "--events-lossless", "--event-buffer", "8", "--events-file", str(fifo)]
    with started(home, ["run", *options, "--invoke", "spin", program]) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ran\n"
        process.send_signal(signal.SIGTERM)
        try:
            assert process.wait(DEADLINE_SECONDS) == 143
        except subprocess.TimeoutExpired:
            pytest.fail("the process goes on")
    os.close(reader)


@pytest.mark.parametrize("command", [["inspect", "--json"], ["instrument", "-o"]], ids=lambda command: command[0])
def test_the_other_commands_take_events(home: Path, program: Path, tmp_path: Path, command: list[str]) -> None:
    made = [tmp_path / "made.wasm"] if command[0] == "instrument" else []
    done = wasmtrace(home, *command, *made, "--event", "foo", "--event-buffer", "1000", program)
    assert done.code == 0, done.err
    if made:
        table = json.loads((tmp_path / "made.wasm.sites.json").read_bytes())
        assert table["events"] == [{"funcidx": 1, "kinds": "ild", "left_out": 0}]
        assert table["layout"]["event_capacity"] == 1024
