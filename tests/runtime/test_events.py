"""Events from the ring to whoever asked for them: sinks, streams, counts of what was lost. Waits are for conditions."""

from __future__ import annotations

import ctypes
import gc
import math
import threading
import time
from collections.abc import Callable, Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from c_programs import SMALL, every
from plain import run_plain
from programs import Program
from telemetry_image import Image, Names
from traced import run_traced
from wasmtrace import layout as cells
from wasmtrace.api import Runtime, RuntimeConfig
from wasmtrace.errors import GuestError, UsageError
from wasmtrace.layout import Layout
from wasmtrace.records import Dropped, Event, EventBlock, FunctionName, GuestEvent, Level, Outcome
from wasmtrace.runtime.drain import decode_events, event_struct
from wasmtrace.runtime.event_ring import BLOCK_RECORDS
from wasmtrace.runtime.event_streams import STREAM_LIMIT, EventHub
from wasmtrace.runtime.reader import Reader, Ring
from wasmtrace.runtime.telemetry import TelemetryMemory
from wasmtrace.sites import EventSite, HostFunction, SiteTable

CAPACITY = 8
DEADLINE_SECONDS = 30
LAYOUT = Layout(
    function_count=4,
    memory_count=0,
    grow_site_count=0,
    errno_import_count=0,
    ring_capacity=4,
    max_stack_bytes=64,
    event_capacity=CAPACITY,
)
SITES = SiteTable(
    level="trace",
    layout=LAYOUT,
    telemetry_export=cells.EXPORT_NAME,
    host_functions=(HostFunction("h", "f0", None),),
    memories=(),
    grow_sites=(),
    framed_functions=3,
    skipped=(),
    events=(EventSite(0, "i", 0), EventSite(1, "", 1), EventSite(2, "lifd", 0)),
)


def record(funcidx: int, at_us: int, *arguments: int | float, depth: int = 0) -> bytes:
    kinds = "".join("d" if isinstance(each, float) else "i" for each in arguments)
    given = [*arguments, *[77] * (4 - len(arguments))]
    return event_struct(kinds).pack(cells.stamp(at_us) | funcidx, depth, *given)


def push(image: Image, data: bytes) -> None:
    """As the guest does: into the next slot if there is room, else counted as dropped."""
    head = image.get(cells.EVENT_HEAD_OFFSET)
    if head - image.get(cells.EVENT_TAIL_OFFSET) >= CAPACITY:
        image.put(cells.EVENT_DROPPED_OFFSET, image.get(cells.EVENT_DROPPED_OFFSET) + 1)
        return
    slot = LAYOUT.events_offset + head % CAPACITY * cells.EVENT_BYTES
    ctypes.memmove(image.address + slot, data, len(data))
    image.put(cells.EVENT_HEAD_OFFSET, head + 1)


def hub_of(*sinks: Callable[[EventBlock], int], lossless: bool = False) -> EventHub:
    return EventHub(SITES, Names, 0, sinks, lossless=lossless)


def ring_of(image: Image, hub: EventHub, *sinks: Callable[[Event], None]) -> Ring:
    return Ring(TelemetryMemory(image.address, image.length, LAYOUT, image), SITES, Names, sinks, hub)


class Counts(list[int]):
    """A sink that takes all, and notes how many events each block had."""

    def __call__(self, block: EventBlock) -> int:
        self.append(len(block.rows))
        return 0


def name(funcidx: int) -> FunctionName:
    return Names()[funcidx]


# The ring


def test_records_become_events_in_order() -> None:
    image, events = Image(LAYOUT), list[Event]()
    ring = ring_of(image, hub_of(), events.append)
    push(image, record(0, 10, -5))
    push(image, record(1, 10, depth=2))
    push(image, record(2, 11, -(2**63), 7, 1.5, math.inf))
    ring.drain(99)
    assert events == [
        GuestEvent(name(0), (-5,), 10, 0),
        GuestEvent(name(1), (), 10, 2),
        GuestEvent(name(2), (-(2**63), 7, 1.5, math.inf), 11, 0),
    ]
    assert image.get(cells.EVENT_TAIL_OFFSET) == ring.records_read == 3


