from __future__ import annotations

import threading

import pytest

from telemetry_image import LAYOUT, SITES, Image, Names, grow_record, slow_record
from wasmtrace import layout as cells
from wasmtrace.records import Dropped, Event, EventSink, FunctionName, MemoryGrew, SlowCall
from wasmtrace.runtime.reader import Reader, Ring
from wasmtrace.runtime.telemetry import TelemetryMemory
from wasmtrace.sites import FunctionNames


def ring_of(image: Image, *sinks: EventSink) -> Ring:
    memory = TelemetryMemory(image.address, image.length, image.layout, image)
    return Ring(memory, SITES, Names, sinks)


def name(funcidx: int) -> FunctionName:
    return Names()[funcidx]


def test_records_become_events_in_order() -> None:
    image, events = Image(), list[Event]()
    ring = ring_of(image, events.append)
    image.push_record(slow_record(2, 10, 3010, depth=4))
    image.push_record(grow_record(2, 4000, 0, 3))
    image.push_record(slow_record(0, 5000, 9000, result=44))
    ring.drain(9999)
    assert events == [
        SlowCall(name(2), False, 10, 3010, 4, 0),
        MemoryGrew(name(2), 0, 3, False, 4000),
        SlowCall(name(0), True, 5000, 9000, 0, 44),
    ]
    assert ring.records_read == 3
    assert image.get(cells.RING_TAIL_OFFSET) == 3


def test_each_record_is_read_once() -> None:
    image, events = Image(), list[Event]()
    ring = ring_of(image, events.append)
    for duration in (5, 900, 20):
        image.push_record(slow_record(1, 0, duration))
        ring.drain(0)
        ring.drain(0)
    assert [each.end_us for each in events if isinstance(each, SlowCall)] == [5, 900, 20]


def test_without_sinks_names_are_not_asked_for() -> None:
    def names() -> FunctionNames:
        raise AssertionError("names were asked for")

    image = Image()
    memory = TelemetryMemory(image.address, image.length, image.layout, image)
    ring = Ring(memory, SITES, names, ())
    image.push_record(slow_record(1, 0, 70))
    ring.drain(0)
    assert ring.records_read == 1


def test_dropped_is_told_as_a_difference() -> None:
    image, events = Image(), list[Event]()
    ring = ring_of(image, events.append)
    for total, now_us in ((3, 10), (3, 20), (8, 30)):
        image.put(cells.RING_DROPPED_OFFSET, total)
        ring.drain(now_us)
    assert events == [Dropped(3, 10), Dropped(5, 30)]


def test_a_sink_that_raises_is_dropped_and_the_others_go_on() -> None:
    def bad(event: Event) -> None:
        raise ValueError("full")

    image, events = Image(), list[Event]()
    ring = ring_of(image, bad, events.append)
    for _ in range(2):
        image.push_record(slow_record(1, 0, 5))
        ring.drain(0)
    assert len(events) == 2
    assert ring.sink_errors == ["ValueError: full"]


@pytest.mark.parametrize("head", [2**64 - 1, LAYOUT.ring_capacity + 1])
def test_a_head_that_makes_no_sense_is_malformed_and_left_behind(head: int) -> None:
    image, events = Image(), list[Event]()
    ring = ring_of(image, events.append)
    image.put(cells.RING_HEAD_OFFSET, head)
    ring.drain(0)
    ring.drain(0)
    assert (events, ring.malformed) == ([], 1)


def test_draining_a_closed_ring_does_nothing() -> None:
    image = Image()
    ring = ring_of(image)
    image.push_record(slow_record(1, 0, 5))
    ring.close()
    ring.drain(0)
    assert ring.records_read == 0


def test_the_thread_drains_what_is_attached() -> None:
    image, seen = Image(), threading.Event()
    ring = ring_of(image, lambda event: seen.set())
    reader = Reader(interval_seconds=0.001)
    image.push_record(slow_record(1, 0, 5))
    reader.attach(ring, lambda: 0)
    assert seen.wait(10)
    reader.detach(ring)
    reader.close()
    image.push_record(slow_record(1, 0, 5))
    assert ring.records_read == 1
