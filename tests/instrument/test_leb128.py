"""LEB128 against a plain model, both ways."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wasmtrace.errors import DecodeCode, DecodeError
from wasmtrace.instrument.leb128 import encode_signed, encode_u32, encode_unsigned
from wasmtrace.instrument.reader import Reader

CASES = [
    # kind, bytes, value: each is the shortest form
    ("u32", b"\x00", 0),
    ("u32", b"\x7f", 127),
    ("u32", b"\x80\x01", 128),
    ("u32", b"\xe5\x8e\x26", 624485),
    ("u32", b"\xff\xff\xff\xff\x0f", 2**32 - 1),
    ("u64", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 2**64 - 1),
    ("s32", b"\x3f", 63),
    ("s32", b"\x40", -64),
    ("s32", b"\xc0\x00", 64),
    ("s32", b"\xbf\x7f", -65),
    ("s32", b"\xc0\xbb\x78", -123456),
    ("s32", b"\x80\x80\x80\x80\x78", -(2**31)),
    ("s32", b"\xff\xff\xff\xff\x07", 2**31 - 1),
    ("s33", b"\xff\xff\xff\xff\x0f", 2**32 - 1),
    ("s33", b"\x80\x80\x80\x80\x70", -(2**32)),
    ("s64", b"\x80\x80\x80\x80\x80\x80\x80\x80\x80\x7f", -(2**63)),
    ("s64", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x00", 2**63 - 1),
]

PADDED = [
    ("u32", b"\x80\x80\x80\x80\x00", 0),
    ("u32", b"\x81\x80\x00", 1),
    ("u64", b"\x81\x80\x80\x80\x80\x80\x80\x80\x80\x00", 1),
    ("s32", b"\xff\xff\xff\xff\x7f", -1),
    ("s32", b"\x81\x80\x80\x80\x00", 1),
    ("s33", b"\xff\xff\xff\xff\x7f", -1),
    ("s64", b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\x7f", -1),
]

KINDS = {"u32": (32, False), "u64": (64, False), "s32": (32, True), "s33": (33, True), "s64": (64, True)}


def read(kind: str, data: bytes) -> tuple[int, int]:
    reader = Reader(data)
    value: int = getattr(reader, f"read_{kind}")()
    return value, reader.position


def encode(kind: str, value: int) -> bytes:
    return encode_signed(value) if KINDS[kind][1] else encode_unsigned(value)


def model(kind: str, data: bytes) -> tuple[int, int] | DecodeCode:
    """Value and size, straight from the grammar: the bits as text."""
    bits, signed = KINDS[kind]
    most = (bits + 6) // 7
    size = next((index + 1 for index, byte in enumerate(data) if byte < 0x80), len(data) + 1)
    if size > most:
        return DecodeCode.UNEXPECTED_END if len(data) < most else DecodeCode.LEB_TOO_LONG
    if size > len(data):
        return DecodeCode.UNEXPECTED_END
    digits = "".join(f"{byte & 0x7F:07b}" for byte in reversed(data[:size]))
    sign = digits[0] if signed else "0"
    unused, digits = (
        digits[: max(0, len(digits) - bits)],
        digits.rjust(bits, sign)[-bits:],
    )
    if signed:
        sign = digits[0]
    if set(unused) - {sign}:
        return DecodeCode.LEB_TOO_LARGE
    value = int(digits, 2)
    return value - (1 << bits if signed and sign == "1" else 0), size


@pytest.mark.parametrize(("kind", "data", "value"), CASES, ids=[f"{kind}-{value}" for kind, _, value in CASES])
def test_shortest_form_both_ways(kind: str, data: bytes, value: int) -> None:
    assert read(kind, data) == (value, len(data))
    assert encode(kind, value) == data


@pytest.mark.parametrize(("kind", "data", "value"), PADDED, ids=[f"{kind}-{data.hex()}" for kind, data, _ in PADDED])
def test_padding_is_legal(kind: str, data: bytes, value: int) -> None:
    assert read(kind, data) == (value, len(data))


@pytest.mark.parametrize("value", [-1, 2**32], ids=["negative", "too-large"])
def test_encode_u32_asserts_its_range(value: int) -> None:
    with pytest.raises(AssertionError):
        encode_u32(value)


@given(st.integers(0, 2**32 - 1))
def test_u32_round_trips(value: int) -> None:
    assert encode_u32(value) == encode_unsigned(value)
    assert read("u32", encode_u32(value)) == (value, len(encode_u32(value)))


@given(st.integers(0, 2**64 - 1))
def test_u64_round_trips(value: int) -> None:
    assert read("u64", encode_unsigned(value))[0] == value


@given(st.integers(-(2**63), 2**63 - 1))
def test_s64_round_trips(value: int) -> None:
    assert read("s64", encode_signed(value))[0] == value


LEB_BYTES = st.one_of(
    st.binary(max_size=12),
    # long numbers whose last byte has few or many bits
    st.tuples(st.integers(0, 10), st.binary(min_size=10, max_size=10), st.integers(0, 0x7F)).map(
        lambda parts: bytes(byte | 0x80 for byte in parts[1][: parts[0]]) + bytes([parts[2]])
    ),
)


@pytest.mark.parametrize("kind", KINDS)
@given(data=LEB_BYTES)
def test_any_bytes_as_the_model_says(kind: str, data: bytes) -> None:
    expected = model(kind, data)
    try:
        got: tuple[int, int] | DecodeCode = read(kind, data)
    except DecodeError as error:
        got = error.code
    assert got == expected
