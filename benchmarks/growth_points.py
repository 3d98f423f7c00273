"""One point of `bench_growth`: what one size costs, measured in a process of its own, as JSON on standard output.

All times are of the processor, of all threads together, unless they say otherwise.

python growth_points.py SERIES SIZE
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import wasmtime

from wasmtrace import Instance, Runtime, RuntimeConfig
from wasmtrace.exporters.prometheus import encode_snapshots
from wasmtrace.exporters.summary import render
from wasmtrace.instrument import instrument
from wasmtrace.records import Event
from wasmtrace.runtime.engine import Engine, from_text

Point = dict[str, float]
THREADS = {"clock": "wasmtrace-clock", "reader": "wasmtrace-reader", "watcher": "wasmtrace-anomalies"}
CONFIG = RuntimeConfig(fuel=False, engine_cache=False)
WATCH_SECONDS = 1.0
"""For how long the threads' processor time is looked at."""


def resident_mb() -> float:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 1e6


def timed_ms(work: Callable[[], object], times: int = 5) -> float:
    """The least of so many, in processor time of all threads: it does not depend on who else is at work."""
    taken = []
    for _ in range(times):
        began = time.process_time()
        work()
        taken.append((time.process_time() - began) * 1e3)
    return min(taken)


def cpu_seconds() -> dict[str, float]:
    """What each of the runtime's threads has used."""
    clocks = {each.name: each.ident for each in threading.enumerate() if each.ident is not None}
    return {
        short: time.clock_gettime(time.pthread_getcpuclockid(clocks[name])) if name in clocks else 0.0
        for short, name in THREADS.items()
    }


class Share:
    """Which share of a core each of the runtime's threads takes, from its making to `read`."""

    def __init__(self) -> None:
        self._before, self._began = cpu_seconds(), time.perf_counter()

    def read(self) -> Point:
        seconds = time.perf_counter() - self._began
        return {f"{name} %": (used - self._before[name]) / seconds * 100 for name, used in cpu_seconds().items()}


def telling(instance: Instance) -> Point:
    """What it costs to read, to scrape and to show an instance."""
    snapshot = instance.snapshot()
    return {
        "snapshot ms": timed_ms(instance.snapshot),
        "scrape ms": timed_ms(lambda: encode_snapshots((instance.snapshot(),))),
        "summary ms": timed_ms(lambda: render(snapshot, colour=False, width=100), 3),
    }


# Functions


def many_functions(count: int) -> bytes:
    """`all` calls each of `count` functions once; `often` does so again and again."""
    bodies = "\n".join(
        f"(func $worker_{n} (type $f) (param i32) (result i32) (local i32) (local.set 1 (i32.const {n}))"
        " (loop (local.set 0 (i32.xor (i32.mul (local.get 0) (i32.const 31)) (local.get 1)))"
        " (br_if 0 (local.tee 1 (i32.shr_u (local.get 1) (i32.const 3))))) (local.get 0))"
        for n in range(count)
    )
    names = " ".join(f"$worker_{n}" for n in range(count))
    return from_text(
        f"""(module (type $f (func (param i32) (result i32))) (table funcref (elem {names}))
        {bodies}
        (func (export "all") (local i32)
          (loop
            (drop (call_indirect (type $f) (local.get 0) (local.get 0)))
            (br_if 0 (i32.lt_u (local.tee 0 (i32.add (local.get 0) (i32.const 1))) (i32.const {count}))))))""".encode()
    )


def functions(count: int) -> Point:
    wasm = many_functions(count)
    engine = Engine(CONFIG.engine)
    instrument(many_functions(2), CONFIG.rewriting.options())  # so that all is imported
    began = time.process_time()
    rewritten = instrument(wasm, CONFIG.rewriting.options()).wasm
    rewrite_ms = (time.process_time() - began) * 1e3
    compile_ms = timed_ms(lambda: engine.compile(rewritten), 1)
    plain_ms = timed_ms(lambda: engine.compile(wasm), 1)
    with Runtime(CONFIG) as runtime:
        program = runtime.load(wasm)
        before_mb = resident_mb()
        with runtime.instantiate(program) as instance:
            instance.call("all")
            point = telling(instance)
            share, until = Share(), time.perf_counter() + WATCH_SECONDS
            while time.perf_counter() < until:
                instance.call("all")
            cost = instance.snapshot().cost
            return {
                "module MB": len(wasm) / 1e6,
                "rewrite ms": rewrite_ms,
                "compile ms": compile_ms,
                "plain compile ms": plain_ms,
                "instantiate ms": cost.instantiate_seconds * 1e3,
                **point,
                **share.read(),
                "telemetry MB": cost.telemetry_bytes / 1e6,
                "RSS of the instance MB": resident_mb() - before_mb,
                "RSS MB": resident_mb(),
            }


