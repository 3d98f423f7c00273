"""Sinks that raise, closing twice, asking after the end: refused in words, or answered with the last values."""

from __future__ import annotations

import threading

import pytest

from wasmtrace import GuestError, GuestStopped, Outcome, Runtime, RuntimeConfig, Sandbox
from wasmtrace.records import CallEnded, Event
from wasmtrace.runtime.anomaly.settings import AnomalySettings

MODULE = b"""
(module
  (import "host" "ask" (func $ask (result i32)))
  (func (export "work") (result i32) (call $ask))
  (func (export "fail") unreachable))
"""


def _sandbox(answer: object) -> Sandbox:
    def ask() -> int:
        if isinstance(answer, BaseException):
            raise answer
        return 7

    return Sandbox(imports={("host", "ask"): ask})


@pytest.mark.parametrize("error", [ValueError("broken"), MemoryError(), StopIteration(), RecursionError()])
def test_a_sink_that_raises_loses_nobody_elses_events(error: Exception) -> None:
    """It is not asked again; the guest and the other sinks do not notice."""
    asked: list[Event] = []
    kept: list[Event] = []

    def broken(event: Event) -> None:
        asked.append(event)
        raise error

    config = RuntimeConfig(slow_threshold_us=0, sinks=(broken, kept.append))
    with Runtime(config) as runtime, runtime.instantiate(runtime.load(MODULE, "m"), _sandbox(7)) as instance:
        for _ in range(10):
            assert instance.call("work") == 7
        assert {each.name: each.calls for each in instance.snapshot().functions} == {"work": 10}
    assert len(asked) == 1
    assert sum(isinstance(each, CallEnded) for each in kept) == 10


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt(), SystemExit(3), MemoryError()])
def test_a_host_function_that_raises_reaches_its_caller(error: BaseException) -> None:
    with Runtime() as runtime, runtime.instantiate(runtime.load(MODULE, "m"), _sandbox(error)) as instance:
        for _ in range(2):
            with pytest.raises(type(error)) as caught:
                instance.call("work")
            assert caught.value is error
        assert instance.snapshot().outcome is Outcome.FAILED


def test_closing_twice_and_asking_afterwards() -> None:
    runtime = Runtime()
    program = runtime.load(MODULE, "m")
    instance = runtime.instantiate(program, _sandbox(7))
    instance.call("work")
    with pytest.raises(GuestStopped):
        instance.call("fail")
    before = instance.snapshot()
    for _ in range(3):
        instance.close()
    after = instance.snapshot()
    assert after.functions == before.functions
    assert (after.outcome, after.trap) == (before.outcome, before.trap)
    for use in (lambda: instance.call("work"), lambda: instance.read_memory(0, 1), instance.kill):
        with pytest.raises(GuestError, match="closed"):
            use()
    for _ in range(3):
        runtime.close()
    assert instance.snapshot().functions == before.functions


def test_a_runtime_that_is_closed_counts_on() -> None:
    """Without its threads nothing is timed, but what is counted is right."""
    runtime = Runtime(RuntimeConfig(slow_threshold_us=0))
    instance = runtime.instantiate(runtime.load(MODULE, "m"), _sandbox(7))
    runtime.close()
    assert instance.call("work") == 7
    assert [each.calls for each in instance.snapshot().functions] == [1]
    instance.close()


def test_a_run_that_is_closed_while_it_runs() -> None:
    module = b'(module (func (export "_start") (loop (br 0))))'
    with Runtime(RuntimeConfig(interruptible=True)) as runtime:
        run = runtime.start(runtime.load(module, "forever"))
        with pytest.raises(GuestError, match="still running"):
            run.result()
        while not run.snapshot().functions:
            assert not run.wait(0.01)
        run.close()
        run.close()
        assert run.result().outcome is Outcome.INTERRUPTED
        assert [each.calls for each in run.snapshot().functions] == [1]


@pytest.mark.parametrize("name", ["wasmtrace-clock", "wasmtrace-reader", "wasmtrace-anomalies"])
def test_a_thread_that_cannot_be_had_fails_the_call_and_not_the_next(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = threading.Thread.start
    refused: list[str] = []

    def refuse_once(thread: threading.Thread) -> None:
        if thread.name == name and not refused:
            refused.append(name)
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", refuse_once)
    config = RuntimeConfig(anomalies=AnomalySettings())
    with Runtime(config) as runtime, runtime.instantiate(runtime.load(MODULE, "m"), _sandbox(7)) as instance:
        with pytest.raises(RuntimeError, match="start new thread"):
            instance.call("work")
        assert instance.snapshot().outcome is Outcome.FAILED
        assert instance.call("work") == 7
        snapshot = instance.snapshot()
        assert (refused, snapshot.outcome) == ([name], Outcome.RETURNED)
        assert {each.name: each.calls for each in snapshot.functions} == {"work": 1}
