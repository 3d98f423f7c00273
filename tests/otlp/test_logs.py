"""Log records: lines of output, anomalies, traps and limits, from the guest's bytes to the receiver."""

from __future__ import annotations

import os
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from command import wasmtrace
from compiled import compile_c
from hand_made import HOSTILE_NAMES, function_name, hanging, snapshot, trapped
from otlp_guests import EXIT_3, GROW, LOOP, TRAP, guest
from receiver import Receiver, until
from wasmtrace.exporters.otlp.batches import Batches
from wasmtrace.exporters.otlp.entries import (
    LOG_ATTRIBUTES,
    LONGEST_BODY,
    LogEntry,
    Severity,
    anomaly_entry,
    end_entries,
)
from wasmtrace.exporters.otlp.losses import Losses
from wasmtrace.exporters.otlp.output import LineSplitter, OutputLine, OutputRelay, shown
from wasmtrace.records import Anomaly, AnomalyKind, FunctionStats, OpenCall, Outcome, Snapshot

PROTOCOLS = ("grpc", "http/protobuf")

# id, pieces, lines with the number of their part, what is left
SPLITS: list[tuple[str, list[bytes], list[tuple[bytes, int]], list[tuple[bytes, int]]]] = [
    ("empty", [b""], [], []),
    ("one", [b"a\n"], [(b"a", 0)], []),
    ("no-end", [b"a"], [], [(b"a", 0)]),
    ("two-pieces", [b"a", b"b\nc"], [(b"ab", 0)], [(b"c", 0)]),
    ("crlf", [b"a\r\n"], [(b"a", 0)], []),
    ("cr-apart", [b"a\r", b"\n"], [(b"a", 0)], []),
    ("empty-lines", [b"\n\na\n"], [(b"", 0), (b"", 0), (b"a", 0)], []),
    ("long", [b"123456789\nx\n"], [(b"12345678", 0), (b"9", 1), (b"x", 0)], []),
    ("long-no-end", [b"12345678", b"9"], [(b"12345678", 0)], [(b"9", 1)]),
    ("in-a-character", ["1234567é\n".encode()], [(b"1234567", 0), ("é".encode(), 1)], []),
    ("no-utf8", [b"\x80" * 9 + b"\n"], [(b"\x80" * 8, 0), (b"\x80", 1)], []),
]


@pytest.mark.parametrize(("pieces", "lines", "rest"), [row[1:] for row in SPLITS], ids=[row[0] for row in SPLITS])
def test_split(pieces: list[bytes], lines: list[tuple[bytes, int]], rest: list[tuple[bytes, int]]) -> None:
    splitter = LineSplitter(8)
    assert [line for piece in pieces for line in splitter.feed(piece)] == lines
    assert splitter.end() == rest


@given(st.lists(st.binary(max_size=40)))
def test_no_byte_is_lost_and_cuts_do_not_matter(pieces: list[bytes]) -> None:
    splitter = LineSplitter(8)
    found = [line for piece in pieces for line in splitter.feed(piece)] + splitter.end()
    whole = LineSplitter(8)
    assert found == whole.feed(b"".join(pieces)) + whole.end()
    assert all(len(text) <= 8 for text, _ in found)
    assert b"".join(text for text, _ in found) == b"".join(pieces).replace(b"\r\n", b"").replace(b"\n", b"")


@pytest.mark.parametrize(
    ("text", "expected"),
    [(b"a\tb", "a\tb"), (b"\x1b[31m", "\\x1b[31m"), (b"\xff", "\N{REPLACEMENT CHARACTER}"), (b"a\0", "a\\x00")],
)
def test_shown(text: bytes, expected: str) -> None:
    assert shown(text) == expected


def _relay(target: int, told: list[OutputLine], **more: object) -> OutputRelay:
    return OutputRelay({"stdout": target}, told.extend, now_ns=lambda: 7, **more)  # type: ignore[arg-type]


def test_relay_passes_on_byte_for_byte(tmp_path: Path) -> None:
    told: list[OutputLine] = []
    data = os.urandom(300_000)
    with (tmp_path / "out").open("wb") as target:
        relay = _relay(target.fileno(), told, write=lambda descriptor, view: os.write(descriptor, view[:1000]))
        with relay.path("stdout").open("wb", buffering=0) as guest_end:
            for start in range(0, len(data), 7001):
                guest_end.write(data[start : start + 7001])
        assert relay.end(30)
    assert (tmp_path / "out").read_bytes() == data
    splitter = LineSplitter()
    lines = splitter.feed(data) + splitter.end()
    assert told == [OutputLine("stdout", text, 7, part) for text, part in lines]