# Depth

DEEP = b"""(module
  (func $down (export "down") (param i32 i64) (result i32)
    (if (result i32) (i32.eqz (local.get 0))
      (then (loop (br_if 0 (i64.ne (local.tee 1 (i64.sub (local.get 1) (i64.const 1))) (i64.const 0)))) (i32.const 0))
      (else (i32.add (i32.const 1) (call $down (i32.sub (local.get 0) (i32.const 1)) (local.get 1))))))
  (func (export "often") (param $depth i32) (param $times i32)
    (loop (drop (call $down (local.get $depth) (i64.const 1)))
      (br_if 0 (local.tee $times (i32.sub (local.get $times) (i32.const 1)))))))"""
CALLS = 20_000_000
"""So many calls whatever the depth, so that only the depth differs."""
ENDLESS = 1 << 62
DEEPEST = 0
"""Stands for as deep as the stack allows."""


def deepest(runtime: Runtime) -> int:
    """How many calls fit the stack."""
    low, high = 1000, 10_000_000
    program = runtime.load(DEEP)
    while high - low > low // 50:
        middle = (low + high) // 2
        with runtime.start(program, invoke="down", invoke_args=(middle, 1)) as run:
            run.wait()
            fits = run.result().snapshot.trap is None
        low, high = (middle, high) if fits else (low, middle)
    return low


