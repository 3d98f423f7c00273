from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_image import grow_record, slow_record
from wasmtrace import layout as cells
from wasmtrace.runtime.drain import Batch, RawGrow, RawSlowCall, decode_records, pending_spans

CAPACITY = 8


def decoded(data: bytes) -> Batch:
    return decode_records(data, function_count=4, memory_count=2)


def through_ring(records: list[bytes], tail: int, capacity: int = CAPACITY) -> bytes:
    """Writes records from number `tail` on into a ring, as the guest does, and reads the pending spans."""
    ring = bytearray(b"\xee" * capacity * cells.RECORD_BYTES)
    for number, record in enumerate(records, tail):
        slot = number % capacity * cells.RECORD_BYTES
        ring[slot : slot + cells.RECORD_BYTES] = record
    spans = pending_spans(tail, tail + len(records), capacity)
    return b"".join(bytes(ring[offset : offset + length]) for offset, length in spans)


@pytest.mark.parametrize("count", range(CAPACITY + 1))
@pytest.mark.parametrize("tail", range(CAPACITY))
def test_wrap_at_each_position(tail: int, count: int) -> None:
    records = [slow_record(number % 4, number, number + 10) for number in range(count)]
    assert through_ring(records, tail) == b"".join(records)


@given(tail=st.integers(0, 2**63), count=st.integers(0, 64), bits=st.integers(0, 6))
def test_spans_against_a_list_of_slots(tail: int, count: int, bits: int) -> None:
    capacity = 1 << bits
    slots = [number % capacity for number in range(tail, tail + count)] if count <= capacity else []
    spans = pending_spans(tail, tail + count, capacity)
    read = [
        place // cells.RECORD_BYTES
        for offset, length in spans
        for place in range(offset, offset + length, cells.RECORD_BYTES)
    ]
    assert read == slots
    assert len(spans) <= 2


@pytest.mark.parametrize(
    ("tail", "head"),
    [
        pytest.param(5, 4, id="head-behind"),
        pytest.param(0, CAPACITY + 1, id="lapped"),
        pytest.param(0, 2**64 - 1, id="huge"),
    ],
)
def test_a_head_that_makes_no_sense_gives_nothing(tail: int, head: int) -> None:
    assert pending_spans(tail, head, CAPACITY) == []


RECORDS = [
    pytest.param(slow_record(3, 100, 2100, depth=7), RawSlowCall(3, 100, 2100, 7, 0), id="slow"),
    pytest.param(slow_record(0, 5, 9, result=44), RawSlowCall(0, 5, 9, 0, 44), id="slow-host-errno"),
    pytest.param(slow_record(1, 7, 7), RawSlowCall(1, 7, 7, 0, 0), id="slow-no-time"),
    pytest.param(grow_record(2, 50, 1, 3), RawGrow(2, 1, 3, False, 50), id="grow"),
    pytest.param(grow_record(2, 50, 0, 9, failed=True), RawGrow(2, 0, 9, True, 50), id="grow-refused"),
]
MALFORMED = [
    pytest.param(bytes(cells.RECORD_BYTES), id="zeros"),
    pytest.param(b"\xff" * cells.RECORD_BYTES, id="ones"),
    pytest.param(slow_record(4, 0, 1), id="funcidx-out-of-range"),
    pytest.param(slow_record(1, 2, 1), id="end-before-start"),
    pytest.param(grow_record(1, 0, 2, 1), id="memidx-out-of-range"),
    pytest.param(cells.RECORD_STRUCT.pack(77, 0, 1, 0, 0, 0, 0), id="unknown-kind"),
]


@pytest.mark.parametrize(("data", "expected"), RECORDS)
def test_records(data: bytes, expected: RawSlowCall | RawGrow) -> None:
    assert decoded(data) == Batch([expected], 0)


@pytest.mark.parametrize("data", MALFORMED)
def test_malformed_records_are_counted_and_those_around_them_kept(data: bytes) -> None:
    good = slow_record(1, 10, 20)
    assert decoded(good + data + good) == Batch([RawSlowCall(1, 10, 20, 0, 0)] * 2, 1)


@given(st.binary(max_size=10 * cells.RECORD_BYTES))
def test_any_bytes_are_records_or_malformed(data: bytes) -> None:
    data = data[: len(data) // cells.RECORD_BYTES * cells.RECORD_BYTES]
    batch = decoded(data)
    assert len(batch.records) + batch.malformed == len(data) // cells.RECORD_BYTES
