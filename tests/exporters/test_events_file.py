"""Events as JSON lines: what they say, that the fast encoder says the same as the plain one, and files that fail."""

from __future__ import annotations

import errno
import json
import math
import os
import re
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hand_made import HOSTILE_NAMES
from wasmtrace.errors import ExportError
from wasmtrace.exporters.events_file import EventsFile, encode_block, encode_event, rfc3339
from wasmtrace.records import EventBlock, EventRow, EventSource, FunctionName

STARTED_NS = 1_769_860_800_000_000_000
"""2026-01-31T12:00:00Z."""


def source(name: str = "foo", kinds: str = "", *, host: bool = False, left_out: int = 0) -> EventSource:
    return EventSource(FunctionName(7, name, f"raw {name}"), host, kinds, left_out)


def block(sources: list[EventSource], rows: list[EventRow]) -> EventBlock:
    """The key of a row is `time << 8 | place of its source`."""
    return EventBlock(rows, lambda key: (sources[key & 0xFF], key >> 8), STARTED_NS)


def row(at_us: int, place: int, depth: int, *cells: int | float) -> EventRow:
    first, second, third, fourth = (*cells, -9, -9, -9, -9)[:4]
    return (at_us << 8 | place, depth, first, second, third, fourth)


START = '{"time":"2026-01-31T12:00:00.'
LINES = [
    pytest.param(
        source(), row(3746, 0, 0), '003746Z","function":"foo","raw_name":"raw foo","depth":0,"arguments":[]}', id="none"
    ),
    pytest.param(
        source(kinds="il", host=True),
        row(0, 0, 7, -1, 2**63 - 1),
        '000000Z","function":"foo","raw_name":"raw foo","host":true,"depth":7,"arguments":[-1,9223372036854775807]}',
        id="integers-of-a-host-function",
    ),
    pytest.param(
        source(kinds="fdfd", left_out=2),
        row(0, 0, 1, 0.5, -0.0, 1e300, 0.1),
        '000000Z","function":"foo","raw_name":"raw foo","left_out":2,"depth":1,"arguments":[0.5,-0.0,1e+300,0.1]}',
        id="floats",
    ),
    pytest.param(
        source("a%d%r", kinds="did"),
        row(0, 0, 1, math.nan, 5, -math.inf),
        '000000Z","function":"a%d%r","raw_name":"raw a%d%r","depth":1,"arguments":["NaN",5,"-Infinity"]}',
        id="words-and-percent",
    ),
    pytest.param(
        source("d", kinds="dd"),
        row(0, 0, 1, 1e308, 1e308),
        '000000Z","function":"d","raw_name":"raw d","depth":1,"arguments":[1e+308,1e+308]}',
        id="finite-but-their-sum",
    ),
]


@pytest.mark.parametrize(("said", "cells", "line"), LINES)
def test_lines(said: EventSource, cells: EventRow, line: str) -> None:
    made = block([said], [cells])
    assert encode_block(made).decode() == f"{START}{line}\n"
    (event,) = made.events()
    assert encode_event(event, said, STARTED_NS) == f"{START}{line}\n"


def test_an_empty_block() -> None:
    assert encode_block(block([], [])) == b""


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=list(HOSTILE_NAMES))
def test_hostile_names_are_one_line_of_plain_ascii(name: str) -> None:
    data = encode_block(block([source(name)], [row(0, 0, 0)]))
    assert re.fullmatch(rb"[\x20-\x7e]*\n", data)
    assert json.loads(data)["function"].encode("utf-8", "strict") is not None


KINDS = st.text("ilfd", max_size=4)
INTEGERS = st.integers(-(2**63), 2**63 - 1)