def depth(levels: int) -> Point:
    config = RuntimeConfig(fuel=False, engine_cache=False, interruptible=False)
    with Runtime(config) as runtime:
        levels = levels or deepest(runtime)
        times = max(1, CALLS // levels)
        program = runtime.load(DEEP)
        traced: list[float] = []
        plain: list[float] = []
        raw_config = wasmtime.Config()
        raw_config.max_wasm_stack = config.engine.engine_stack_bytes
        engine = wasmtime.Engine(raw_config)
        module = wasmtime.Module(engine, DEEP)
        for _ in range(3):
            with runtime.start(program, invoke="often", invoke_args=(levels, times)) as run:
                run.wait()
                result = run.result()
                assert result.snapshot.trap is None, result.snapshot.trap
                traced.append(result.snapshot.cpu_seconds)
            plain.append(plain_often(engine, module, levels, times))
        with runtime.start(program, invoke="down", invoke_args=(levels, ENDLESS)) as run:
            time.sleep(0.2)
            share = Share()
            frames = len(run.snapshot().open_calls)
            snapshot_ms = timed_ms(run.snapshot)
            time.sleep(WATCH_SECONDS)
            used = share.read()
        return {
            "depth": levels,
            "run time ratio": min(traced) / min(plain),
            "ns a call": min(traced) / (levels * times) * 1e9,
            "frames read": frames,
            "snapshot ms": snapshot_ms,
            **used,
            "RSS MB": resident_mb(),
        }


def plain_often(engine: wasmtime.Engine, module: wasmtime.Module, levels: int, times: int) -> float:
    """The same in plain wasmtime, in a thread with a stack as large: processor seconds."""
    taken: list[float] = []

    def work() -> None:
        store = wasmtime.Store(engine)
        often = wasmtime.Instance(store, module, []).exports(store)["often"]
        assert isinstance(often, wasmtime.Func)
        began = time.thread_time()
        often(store, levels, times)
        taken.append(time.thread_time() - began)

    before = threading.stack_size(16 << 20)
    thread = threading.Thread(target=work)
    thread.start()
    threading.stack_size(before)
    thread.join()
    return taken[0]


# Memory

GROWING = b"""(module (memory (export "memory") 0)
  (func (export "grow") (param $pages i32) (param $step i32) (local $at i32)
    (loop
      (if (i32.eq (memory.grow (local.get $step)) (i32.const -1)) (then unreachable))
      (br_if 0 (i32.lt_u (memory.size) (local.get $pages))))
    (loop
      (i32.store (i32.shl (local.get $at) (i32.const 16)) (i32.const 1))
      (br_if 0 (i32.lt_u (local.tee $at (i32.add (local.get $at) (i32.const 1))) (local.get $pages))))))"""


def memory(pages: int) -> Point:
    with Runtime(CONFIG) as runtime, runtime.instantiate(runtime.load(GROWING)) as instance:
        before_mb = resident_mb()
        share = Share()
        began = time.process_time()
        instance.call("grow", pages, 1)
        grown = time.process_time() - began
        assert instance.snapshot().memories[0].pages == pages
        time.sleep(WATCH_SECONDS / 2)
        return {
            "memory MB": pages * 65536 / 1e6,
            "grow calls": pages,
            "us a grow": grown / pages * 1e6,
            **telling(instance),
            **share.read(),
            "RSS of the pages touched MB": pages * 4096 / 1e6,
            "RSS of the instance MB": resident_mb() - before_mb,
        }


# Instances

SLEEPING = b"""(module
  (import "wasi_snapshot_preview1" "poll_oneoff" (func $poll (param i32 i32 i32 i32) (result i32)))
  (memory (export "memory") 1)
  (func $work (param i32) (result i32) (i32.mul (local.get 0) (i32.const 3)))
  (func (export "work") (param i32) (result i32) (call $work (local.get 0)))
  (func (export "sleep") (param $ms i32)
    (i32.store (i32.const 16) (i32.const 1))
    (i64.store (i32.const 24) (i64.mul (i64.extend_i32_u (local.get $ms)) (i64.const 1000000)))
    (drop (call $poll (i32.const 0) (i32.const 64) (i32.const 1) (i32.const 128)))))"""


def instances(count: int) -> Point:
    """`count` instances of one program: all idle first, then all in the middle of a call at once."""
    with Runtime(CONFIG) as runtime:
        program = runtime.load(SLEEPING)
        with runtime.instantiate(program) as first:
            first.call("work", 1)
        before_mb, began = resident_mb(), time.process_time()
        made = [runtime.instantiate(program) for _ in range(count)]
        for each in made:
            each.call("work", 1)
        made_ms = (time.process_time() - began) * 1e3
        each_kb = (resident_mb() - before_mb) * 1e3 / count
        snapshot_ms = timed_ms(lambda: [each.snapshot() for each in made], 3)
        scrape_ms = timed_ms(lambda: encode_snapshots(tuple(each.snapshot() for each in made)), 3)
        time.sleep(2.5)
        share = Share()
        time.sleep(WATCH_SECONDS)
        idle = share.read()
        busy = asleep_together(runtime, made)
        for each in made:
            each.close()
        return {
            "start ms each": made_ms / count,
            "RSS each KB": each_kb,
            "snapshot ms": snapshot_ms,
            "scrape ms": scrape_ms,
            "idle %": sum(idle.values()),
            **busy,
            "RSS MB": resident_mb(),
        }


def asleep_together(runtime: Runtime, made: list[Instance]) -> Point:
    """The threads' shares while every instance is in a call: asleep, for none of them to want a core."""
    sleep_ms = round(WATCH_SECONDS * 2000) + 4 * len(made)
    before = threading.stack_size(16 << 20)
    threads = [threading.Thread(target=each.call, args=("sleep", sleep_ms)) for each in made]
    for each in threads:
        each.start()
    threading.stack_size(before)
    while any(each.snapshot(0).host_calls == () for each in made):
        time.sleep(0.05)
    share, ticks = Share(), runtime._clock.ticks
    time.sleep(WATCH_SECONDS)
    used = share.read()
    used["ticks a second"] = (runtime._clock.ticks - ticks) / WATCH_SECONDS
    for each in threads:
        each.join()
    return used


# Run time

SAMPLES = (1, 10, 60, 600, 1800, 3600)
"""Seconds after which is looked; and at the end."""


def long_run(seconds: int) -> list[Point]:
    """One instance of 1,000 functions, all called ten times a second, and each call recorded: a look now and then."""
    wasm = many_functions(1000)
    times = sorted({each for each in (*SAMPLES, seconds) if each <= seconds})
    points = []
    told: deque[Event] = deque(maxlen=1)
    config = replace(CONFIG, sinks=(told.append,))
    with Runtime(config) as runtime, runtime.instantiate(runtime.load(wasm)) as instance:
        telling(instance)
        instance.session.set_slow_threshold(0)
        share, began, calls = Share(), time.perf_counter(), 0
        for until in times:
            while time.perf_counter() - began < until:
                instance.call("all")
                calls += 1
                time.sleep(0.1)
            used = share.read()
            snapshot = instance.snapshot()
            points.append(
                {
                    "seconds": until,
                    "calls of functions": calls * 1000,
                    "records read": snapshot.cost.records_read,
                    "dropped": snapshot.dropped,
                    **telling(instance),
                    **used,
                    "RSS MB": resident_mb(),
                }
            )
            share = Share()
    return points


SERIES: dict[str, Callable[[int], Point | list[Point]]] = {
    "functions": functions,
    "depth": depth,
    "memory": memory,
    "instances": instances,
    "run time": long_run,
}

if __name__ == "__main__":
    made = SERIES[sys.argv[1]](int(sys.argv[2]))
    print(json.dumps(made if isinstance(made, list) else [made]), flush=True)
    os._exit(0)  # a guest may still run