@given(
    start=st.integers(0, 2**62),
    steps=st.lists(st.tuples(st.integers(0, 2 * CAPACITY), st.one_of(st.none(), st.integers(1, CAPACITY)))),
)
def test_wrap_and_drops_against_a_list(start: int, steps: list[tuple[int, int | None]]) -> None:
    """Each step writes some events and drains all or some of them; all that were not dropped come once, in order."""
    image, events = Image(LAYOUT), list[Event]()
    image.put(cells.EVENT_HEAD_OFFSET, start)
    image.put(cells.EVENT_TAIL_OFFSET, start)
    ring = ring_of(image, hub_of(), events.append)
    waiting: list[int] = []
    expected: list[int] = []
    number = dropped = 0
    for count, limit in steps:
        for _ in range(count):
            push(image, record(0, 0, number))
            if len(waiting) < CAPACITY:
                waiting.append(number)
            else:
                dropped += 1
            number += 1
        taken = len(waiting) if limit is None else min(limit, len(waiting))
        expected += waiting[:taken]
        del waiting[:taken]
        assert ring.drain(0, limit) == bool(waiting)
    assert [each.arguments[0] for each in events if isinstance(each, GuestEvent)] == expected
    assert sum(each.count for each in events if isinstance(each, Dropped)) == dropped == ring.dropped


@pytest.mark.parametrize("head", [2**64 - 1, CAPACITY + 1])
def test_a_head_that_makes_no_sense_is_left_behind(head: int) -> None:
    image, events = Image(LAYOUT), list[Event]()
    ring = ring_of(image, hub_of(), events.append)
    image.put(cells.EVENT_HEAD_OFFSET, head)
    ring.drain(0)
    assert (events, image.get(cells.EVENT_TAIL_OFFSET)) == ([], head)


FLOATS = {2: event_struct("lifd")}
ROWS = [
    pytest.param(record(1, 3, depth=9), [(cells.stamp(3) | 1, 9, 77, 77, 77, 77)], 0, id="none"),
    pytest.param(record(2, 0, 1, 2, 0.5, -0.0), [(2, 0, 1, 2, 0.5, -0.0)], 0, id="floats"),
    pytest.param(record(3, 0), [], 1, id="no-event"),
    pytest.param(b"\xff" * cells.EVENT_BYTES, [], 1, id="ones"),
    pytest.param(record(3, 0) + record(0, 0, 4), [(0, 0, 4, 77, 77, 77)], 1, id="around"),
]


@pytest.mark.parametrize(("data", "rows", "malformed"), ROWS)
def test_rows(data: bytes, rows: list[object], malformed: int) -> None:
    assert decode_events(data, {0, 1, 2}, FLOATS) == (rows, malformed)


@given(st.lists(st.binary(min_size=cells.EVENT_BYTES, max_size=cells.EVENT_BYTES), max_size=20))
def test_any_bytes_are_events_or_malformed(records: list[bytes]) -> None:
    rows, malformed = decode_events(b"".join(records), {0, 1, 2}, FLOATS)
    assert len(rows) + malformed == len(records)


# Sinks


def test_what_a_sink_cannot_take_is_told_as_dropped() -> None:
    image, events = Image(LAYOUT), list[Event]()
    ring = ring_of(image, hub_of(lambda block: len(block.rows) - 1), events.append)
    for _ in range(3):
        push(image, record(1, 0))
    ring.drain(50)
    ring.drain(60)
    assert events[3:] == [Dropped(2, 50, guest_events=True)]
    assert ring.dropped == 2


def test_a_sink_that_raises_is_dropped_and_the_others_go_on() -> None:
    def bad(block: EventBlock) -> int:
        raise ValueError("full")

    image, counts = Image(LAYOUT), Counts()
    hub = hub_of(bad, counts)
    ring = ring_of(image, hub)
    for _ in range(2):
        push(image, record(1, 0))
        ring.drain(0)
    assert (counts, hub.lost, hub.sink_errors) == ([1, 1], 1, ["ValueError: full"])


# Streams


def numbers(events: Sequence[GuestEvent]) -> list[int | float]:
    return [each.arguments[0] for each in events]


def test_a_stream_gets_what_its_glob_names() -> None:
    hub = hub_of()
    with hub.subscribe("f[02]") as some, hub.subscribe("*") as all_of_them:
        hub.deliver(record(0, 1, 5) + record(1, 1) + record(2, 1, 6, 0, 0.0, 0.0))
        hub.end()
        assert [each.function.index for each in some] == [0, 2]
        assert [each.function.index for each in all_of_them] == [0, 1, 2]


def test_the_first_stream_begins_with_what_has_happened_and_the_second_does_not() -> None:
    hub = hub_of()
    hub.deliver(record(0, 1, 1))
    first, second = hub.subscribe("*"), hub.subscribe("*")
    hub.deliver(record(0, 1, 2))
    hub.end()
    assert (numbers(list(first)), numbers(list(second))) == ([1, 2], [2])