@given(st.data(), st.lists(KINDS, min_size=1, max_size=3))
def test_the_fast_encoder_says_what_the_plain_one_says(data: st.DataObject, kinds: list[str]) -> None:
    sources = [source(f"f{place}", each) for place, each in enumerate(kinds)]
    rows = []
    for place in data.draw(st.lists(st.integers(0, len(kinds) - 1), max_size=6)):
        cells = [data.draw(INTEGERS if kind in "il" else st.floats()) for kind in kinds[place]]
        rows.append(row(data.draw(st.integers(0, 2**40)), place, data.draw(st.integers(0, 99999)), *cells))
    made = block(sources, rows)
    plain = [
        encode_event(each, made.describe(cells[0])[0], STARTED_NS)
        for each, cells in zip(made.events(), rows, strict=True)
    ]
    assert encode_block(made).decode() == "".join(plain)


@pytest.mark.parametrize(
    ("unix_us", "text"),
    [(0, "1970-01-01T00:00:00.000000Z"), (1_769_860_800_000_001, "2026-01-31T12:00:00.000001Z")],
)
def test_times(unix_us: int, text: str) -> None:
    assert rfc3339(unix_us) == text


# Files


THREE = block([source()], [row(0, 0, depth) for depth in range(3)])
DATA = encode_block(THREE)


def test_blocks_are_there_when_they_are_written(tmp_path: Path) -> None:
    path = tmp_path / "events"
    path.write_bytes(b"old")
    with EventsFile(path) as file:
        assert path.read_bytes() == b""
        assert file(THREE) == 0
        assert path.read_bytes() == DATA
        assert file(THREE) == 0
    assert path.read_bytes() == DATA * 2
    assert (file.lost, file.complaint) == (0, None)


@pytest.mark.parametrize("path", ["", "no/such/folder/file", "."], ids=["empty", "no-folder", "folder"])
def test_a_path_that_cannot_be_written(path: str) -> None:
    with pytest.raises(ExportError, match="cannot write"):
        EventsFile(path)


@pytest.mark.parametrize(
    ("room", "lines"), [(0, 0), (1, 0), (len(DATA) // 3, 1), (len(DATA) // 3 + 1, 1), (len(DATA) - 1, 2)]
)
def test_a_full_disk_keeps_whole_lines_and_counts_the_rest(tmp_path: Path, room: int, lines: int) -> None:
    left = room

    def write(descriptor: int, data: memoryview) -> int:
        nonlocal left
        if not left:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        done = os.write(descriptor, data[:left])
        left -= done
        return done

    path = tmp_path / "events"
    with EventsFile(path, write=write) as file:
        assert (file(THREE), file(THREE)) == (3 - lines, 3)
        assert path.read_bytes().count(b"\n") == lines
        assert DATA.startswith(path.read_bytes())
    assert file.complaint == f"cannot write events to {path}: no space left on device; {6 - lines} events are lost"


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_device_that_is_full() -> None:
    with EventsFile("/dev/full") as file:
        assert file(THREE) == 3
    assert "no space left" in (file.complaint or "")


def test_a_closed_file_takes_nothing(tmp_path: Path) -> None:
    file = EventsFile(tmp_path / "events")
    file.close()
    file.close()
    assert (file(THREE), file.lost) == (3, 3)
    assert "3 events are lost" in (file.complaint or "")


def test_a_fifo_that_nobody_reads_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(ExportError):
        EventsFile(tmp_path / "fifo")


def test_a_pipe_whose_reader_stops_is_not_waited_for_in_a_hurry(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    many = block([source()], [row(0, 0, depth) for depth in range(5000)])
    with EventsFile(tmp_path / "fifo") as file:
        writer = threading.Thread(target=file, args=(many,))
        writer.start()
        file.hurry()
        writer.join(30)
        assert not writer.is_alive()
        assert 0 < file.lost < 5000
        assert "nobody reads" in (file.complaint or "")
    os.close(reader)


def test_a_pipe_whose_reader_has_gone(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    with EventsFile(tmp_path / "fifo") as file:
        os.close(reader)
        assert file(THREE) == 3
    assert "broken pipe" in (file.complaint or "")