def test_relay_ends_when_the_target_takes_no_more() -> None:
    read_end, write_end = os.pipe()
    os.close(read_end)
    relay = _relay(write_end, [])
    with relay.path("stdout").open("wb", buffering=0) as guest_end:

        def write_for_ever() -> None:
            while True:
                guest_end.write(b"x" * 65536)

        with pytest.raises(BrokenPipeError):
            write_for_ever()
    assert relay.end(30)
    os.close(write_end)


def test_queue_is_bounded_in_items_and_bytes() -> None:
    losses = Losses()
    queue: Batches[bytes] = Batches("logs", losses, len, most_items=3, most_bytes=10)
    queue.put([b"1234", b"1234", b"1234", b"1", b"2"])
    got: list[bytes] = []
    queue.start(got.extend, every_seconds=0.001)
    queue.close(30)
    assert got == [b"1234", b"1234", b"1"]
    assert losses.by_reason == {"otlp_logs_queue_full": 2}


def test_queue_counts_what_is_left() -> None:
    losses = Losses()
    queue: Batches[bytes] = Batches("logs", losses, len)
    queue.put([b"a"] * 5)
    queue.abandon()
    queue.put([b"b"])
    assert losses.by_reason == {"otlp_logs_queue_full": 1, "otlp_logs_unfinished": 5}


