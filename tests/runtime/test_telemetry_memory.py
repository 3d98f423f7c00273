from __future__ import annotations

import gc
import threading
import weakref

import pytest

from telemetry_image import LAYOUT, Image
from wasmtrace import layout as cells
from wasmtrace.errors import GuestError
from wasmtrace.layout import Layout
from wasmtrace.runtime.telemetry import INNERMOST_FRAMES_KEPT, OUTERMOST_FRAMES_KEPT, TelemetryMemory

U64 = 2**64 - 1


def opened(image: Image) -> TelemetryMemory:
    return TelemetryMemory(image.address, image.length, image.layout, image)


@pytest.mark.parametrize(
    ("offset", "what"),
    [
        (cells.MAGIC_OFFSET, "magic number"),
        (cells.VERSION_OFFSET, "layout version"),
        (cells.FUNCTION_COUNT_OFFSET, "function count"),
        (cells.RING_CAPACITY_OFFSET, "ring capacity"),
    ],
)
def test_a_header_of_something_else_is_refused(offset: int, what: str) -> None:
    image = Image()
    image.put(offset, image.get(offset) + 1)
    with pytest.raises(GuestError, match=what):
        opened(image)


def test_a_memory_of_another_size_is_refused() -> None:
    image = Image()
    with pytest.raises(GuestError, match="pages"):
        TelemetryMemory(image.address, image.length - cells.PAGE_BYTES, LAYOUT, image)


def test_counters_are_what_the_guest_wrote() -> None:
    image = Image()
    memory = opened(image)
    for funcidx in range(4):
        image.put(LAYOUT.calls_cell(funcidx), funcidx + 1)
        image.put(LAYOUT.slow_calls_offset + 8 * funcidx, funcidx + 10)
        image.put(LAYOUT.slow_us_offset + 8 * funcidx, U64 - funcidx)
    image.put(LAYOUT.grow_cell(0) + cells.GROW_PAGES_FIELD, 5)
    image.put(LAYOUT.grow_cell(0) + cells.GROW_FAILED_FIELD, 6)
    image.put(LAYOUT.errno_cells(0) + 8 * 44, 3)
    image.put(cells.RING_DROPPED_OFFSET, 9)
    assert memory.calls().tolist() == [1, 2, 3, 4]
    assert memory.slow_calls().tolist() == [10, 11, 12, 13]
    assert memory.slow_us().tolist() == [U64, U64 - 1, U64 - 2, U64 - 3]
    assert memory.grows() == [(5, 6)]
    assert memory.errnos(0)[44] == 3
    assert memory.memory_pages() == [(2, 0x7FFF_FFFF_FFFF_FFFF)]
    assert memory.dropped == 9


@pytest.mark.parametrize(
    ("offset", "length"),
    [
        (-1, 1),
        (0, -1),
        (LAYOUT.pages * cells.PAGE_BYTES, 1),
        (LAYOUT.pages * cells.PAGE_BYTES - 8, 9),
        (U64, 8),
    ],
)
def test_reads_out_of_bounds_are_refused(offset: int, length: int) -> None:
    with pytest.raises(GuestError, match="out of bounds"):
        opened(Image()).read_exact(offset, length)


@pytest.mark.parametrize("offset", [-8, 4, LAYOUT.pages * cells.PAGE_BYTES])
def test_writes_out_of_bounds_are_refused(offset: int) -> None:
    with pytest.raises(GuestError, match="out of bounds"):
        opened(Image()).write_cell(offset, 1)


def test_the_last_byte_can_be_read() -> None:
    image = Image()
    image.buffer[image.length - 1] = b"\x07"
    assert opened(image).read_exact(image.length - 1, 1) == b"\x07"


STACK_POINTERS = [
    pytest.param(LAYOUT.stack_offset, 0, id="empty"),
    pytest.param(LAYOUT.stack_offset + 16, 2, id="two"),
    pytest.param(LAYOUT.stack_offset + 19, 2, id="not-aligned"),
    pytest.param(LAYOUT.stack_offset - 8, 0, id="below"),
    pytest.param(0, 0, id="zero"),
    pytest.param(LAYOUT.stack_offset + LAYOUT.stack_bytes + 8, 64, id="above"),
    pytest.param(U64, 64, id="huge"),
]


@pytest.mark.parametrize(("pointer", "depth"), STACK_POINTERS)
def test_a_hostile_stack_pointer_is_clamped(pointer: int, depth: int) -> None:
    image = Image()
    memory = opened(image)
    image.put(cells.STACK_POINTER_OFFSET, pointer)
    assert len(memory.frames()) == depth
    assert memory.stack_pointer == LAYOUT.stack_offset + 8 * depth
    assert (memory.tick(5000) >= 0) is (depth > 0)


def test_of_a_very_deep_stack_both_ends_are_kept() -> None:
    depth = 5000
    image = Image(Layout(4, 1, 0, 0, 4, depth * cells.BYTES_PER_ENGINE_FRAME))
    for number in range(depth):
        image.push_frame(1, number)
    starts = [cells.time_us_of(frame) for frame in opened(image).frames()]
    assert starts == [*range(OUTERMOST_FRAMES_KEPT), *range(depth - INNERMOST_FRAMES_KEPT, depth)]


