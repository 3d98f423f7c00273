"""Many guests at once, and a clock that is kept from ticking: counts stay exact and apart, and nothing is left over."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from wasmtrace import Instance, Outcome, Program, Runtime, RuntimeConfig

WORK = b"""
(module
  (memory (export "memory") 1 3)
  (func $leaf)
  (func (export "work") (param $n i32)
    (loop $again
      (call $leaf)
      (local.set $n (i32.sub (local.get $n) (i32.const 1)))
      (br_if $again (local.get $n)))
    (drop (memory.grow (i32.const 1))))
  (func (export "busy") (param $n i64)
    (loop $again
      (local.set $n (i64.sub (local.get $n) (i64.const 1)))
      (br_if $again (i64.ne (local.get $n) (i64.const 0)))))
  (func (export "fail") (call $leaf) unreachable))
"""
GUESTS, THREADS = 1000, 64
DEADLINE_SECONDS = 60
HUNDRED_MILLISECONDS = 100_000_000


@pytest.fixture
def runtime() -> Iterator[Runtime]:
    with Runtime(RuntimeConfig(slow_threshold_us=0)) as runtime:
        yield runtime


def _calls(instance: Instance) -> dict[str, int]:
    return {each.name: each.calls for each in instance.snapshot().functions}


def _own() -> tuple[int, int]:
    """Descriptors, and mebibytes of address space."""
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    return len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGE_SIZE") >> 20


def _in_threads(count: int, work: list[int], do: object) -> None:
    assert callable(do)
    errors: list[BaseException] = []
    lock = threading.Lock()

    def run() -> None:
        while True:
            with lock:
                if not work or errors:
                    return
                number = work.pop()
            try:
                do(number)
            except BaseException as error:
                errors.append(error)

    threads = [threading.Thread(target=run) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(DEADLINE_SECONDS)
    assert not any(each.is_alive() for each in threads)
    if errors:
        raise errors[0]


def _one(runtime: Runtime, program: Program, number: int) -> None:
    with runtime.instantiate(program) as instance:
        instance.call("work", number + 1)
        for _ in range(number % 3):
            instance.call("work", 10)
        counts = _calls(instance)
        pages = instance.snapshot().memories[0].pages
    calls = 1 + number % 3
    assert counts == {"leaf": number + 1 + 10 * (calls - 1), "work": calls}
    assert pages == min(1 + calls, 3)
    assert _calls(instance) == counts


def test_a_thousand_guests_in_one_runtime(runtime: Runtime) -> None:
    """1,000 instances in 64 threads, each with a count of its own; then nothing of them is left."""
    program = runtime.load(WORK, "work")
    _in_threads(THREADS, list(range(THREADS)), lambda number: _one(runtime, program, number))
    descriptors, space = _own()
    _in_threads(THREADS, list(range(GUESTS)), lambda number: _one(runtime, program, number))
    after_descriptors, after_space = _own()
    assert after_descriptors <= descriptors + 2
    assert after_space < space + 20_000
    assert runtime.run(program, invoke="fail").outcome is Outcome.TRAPPED


def test_a_thousand_guests_open_at_once(runtime: Runtime) -> None:
    """All there at the same time, called in turns from many threads."""
    program = runtime.load(WORK, "work")
    before = _own()
    instances = [runtime.instantiate(program) for _ in range(GUESTS)]
    try:
        _in_threads(THREADS, list(range(GUESTS)), lambda number: instances[number].call("work", number + 1))
        for number, instance in enumerate(instances):
            assert _calls(instance) == {"leaf": number + 1, "work": 1}
    finally:
        for instance in instances:
            instance.close()
    assert _own()[0] <= before[0] + 2
    assert _own()[1] < before[1] + 20_000


@pytest.fixture
def slow_switching() -> Iterator[None]:
    """A Python thread that computes keeps the others waiting for so long."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.05)
    yield
    sys.setswitchinterval(before)


@pytest.mark.usefixtures("slow_switching")
def test_a_starved_clock_is_late_and_says_so() -> None:
    """Calls are counted exactly; a call is not made slow by a clock that stood still; the delay is reported."""
    stop = threading.Event()

    def hog() -> None:
        number = 0
        while not stop.is_set():
            number += 1

    with Runtime(RuntimeConfig(slow_threshold_us=10_000_000)) as runtime:
        program = runtime.load(WORK, "work")
        with runtime.instantiate(program) as instance:
            thread = threading.Thread(target=hog)
            thread.start()
            try:
                instance.call("work", 100_000)
                instance.call("busy", 3 * HUNDRED_MILLISECONDS)
            finally:
                stop.set()
                thread.join(DEADLINE_SECONDS)
            snapshot = instance.snapshot()
    assert {each.name: each.calls for each in snapshot.functions} == {"leaf": 100_000, "work": 1, "busy": 1}
    assert [each.slow_calls for each in snapshot.functions if each.slow_calls] == []
    assert snapshot.cost.clock_late_max_seconds > 0.01


def test_use_from_several_threads_while_it_ends(runtime: Runtime) -> None:
    """Snapshots, calls and closing at the same time: a late one is answered or refused, never a crash."""
    program = runtime.load(WORK, "work")
    for _ in range(20):
        instance = runtime.instantiate(program)
        stop = threading.Event()
        seen: list[int] = []
        errors: list[BaseException] = []

        def look(
            instance: Instance = instance,
            stop: threading.Event = stop,
            seen: list[int] = seen,
            errors: list[BaseException] = errors,
        ) -> None:
            try:
                while not stop.is_set():
                    seen.append(sum(_calls(instance).values()))
            except BaseException as error:
                errors.append(error)

        threads = [threading.Thread(target=look) for _ in range(3)]
        for thread in threads:
            thread.start()
        instance.call("work", 10_000)
        instance.close()
        instance.close()
        final = _calls(instance)
        stop.set()
        for thread in threads:
            thread.join(DEADLINE_SECONDS)
        assert errors == []
        assert final == {"leaf": 10_000, "work": 1}
        assert max(seen, default=0) <= 10_001