def test_queue_without_a_thread_can_be_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    def no_thread(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    queue: Batches[bytes] = Batches("logs", Losses(), len)
    monkeypatch.setattr(threading.Thread, "start", no_thread)
    with pytest.raises(RuntimeError, match="start new thread"):
        queue.start(lambda items: None)
    queue.close(1.0)


ANOMALY = Anomaly(
    number=3,
    kind=AnomalyKind.CALL_RATE,
    function=function_name("hot", 5),
    host=False,
    also=(function_name("main", 4),),
    stack=(OpenCall(function_name("main", 4), False, 0, 1.0), OpenCall(function_name("hot", 5), False, 0, 1.0)),
    rate=1e6,
    peak_rate=2e6,
    threshold=1e5,
    started_us=1000,
    ended_us=None,
    message="hot is called 1000000 times a second",
)


def test_anomaly_begins_and_ends() -> None:
    begun = anomaly_entry(ANOMALY, 99, "app")
    assert (begun.severity, begun.event_name, begun.body) == (Severity.WARN, "wasm.anomaly.started", ANOMALY.message)
    assert begun.attributes["wasm.anomaly.kind"] == "call_rate"
    assert begun.attributes["wasm.module.name"] == "app"
    assert begun.attributes["code.function.name"] == "hot"
    assert str(begun.attributes["code.stacktrace"]).splitlines() == ["    at hot", "    at main"]
    ended = anomaly_entry(replace(ANOMALY, ended_us=5000), 100, "app")
    assert (ended.severity, ended.event_name) == (Severity.INFO, "wasm.anomaly.ended")


STOPPED: list[tuple[str, Snapshot, list[tuple[Severity, str, str]]]] = [
    ("returned", snapshot(outcome=Outcome.RETURNED, functions=()), []),
    ("exit-code", snapshot(exit_code=3, functions=()), []),
    ("trap", trapped(functions=()), [(Severity.ERROR, "wasm.trap", "unreachable")]),
    ("timeout", replace(hanging(), functions=()), [(Severity.ERROR, "wasm.stopped", "timed_out")]),
    (
        "signal",
        snapshot(outcome=Outcome.INTERRUPTED, message="stopped by SIGTERM", functions=()),
        [(Severity.WARN, "wasm.stopped", "interrupted")],
    ),
]


@pytest.mark.parametrize(("run", "expected"), [row[1:] for row in STOPPED], ids=[row[0] for row in STOPPED])
def test_end_of_a_run(run: Snapshot, expected: list[tuple[Severity, str, str]]) -> None:
    entries = list(end_entries(run))
    assert [(each.severity, each.event_name, each.attributes["exception.type"]) for each in entries] == expected


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_hostile_names(name: str) -> None:
    anomaly = replace(ANOMALY, function=function_name(name, 5), message=name)
    run = trapped(functions=(FunctionStats(7, name, name, 1, failed_grows=1),), message=name)
    entries: Sequence[LogEntry] = [anomaly_entry(anomaly, 1, name), *end_entries(run)]
    assert len(entries) == 3
    for entry in entries:
        texts = [entry.body, *(each for each in entry.attributes.values() if isinstance(each, str))]
        for text in texts:
            assert all(line.isprintable() for line in text.split("\n"))
            assert len(text) <= 2 * LONGEST_BODY


@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_output_is_received_line_by_line(collector: Receiver, tmp_path: Path, protocol: str) -> None:
    options = ["--no-summary", "--otlp", "--logs"]
    done = wasmtrace(tmp_path, "run", *options, guest(tmp_path, EXIT_3), stdin=b"", **collector.environment(protocol))
    assert (done.code, done.out, done.err) == (3, b"hello\nworld\nhello\nworld\n", "oops\n")
    records = collector.log_records()
    said = [each["body"] for each in records if each["attributes"]["log.iostream"] == "stdout"]
    assert said == ["hello", "world", "hello", "world"]
    assert [each["body"] for each in records if each["attributes"]["log.iostream"] == "stderr"] == ["oops"]
    assert {each["severity_number"] for each in records} == {"SEVERITY_NUMBER_INFO"}
    (root,) = [each for each in collector.spans() if not each.get("parent_span_id")]
    assert {(each["trace_id"], each["span_id"]) for each in records} == {(root["trace_id"], root["span_id"])}


# id, guest, options, exit code, event, severity
ENDS = [
    ("trap", TRAP, [], 134, "wasm.trap", "SEVERITY_NUMBER_ERROR"),
    ("fuel", LOOP, ["--fuel", "20"], 134, "wasm.trap", "SEVERITY_NUMBER_ERROR"),
    ("timeout", LOOP, ["--timeout", "0.5"], 124, "wasm.stopped", "SEVERITY_NUMBER_ERROR"),
    ("memory", GROW, ["--max-memory", "1M"], 0, "wasm.memory.grow_refused", "SEVERITY_NUMBER_WARN"),
]


@pytest.mark.parametrize("protocol", PROTOCOLS)
@pytest.mark.parametrize(
    ("text", "options", "code", "event", "severity"), [row[1:] for row in ENDS], ids=[row[0] for row in ENDS]
)
def test_traps_and_limits_are_received(
    collector: Receiver,
    tmp_path: Path,
    text: str,
    options: list[str],
    code: int,
    event: str,
    severity: str,
    protocol: str,
) -> None:
    path = guest(tmp_path, text)
    done = wasmtrace(tmp_path, "run", "--otlp", *options, path, stdin=b"", **collector.environment(protocol))
    assert done.code == code, done.err
    records = until(collector.log_records, waiting_for="log records")
    assert [(each["event_name"], each["severity_number"]) for each in records] == [(event, severity)]
    assert records[0]["trace_id"]


def test_an_anomaly_is_received(collector: Receiver, tmp_path: Path) -> None:
    loops = compile_c("loops")
    environment = collector.environment(PROTOCOLS[0])
    done = wasmtrace(tmp_path, "run", "--otlp", loops, "busy", "2", stdin=b"", **environment)
    assert done.code == 0, done.err
    records = until(collector.log_records, waiting_for="log records")
    assert sorted((each["event_name"], each["severity_number"]) for each in records) == [
        ("wasm.anomaly.ended", "SEVERITY_NUMBER_INFO"),
        ("wasm.anomaly.started", "SEVERITY_NUMBER_WARN"),
    ]
    (root,) = [each for each in collector.spans() if not each.get("parent_span_id")]
    for record in records:
        assert (record["trace_id"], record["span_id"]) == (root["trace_id"], root["span_id"])
        told = record["attributes"]
        assert (told["wasm.module.name"], told["code.function.name"]) == (loops.name, "wait_busily")


def test_attributes_are_documented() -> None:
    page = (Path(__file__).parents[2] / "docs" / "otlp.md").read_text()
    for name, meaning in LOG_ATTRIBUTES.items():
        assert f"| `{name}` | {meaning} |" in page