@pytest.mark.parametrize("young", range(6))
def test_a_tick_sets_clock_cutoff_and_watermark_and_names_the_innermost(young: int) -> None:
    image = Image(slow_threshold_us=1000)
    memory = opened(image)
    for time_us in (50, 8000, 9000, 9500):
        memory.tick(time_us)
    for start_us in (10, 20, 30, 40, 50)[: 5 - young] + (9000, 9000, 9500, 9500, 9500)[:young]:
        image.push_frame(start_us // 10 % 4, start_us)
    innermost = memory.tick(10_000)
    assert cells.time_us_of(image.get(cells.CLOCK_OFFSET)) == 10_000
    assert image.get(cells.SLOW_CUTOFF_OFFSET) == cells.stamp(9000)
    assert image.get(cells.WATERMARK_OFFSET) == LAYOUT.stack_offset + 8 * (5 - young)
    assert innermost == ((9000, 9000, 9500, 9500, 9500)[young - 1] if young else 50) // 10 % 4


CUTOFFS = [
    pytest.param([100], 100, 0, id="first-tick"),
    pytest.param([100, 1099], 1099, 0, id="just-not-a-threshold-ago"),
    pytest.param([100, 1100], 1100, 100, id="a-threshold-ago"),
    pytest.param([100, 600, 1100, 1700], 1700, 600, id="the-last-of-those"),
    pytest.param([100, 600, 9000], 9000, 600, id="a-late-tick"),
]


@pytest.mark.parametrize(("ticks", "clock_us", "cutoff_us"), CUTOFFS)
def test_the_cutoff_is_the_last_tick_a_threshold_ago(ticks: list[int], clock_us: int, cutoff_us: int) -> None:
    image = Image(slow_threshold_us=1000)
    memory = opened(image)
    for time_us in ticks:
        memory.tick(time_us)
    assert image.get(cells.CLOCK_OFFSET) == cells.stamp(clock_us)
    assert image.get(cells.SLOW_CUTOFF_OFFSET) == cells.stamp(cutoff_us)


def test_with_a_long_threshold_few_ticks_are_kept_and_the_cutoff_is_never_too_late() -> None:
    image = Image(slow_threshold_us=10_000_000)
    memory = opened(image)
    for time_us in range(0, 30_000_000, 1000):
        memory.tick(time_us)
        cutoff_us = cells.time_us_of(image.get(cells.SLOW_CUTOFF_OFFSET))
        assert cutoff_us <= max(0, time_us - 10_000_000)
        assert time_us < 10_030_000 or cutoff_us >= time_us - 10_030_000


def test_with_threshold_0_every_frame_is_below_cutoff_and_watermark() -> None:
    image = Image()
    memory = opened(image)
    memory.set_slow_threshold(0)
    memory.tick(10)
    assert image.get(cells.WATERMARK_OFFSET) == cells.WATERMARK_ALL
    assert image.get(cells.SLOW_CUTOFF_OFFSET) == cells.CUTOFF_ALL
    memory.set_slow_threshold(1000)
    memory.tick(20)
    assert image.get(cells.WATERMARK_OFFSET) == LAYOUT.stack_offset
    assert image.get(cells.SLOW_CUTOFF_OFFSET) == 0


@pytest.mark.parametrize("threshold_us", [2000, 64_000, 2_000_000])
def test_calls_that_are_open_stay_slow_when_the_threshold_moves(threshold_us: int) -> None:
    image = Image(slow_threshold_us=1000)
    memory = opened(image)
    for time_us in range(0, 5_000_000, 1000):
        memory.tick(time_us)
    memory.set_slow_threshold(threshold_us)
    memory.tick(5_000_000)
    cutoff_us = cells.time_us_of(image.get(cells.SLOW_CUTOFF_OFFSET))
    assert 5_000_000 - threshold_us - 17_000 <= cutoff_us <= 5_000_000 - threshold_us


@pytest.mark.parametrize("threshold_us", [0, 1, 1000, 5_000_000])
def test_the_threshold_is_read_back(threshold_us: int) -> None:
    assert opened(Image(slow_threshold_us=threshold_us)).slow_threshold_us == threshold_us


def test_what_the_host_writes_arrives() -> None:
    image = Image()
    memory = opened(image)
    memory.ring_tail = 3
    memory.stack_pointer = LAYOUT.stack_offset
    memory.set_memory_limit(0, 17)
    memory.set_memory_pages(0, 4)
    assert image.get(cells.RING_TAIL_OFFSET) == memory.ring_tail == 3
    assert memory.memory_pages() == [(4, 17)]


def test_after_close_reads_give_the_last_values_and_writes_do_nothing() -> None:
    image = Image()
    memory = opened(image)
    image.put(LAYOUT.calls_cell(2), 7)
    image.put(LAYOUT.grow_cell(0), 8)
    image.push_frame(1, 1)
    memory.close()
    memory.close()
    image.put(LAYOUT.calls_cell(2), 99)
    memory.ring_tail = 5
    assert memory.closed
    assert memory.calls().tolist() == [0, 0, 7, 0]
    assert memory.grows() == [(8, 0)]
    assert memory.frames() == []
    assert memory.tick(12_345) == -1
    assert image.get(cells.CLOCK_OFFSET) == 0
    assert image.get(cells.RING_TAIL_OFFSET) == 0
    with pytest.raises(GuestError, match="closed"):
        memory.read_exact(LAYOUT.ring_offset, 8)


def test_the_owner_lives_until_close() -> None:
    image = Image()
    alive = weakref.ref(image)
    memory = opened(image)
    del image
    gc.collect()
    assert alive() is not None
    memory.close()
    assert alive() is None


def test_closing_while_other_threads_read() -> None:
    image = Image()
    memory = opened(image)
    started = threading.Barrier(4)
    errors: list[BaseException] = []

    def read() -> None:
        started.wait()
        try:
            while not memory.closed:
                memory.calls(), memory.frames(), memory.tick(1)
            assert len(memory.calls()) == 4
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    started.wait()
    memory.close()
    for thread in threads:
        thread.join(10)
    assert errors == []
