"""How many events a second the guest records, and how many of them become JSON lines.

One row for each list of argument kinds. `recorded M/s`: calls into a ring with room for all, the calls' own time not
taken off. `full M/s`: calls while the ring is full, so that each is counted as dropped. `decoded` and `encoded`: the
host's two steps, alone, from records to bytes. `written K/s`: a whole run that loses none (`lossless`), guest and
host at once, into a file. `kept`: the share of the events that is in the file when the guest calls as fast as it can
for a second and does not wait. `call x`: what a call with an event costs, as a multiple of the same call without, at
level trace.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from subjects import Row, arguments, publish
from wasmtrace import Runtime, RuntimeConfig
from wasmtrace import layout as cells
from wasmtrace.exporters.events_file import EventsFile, encode_block
from wasmtrace.runtime.drain import event_struct
from wasmtrace.runtime.event_ring import BLOCK_RECORDS
from wasmtrace.runtime.event_streams import EventHub

KINDS = {"none": "", "i32": "i", "i32 x 4": "iiii", "i64 x 2": "ll", "f64 x 4": "dddd"}
TYPES = {"i": "i32", "l": "i64", "f": "f32", "d": "f64"}
RING = 1 << 20


def text_of(kinds: str) -> bytes:
    """`run(n)` calls `$foo` n times, with arguments that differ from call to call."""
    params = " ".join(TYPES[kind] for kind in kinds)
    values = {
        "i": "(local.get $n)",
        "l": "(i64.mul (i64.extend_i32_u (local.get $n)) (i64.const 1000000007))",
        "d": "(f64.div (f64.convert_i32_u (local.get $n)) (f64.const 7))",
    }
    given = " ".join(values[kind] for kind in kinds)
    return f"""(module
      (func $foo (param {params}))
      (func (export "run") (param $n i32)
        (loop (call $foo {given}) (br_if 0 (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))))""".encode()


def seconds_of_calls(config: RuntimeConfig, wasm: bytes, count: int, rounds: int) -> float:
    """The median time of `count` calls in the guest."""
    times = []
    with Runtime(config) as runtime, runtime.instantiate(runtime.load(wasm)) as instance:
        for _ in range(rounds + 1):
            before = instance.snapshot().wall_seconds
            instance.call("run", count)
            times.append(instance.snapshot().wall_seconds - before)
    return median(times[1:])


def host_steps(wasm: bytes, kinds: str, count: int) -> tuple[float, float]:
    """Decoded and encoded events a second, of records such as the guest writes."""
    with Runtime(RuntimeConfig(events=("foo",), fuel=False, engine_cache=False)) as runtime:
        program = runtime.load(wasm)
        hub = EventHub(program.sites, lambda: program.names, time.time_ns())
        pack = event_struct(kinds).pack
        numbers = ((number / 7 if kind == "d" else number for kind in kinds.ljust(4, "i")) for number in range(count))
        data = b"".join(pack(cells.stamp(place // 1000), 1, *values) for place, values in enumerate(numbers))
        size = BLOCK_RECORDS * cells.EVENT_BYTES
        start = time.perf_counter()
        blocks = [hub.decode(data[place : place + size]) for place in range(0, len(data), size)]
        decoded = time.perf_counter()
        for block in blocks:
            encode_block(block)
        encoded = time.perf_counter()
    return count / (decoded - start), count / (encoded - decoded)


def written(wasm: bytes, count: int, folder: Path, *, lossless: bool) -> tuple[float, float]:
    """Events a second into a file, from the first call to the last line; and the share that is there."""
    path = folder / "events.jsonl"
    with EventsFile(path) as file:
        config = RuntimeConfig(events=("foo",), lossless=lossless, event_sinks=(file,), fuel=False, engine_cache=False)
        with Runtime(config) as runtime, runtime.instantiate(runtime.load(wasm)) as instance:
            start = time.perf_counter()
            instance.call("run", count)
            seconds = time.perf_counter() - start
            dropped = instance.snapshot().dropped
    with path.open("rb") as lines:
        found = sum(1 for _ in lines)
    assert found + dropped == count
    return found / seconds, found / count


def measure(name: str, rounds: int, count: int) -> Row:
    wasm = text_of(KINDS[name])
    plain = RuntimeConfig(fuel=False, engine_cache=False)
    room = RuntimeConfig(fuel=False, engine_cache=False, events=("foo",), event_capacity=RING)
    full = RuntimeConfig(fuel=False, engine_cache=False, events=("foo",), event_capacity=1)
    few = min(count, RING)
    plain_seconds = seconds_of_calls(plain, wasm, few, rounds)
    room_seconds = seconds_of_calls(room, wasm, few, rounds)
    full_seconds = seconds_of_calls(full, wasm, few, rounds)
    decoded, encoded = host_steps(wasm, KINDS[name], few)
    with tempfile.TemporaryDirectory(prefix="wasmtrace-bench-") as folder:
        speed, _ = written(wasm, count, Path(folder), lossless=True)
        # As many calls as take the guest about a second when it need not wait.
        _, kept = written(wasm, max(count, min(round(few / full_seconds), 1 << 30)), Path(folder), lossless=False)
    return {
        "program": name,
        "recorded M/s": few / room_seconds / 1e6,
        "full M/s": few / full_seconds / 1e6,
        "decoded K/s": decoded / 1e3,
        "encoded K/s": encoded / 1e3,
        "written K/s": speed / 1e3,
        "kept %": kept * 100,
        "call x": room_seconds / plain_seconds,
    }


def main() -> None:
    parser = arguments("events recorded by the guest and written by the host, a second", rounds=7)
    options = parser.parse_args()
    rounds, count = (1, 1 << 14) if options.quick else (options.rounds, RING)
    rows = [measure(name, rounds, count) for name in KINDS if not options.only or name in options.only]
    least: Row = {f"least {key}": min(float(row[key]) for row in rows) for key in list(rows[0])[1:6]}
    publish("events", rows, least, options.json)


if __name__ == "__main__":
    main()
