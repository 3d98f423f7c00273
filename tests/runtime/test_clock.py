from __future__ import annotations

import threading
from time import thread_time

import pytest

from wasmtrace.runtime.clock import IDLE_TICKS, TICK_SECONDS, Clock, Face, both_clocks

MS = 1_000_000


class FakeTime:
    """Time that moves when told to."""

    def __init__(self) -> None:
        self.now = 1000 * MS

    def __call__(self) -> int:
        return self.now


class FakeMemory:
    """Remembers the times shown, and says who is innermost."""

    def __init__(self, innermost: int = -1) -> None:
        self.shown: list[int] = []
        self.innermost = innermost

    def tick(self, time_us: int) -> int:
        self.shown.append(time_us)
        return self.innermost


def never(seconds: float) -> None:
    """The clock's own thread stays out of the way: the test ticks."""
    forever.wait(20)


forever = threading.Event()


@pytest.fixture
def time() -> FakeTime:
    return FakeTime()


@pytest.fixture
def clock(time: FakeTime) -> Clock:
    return Clock(time, never)


def test_the_time_is_there_when_attach_returns(clock: Clock, time: FakeTime) -> None:
    memory = FakeMemory()
    face = Face(memory, time.now)
    time.now += 7 * MS
    clock.attach(face)
    assert memory.shown == [7000]


def test_each_face_has_its_own_origin(clock: Clock, time: FakeTime) -> None:
    first, second = FakeMemory(), FakeMemory()
    clock.attach(Face(first, time.now))
    clock.attach(Face(second, time.now - 5 * MS))
    time.now += 2 * MS
    assert clock.tick() == 2
    assert (first.shown[-1], second.shown[-1]) == (2000, 7000)


def test_self_time_is_weighted_by_the_real_time_between_ticks(clock: Clock, time: FakeTime) -> None:
    memory = FakeMemory(innermost=3)
    face = Face(memory, time.now)
    clock.attach(face)
    for late_ms, innermost in ((1, 3), (40, 5), (2, 5), (1, -1)):
        memory.innermost = innermost
        time.now += late_ms * MS
        clock.tick()
    assert face.self_ns == {3: 1 * MS, 5: 42 * MS}
    assert clock.late_max_ns == 40 * MS
    assert clock.ticks == 4


def test_time_in_which_nothing_was_attached_is_nobodys(clock: Clock, time: FakeTime) -> None:
    face = Face(FakeMemory(innermost=1), time.now)
    clock.attach(face)
    clock.detach(face)
    time.now += 500 * MS
    assert clock.tick() == 0
    clock.attach(face)
    time.now += MS
    clock.tick()
    assert face.self_ns == {1: MS}
    assert clock.late_max_ns == MS


def test_a_detached_face_is_not_touched(clock: Clock, time: FakeTime) -> None:
    memory = FakeMemory()
    face = Face(memory, time.now)
    clock.attach(face)
    clock.detach(face)
    clock.detach(face)
    before = len(memory.shown)
    clock.tick()
    assert len(memory.shown) == before


def test_the_thread_naps_when_idle_and_wakes_for_a_face() -> None:
    time = FakeTime()
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        time.now += MS

    ticked = threading.Event()

    class Memory(FakeMemory):
        def tick(self, time_us: int) -> int:
            super().tick(time_us)
            if len(self.shown) > 5:
                ticked.set()
            return -1

    clock = Clock(time, sleep)
    first = Face(Memory(), time.now)
    clock.attach(first)
    assert ticked.wait(10)
    clock.detach(first)
    napping = threading.Event()
    for _ in range(1000):
        if clock.napping:
            break
        napping.wait(0.01)
    assert clock.napping
    rounds = len(slept)
    ticked.clear()
    second = Face(Memory(), time.now)
    clock.attach(second)
    assert ticked.wait(10)
    assert len(slept) > rounds >= IDLE_TICKS
    clock.close()
    assert not clock.alive


def test_close_twice_and_without_a_thread(time: FakeTime) -> None:
    clock = Clock(time)
    clock.close()
    clock.close()
    memory = FakeMemory()
    clock.attach(Face(memory, time.now))
    assert memory.shown == [0]


def test_time_after_the_guest_has_ended_is_nobodys(clock: Clock, time: FakeTime) -> None:
    face = Face(FakeMemory(innermost=2), time.now)
    clock.attach(face)
    time.now += MS
    clock.tick()
    face.stop()
    time.now += 50 * MS
    clock.tick()
    clock.detach(face)
    assert face.self_ns == {2: MS}


def test_a_face_attached_between_ticks_gets_its_own_part(clock: Clock, time: FakeTime) -> None:
    first, second = (Face(FakeMemory(innermost=1), time.now) for _ in range(2))
    clock.attach(first)
    time.now += 6 * MS
    clock.attach(second)
    time.now += 4 * MS
    clock.tick()
    assert (first.self_ns, second.self_ns) == ({1: 10 * MS}, {1: 4 * MS})


def test_both_clocks_are_read_together() -> None:
    """The first and the last try are interrupted, between the one clock and the other."""
    own = iter([100, 900, 1000, 1010, 2000, 2700])
    wall = iter([5_000, 6_000, 4_000])
    assert both_clocks(lambda: next(own), lambda: next(wall)) == (1000, 6_000)


@pytest.mark.parametrize("attached", [1, 40])
def test_after_much_work_for_many_the_thread_rests(attached: int) -> None:
    """The processor's time counts: a thread that was kept waiting has not worked."""
    time, ready, enough = FakeTime(), threading.Event(), threading.Event()
    slept: list[float] = []

    class Dear(FakeMemory):
        def tick(self, time_us: int) -> int:
            until = thread_time() + 0.005
            while len(slept) in (3, 4) and thread_time() < until:
                pass
            return -1

    def sleep(seconds: float) -> None:
        assert ready.wait(10)
        slept.append(seconds)
        time.now += MS
        if len(slept) > 6:
            enough.set()
            forever.wait(0.001)

    made = Clock(time, sleep)
    for _ in range(attached):
        made.attach(Face(Dear(), time.now))
    ready.set()
    assert enough.wait(10)
    made.close()
    if attached > 1:
        assert min(slept[3:5]) >= 3 * 0.005
    else:
        assert set(slept) == {TICK_SECONDS}
