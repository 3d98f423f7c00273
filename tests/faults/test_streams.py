"""Standard streams that are closed or full: one line at most, never a traceback, and nothing else is lost."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from faulty_process import GREETING, RETURNS_A_NUMBER, Ended, run_shell

STREAMS = {
    "output closed": ("1>&-", b"", b"to stderr\n"),
    "error closed": ("2>&-", b"to stdout\n", b""),
    "both closed": ("1>&- 2>&-", b"", b""),
    "all closed": ("0<&- 1>&- 2>&-", b"", b""),
    "output full": ("1>/dev/full", b"", b"to stderr\n"),
    "error full": ("2>/dev/full", b"to stdout\n", b""),
}


@pytest.mark.parametrize(("redirection", "out", "err"), STREAMS.values(), ids=STREAMS)
@pytest.mark.parametrize("summary", ["--summary", "--no-summary"])
def test_a_stream_that_cannot_be_written(
    tmp_path: Path, redirection: str, out: bytes, err: bytes, summary: str
) -> None:
    ended = run_shell(tmp_path, f"run {summary} --report report.json greeting.wat", redirection, greeting=GREETING)
    assert (ended.code, ended.out) == (0, out)
    assert ended.err.startswith(err)
    assert summary == "--summary" or ended.err == err
    report = json.loads((tmp_path / "report.json").read_bytes())
    assert {each["name"]: each["calls"] for each in report["host_calls"]} == {"fd_write": 2}
    assert sorted(each.name for each in tmp_path.iterdir() if each.is_file()) == ["greeting.wat", "report.json"]


def test_results_that_cannot_be_written_lose_no_report(tmp_path: Path) -> None:
    ended = run_shell(
        tmp_path,
        "run --no-summary --report report.json --invoke answer answer.wat",
        "1>/dev/full",
        answer=RETURNS_A_NUMBER,
    )
    assert ended.err == b"wasmtrace: cannot write standard output: no space left on device\n"
    assert ended.code == 1
    assert json.loads((tmp_path / "report.json").read_bytes())["outcome"] == "returned"


COMMANDS = {
    "inspect": ("inspect greeting.wat", 1),
    "inspect json": ("inspect --json greeting.wat", 1),
    "no such file": ("run absent.wasm", 1),
    "usage": ("run --nonsense", 2),
    "empty input": ("run - 0<&-", 1),
}


@pytest.mark.parametrize(("words", "code"), COMMANDS.values(), ids=COMMANDS)
@pytest.mark.parametrize("redirection", ["1>&- 2>&-", "1>/dev/full 2>/dev/full", "1>/dev/full", "2>&-"])
def test_no_traceback_and_nothing_in_the_wrong_stream(tmp_path: Path, words: str, code: int, redirection: str) -> None:
    ended: Ended = run_shell(tmp_path, words, redirection, greeting=GREETING)
    written = "inspect" in words and "1>" not in redirection
    closed = "inspect" in words and "1>&-" in redirection
    assert ended.code == (0 if written or closed else code)
    assert bool(ended.out) == written
    assert b"Traceback" not in ended.err
    assert ended.err.count(b"\n") == (redirection == "1>/dev/full")


def test_a_reader_that_goes_away_is_no_error_of_the_guest(tmp_path: Path) -> None:
    ended = run_shell(tmp_path, "inspect --json greeting.wat | :", "", greeting=GREETING)
    assert b"Traceback" not in ended.err