def test_what_is_kept_for_the_first_stream_has_an_end() -> None:
    hub = hub_of()
    for _ in range(STREAM_LIMIT // BLOCK_RECORDS + 1):
        hub.deliver(record(0, 0, 1) * BLOCK_RECORDS)
    hub.end()
    stream = hub.subscribe("*")
    assert sum(1 for _ in stream) == STREAM_LIMIT
    assert stream.dropped == BLOCK_RECORDS


def test_a_slow_consumer_misses_events_and_knows_how_many() -> None:
    hub = hub_of()
    stream = hub.subscribe("*", 3)
    hub.deliver(b"".join(record(0, 0, number) for number in range(5)))
    hub.deliver(record(0, 0, 5))
    assert numbers([next(stream)]) == [0]
    hub.deliver(record(0, 0, 6))
    hub.end()
    assert numbers(list(stream)) == [1, 2, 6]
    assert stream.dropped == 3


def test_with_lossless_no_stream_drops_and_the_ring_is_left_alone() -> None:
    image, hub = Image(LAYOUT), hub_of(lossless=True)
    ring = ring_of(image, hub)
    ring.may_wait(True)
    stream = hub.subscribe("*", 1)
    hub.deliver(record(0, 0, 1) * STREAM_LIMIT)
    push(image, record(0, 0, 2))
    ring.drain(0)
    assert (hub.held_up, stream.dropped, image.get(cells.EVENT_TAIL_OFFSET)) == (True, 0, 0)
    next(stream)
    ring.drain(0)
    assert (hub.held_up, image.get(cells.EVENT_TAIL_OFFSET)) == (False, 1)


def test_a_stream_that_nobody_holds_holds_nobody_up() -> None:
    hub = hub_of(lossless=True)
    stream = hub.subscribe("*")
    hub.deliver(record(0, 0, 1) * STREAM_LIMIT)
    assert hub.held_up
    del stream
    gc.collect()
    assert not hub.held_up


def test_a_closed_stream_ends_a_consumer_that_waits() -> None:
    hub = hub_of()
    stream, found = hub.subscribe("*"), list[GuestEvent]()
    consumer = threading.Thread(target=lambda: found.extend(stream))
    consumer.start()
    stream.close()
    consumer.join(DEADLINE_SECONDS)
    assert (consumer.is_alive(), found) == (False, [])


@pytest.mark.parametrize(("glob", "limit"), [("nothing", 1), ("", 1), ("f3", 1), ("*", 0)])
def test_streams_that_make_no_sense(glob: str, limit: int) -> None:
    with pytest.raises(UsageError):
        hub_of().subscribe(glob, limit)


# Whether the guest may wait


@pytest.mark.parametrize("lossless", [False, True])
def test_the_guest_waits_only_while_somebody_drains(lossless: bool) -> None:
    image = Image(LAYOUT)
    ring = ring_of(image, hub_of(lossless=lossless))
    reader = Reader(interval_seconds=0.001)
    asked = [image.get(cells.EVENT_WAIT_OFFSET)]
    acts: tuple[Callable[[], None], ...] = (
        lambda: reader.attach(ring, lambda: 0),
        lambda: reader.detach(ring),
        lambda: reader.attach(ring, lambda: 0),
        reader.close,
        lambda: reader.attach(ring, lambda: 0),
    )
    for act in acts:
        act()
        asked.append(image.get(cells.EVENT_WAIT_OFFSET))
    assert asked == [0, lossless, 0, lossless, 0, 0]


# Runs

COUNTING = b"""(module (func $foo (param i32))
  (func $_count (param $n i32)
    (loop (call $foo (local.get $n)) (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1))))))
  (func (export "_start") (call $_count (i32.const 100000)))
  (func (export "forever") (loop (call $foo (i32.const 1)) (br 0)))
  (func (export "trap") (call $_count (i32.const 5)) unreachable))"""
ENDINGS = {
    "trap": "unreachable",
    "exit": "(call $proc_exit (i32.const 3))",
    "host-error": "(call $fail)",
    "return": "",
}


def config(**settings: object) -> RuntimeConfig:
    return RuntimeConfig(engine_cache=False, fuel=False, events=("foo",), **settings)  # type: ignore[arg-type]


@pytest.mark.parametrize("level", Level, ids=lambda level: level.value)
def test_a_live_stream_of_a_run(level: Level) -> None:
    with Runtime(config(level=level, lossless=True, event_capacity=64)) as runtime:
        program = runtime.load(COUNTING)
        with runtime.start(program) as run:
            found = numbers(list(run.events("foo")))
            run.wait()
            assert found == list(range(100000, 0, -1))
            assert run.snapshot().dropped == 0
            assert {each.name: each.calls for each in run.snapshot().functions}["foo"] == 100000


def test_what_is_dropped_and_what_is_not_make_all() -> None:
    events: list[Event] = []
    with Runtime(config(event_capacity=64, sinks=(events.append,))) as runtime:
        result = runtime.run(runtime.load(COUNTING))
    told = sum(each.count for each in events if isinstance(each, Dropped) and each.guest_events)
    found = numbers([each for each in events if isinstance(each, GuestEvent)])
    assert found == sorted(found, reverse=True)
    assert told == result.snapshot.dropped == 100000 - len(found)


@pytest.mark.parametrize("ending", ENDINGS)
def test_events_from_before_the_end_are_there(ending: str) -> None:
    wat = f"""(module (import "wasi_snapshot_preview1" "proc_exit" (func $proc_exit (param i32)))
      (import "h" "fail" (func $fail)) (func $foo (param i32)) (memory (export "memory") 1)
      (func (export "_start") (call $foo (i32.const 1)) (call $foo (i32.const 2)) {ENDINGS[ending]}))"""

    def fail() -> None:
        raise ValueError("no")

    from wasmtrace import Sandbox

    with Runtime(config()) as runtime:
        program = runtime.load(wat.encode())
        with runtime.start(program, Sandbox(imports={("h", "fail"): fail})) as run:
            assert numbers(list(run.events())) == [1, 2]


def test_a_start_function_does_not_wait_and_its_events_are_there() -> None:
    wat = b"""(module (func $foo (param i32)) (start $s)
      (func $s (call $foo (i32.const 1)) (call $foo (i32.const 2)) (call $foo (i32.const 3))))"""
    with (
        Runtime(config(event_capacity=2, lossless=True)) as runtime,
        runtime.instantiate(runtime.load(wat)) as instance,
    ):
        stream = instance.events()
        assert instance.snapshot().dropped == 1
        instance.end_events()
        assert numbers(list(stream)) == [1, 2]


def test_an_instance_that_is_called_again() -> None:
    with Runtime(config()) as runtime, runtime.instantiate(runtime.load(COUNTING)) as instance:
        with instance.events() as stream:
            for _ in range(2):
                with pytest.raises(GuestError):
                    instance.call("trap")
            assert numbers([next(stream) for _ in range(10)]) == [5, 4, 3, 2, 1] * 2
        instance.close()
        with pytest.raises(GuestError):
            instance.events()


def test_kill_ends_a_guest_that_waits() -> None:
    with Runtime(config(event_capacity=64, lossless=True, interruptible=True)) as runtime:
        run = runtime.start(runtime.load(COUNTING), invoke="forever")
        stream = run.events()
        next(stream)
        run.kill()
        assert run.wait(DEADLINE_SECONDS)
        assert run.result().outcome is Outcome.INTERRUPTED
        assert all(each == 1 for each in numbers(list(stream)))
        run.close()


@pytest.mark.parametrize("how", ["abandon", "close-the-stream", "close-the-runtime"])
def test_a_guest_that_waits_goes_on_when_nobody_is_there(how: str) -> None:
    with Runtime(config(event_capacity=64, lossless=True, interruptible=True)) as runtime:
        run = runtime.start(runtime.load(COUNTING), invoke="forever")
        stream = run.events()
        deadline = time.monotonic() + DEADLINE_SECONDS
        while stream.waiting() < STREAM_LIMIT:
            assert time.monotonic() < deadline
            run.wait(0.001)
        calls = run.snapshot().functions[0].calls
        if how == "abandon":
            assert run.abandon(Outcome.TIMED_OUT, "late").outcome is Outcome.TIMED_OUT
        elif how == "close-the-stream":
            stream.close()
        else:
            runtime.close()
        while run.snapshot().functions[0].calls < calls + 10_000:
            assert time.monotonic() < deadline
            run.wait(0.001)
        run.close()


def test_the_cache_tells_events_apart(tmp_path: object) -> None:
    found = []
    for globs in (("foo",), (), ("_*",)):
        settings = RuntimeConfig(engine_cache=False, fuel=False, events=globs, cache_dir=tmp_path)  # type: ignore[arg-type]
        for _ in range(2):
            with Runtime(settings) as runtime:
                program = runtime.load(COUNTING)
                found.append((program.subject.instrument_cached, len(program.sites.events)))
    assert found == [(False, 1), (True, 1), (False, 0), (True, 0), (False, 2), (True, 2)]


@pytest.mark.parametrize("level", Level, ids=lambda level: level.value)
@pytest.mark.parametrize("program", [pytest.param(each, id=each.name) for each in every(SMALL)])
def test_programs_give_the_same_with_every_call_an_event(program: Program, level: Level) -> None:
    if program.missing:
        pytest.skip(program.missing)
    counts = Counts()
    plain = run_plain(program)
    result, snapshot = run_traced(program, level, events=("*",), event_sinks=(counts,))
    program.check(result)
    if program.name != "clocks":
        assert (result.stdout, result.stderr, result.exit_code, result.files) == (
            plain.stdout,
            plain.stderr,
            plain.exit_code,
            plain.files,
        )
    calls = sum(each.calls for each in snapshot.functions) + sum(each.calls for each in snapshot.host_calls)
    assert sum(counts) + snapshot.dropped == calls
