"""The reader's bounds, windows and names."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.reader import Reader

BEFORE = b"\xaa\xaa\xaa"
"""Stands before each case: offsets count from the module's start."""

VALUES: list[tuple[str, Callable[[Reader], object], bytes, object]] = [
    ("byte", Reader.read_byte, b"\xff", 0xFF),
    ("bytes", lambda reader: reader.read_bytes(3), b"abc", b"abc"),
    ("no-bytes", lambda reader: reader.read_bytes(0), b"", b""),
    ("name", Reader.read_name, b"\x05" + "naïf".encode(), "naïf"),
    ("empty-name", Reader.read_name, b"\x00", ""),
    ("name-with-nul", Reader.read_name, b"\x01\x00", "\x00"),
    ("padded-name-size", Reader.read_name, b"\x81\x80\x80\x80\x00" + b"x", "x"),
    ("u32", Reader.read_u32, b"\x80\x01", 128),
    ("u64", Reader.read_u64, b"\x80\x01", 128),
    ("s32", Reader.read_s32, b"\x7f", -1),
    ("s33", Reader.read_s33, b"\x80\x7f", -128),
    ("s64", Reader.read_s64, b"\x80\x7f", -128),
    ("window", lambda reader: reader.window(2).read_bytes(2), b"ab", b"ab"),
]

ERRORS: list[tuple[str, Callable[[Reader], object], bytes, DecodeCode, int]] = [
    ("byte", Reader.read_byte, b"", DecodeCode.UNEXPECTED_END, 3),
    ("bytes", lambda reader: reader.read_bytes(3), b"ab", DecodeCode.UNEXPECTED_END, 5),
    ("huge", lambda reader: reader.read_bytes(1 << 70), b"ab", DecodeCode.UNEXPECTED_END, 5),
    ("window", lambda reader: reader.window(3), b"ab", DecodeCode.UNEXPECTED_END, 5),
    ("leb-cut", Reader.read_u32, b"\x80\x80", DecodeCode.UNEXPECTED_END, 5),
    ("u32-6-bytes", Reader.read_u32, b"\x80\x80\x80\x80\x80\x00", DecodeCode.LEB_TOO_LONG, 3),
    ("u32-33-bits", Reader.read_u32, b"\xff\xff\xff\xff\x1f", DecodeCode.LEB_TOO_LARGE, 3),
    ("u64-11-bytes", Reader.read_u64, b"\x80" * 10 + b"\x00", DecodeCode.LEB_TOO_LONG, 3),
    ("u64-65-bits", Reader.read_u64, b"\xff" * 9 + b"\x02", DecodeCode.LEB_TOO_LARGE, 3),
    ("s32-6-bytes", Reader.read_s32, b"\x80\x80\x80\x80\x80\x00", DecodeCode.LEB_TOO_LONG, 3),
    ("s32-2^31", Reader.read_s32, b"\x80\x80\x80\x80\x08", DecodeCode.LEB_TOO_LARGE, 3),
    ("s32-mixed-unused-bits", Reader.read_s32, b"\xff\xff\xff\xff\x6f", DecodeCode.LEB_TOO_LARGE, 3),
    ("s33-2^32", Reader.read_s33, b"\x80\x80\x80\x80\x10", DecodeCode.LEB_TOO_LARGE, 3),
    ("s64-2^63", Reader.read_s64, b"\x80" * 9 + b"\x01", DecodeCode.LEB_TOO_LARGE, 3),
    ("name-cut", Reader.read_name, b"\x03ab", DecodeCode.UNEXPECTED_END, 6),
    ("name-size-4GB", Reader.read_name, b"\xff\xff\xff\xff\x0f", DecodeCode.UNEXPECTED_END, 8),
    ("name-bad-byte", Reader.read_name, b"\x03ab\xff", DecodeCode.BAD_UTF8, 6),
    ("name-surrogate", Reader.read_name, b"\x03\xed\xa0\x80", DecodeCode.BAD_UTF8, 4),
    ("name-overlong", Reader.read_name, b"\x02\xc0\x80", DecodeCode.BAD_UTF8, 4),
    ("name-half-character", Reader.read_name, b"\x01\xc3", DecodeCode.BAD_UTF8, 4),
]


def reader_of(data: bytes) -> Reader:
    """The window has more bytes after its end, which must never be read."""
    return Reader(BEFORE + data + bytes(20), len(BEFORE), len(BEFORE) + len(data))


@pytest.mark.parametrize(("read", "data", "value"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_reads_the_value_and_moves_behind_it(read: Callable[[Reader], object], data: bytes, value: object) -> None:
    reader = reader_of(data)
    assert read(reader) == value
    assert reader.at_end()


@pytest.mark.parametrize(("read", "data", "value"), [row[1:] for row in VALUES], ids=[row[0] for row in VALUES])
def test_cut_at_each_length(read: Callable[[Reader], object], data: bytes, value: object) -> None:
    for size in range(len(data)):
        reader = reader_of(data[:size])
        with pytest.raises(DecodeError) as caught:
            read(reader)
        assert caught.value.code is DecodeCode.UNEXPECTED_END
        assert caught.value.offset == reader.end
        assert reader.position == reader.start


@pytest.mark.parametrize(
    ("read", "data", "code", "offset"), [row[1:] for row in ERRORS], ids=[row[0] for row in ERRORS]
)
def test_errors(read: Callable[[Reader], object], data: bytes, code: DecodeCode, offset: int) -> None:
    reader = reader_of(data)
    with pytest.raises(DecodeError) as caught:
        read(reader)
    assert (caught.value.code, caught.value.offset) == (code, offset)
    assert reader.position == reader.start


def test_window_keeps_absolute_offsets() -> None:
    outer = reader_of(b"abcd")
    inner = outer.window(2)
    assert (inner.start, inner.position, inner.end, outer.position) == (3, 3, 5, 5)
    inner.read_bytes(2)
    with pytest.raises(DecodeError) as caught:
        inner.read_byte()
    assert caught.value.offset == 5


@pytest.mark.parametrize(("start", "end"), [(-1, 2), (2, 1), (0, 4), (4, 4)])
def test_a_window_outside_of_the_data_is_a_bug(start: int, end: int) -> None:
    with pytest.raises(AssertionError):
        Reader(b"abc", start, end)
