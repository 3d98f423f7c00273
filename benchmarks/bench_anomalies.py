"""What it costs to look for anomalies: share of a core, ten readings a second, by number of functions.

Each reading is made and judged as in a run, with a tenth of the functions called in each tick, spread over the whole
module: the worst place for a scan by blocks. Measured: with nothing watched; while the usual rates are learned; with
every function having a usual rate; with `--watch '*'`, of which all called ones are above the threshold.
"""

from __future__ import annotations

import random
import struct
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

sys.path.insert(0, str(Path(__file__).parent))

from subjects import Row, arguments, publish
from wasmtrace.layout import EXPORT_NAME, Layout
from wasmtrace.records import FunctionName
from wasmtrace.runtime.anomaly.detector import Detector
from wasmtrace.runtime.anomaly.reading import TICK_US, Reading
from wasmtrace.runtime.anomaly.settings import AnomalySettings, WatchedFunctions
from wasmtrace.sites import GuestMemory, HostFunction, SiteTable

_HOSTS = 20
_ACTIVE_SHARE = 0.1
TARGET_SHARE = 0.01


class _Names:
    def __getitem__(self, funcidx: int) -> FunctionName:
        return FunctionName(funcidx, f"f{funcidx}", f"f{funcidx}")


def _sites(functions: int) -> SiteTable:
    hosts = tuple(HostFunction("wasi_snapshot_preview1", f"fd_{at}", at) for at in range(_HOSTS))
    layout = Layout(functions, 1, 0, _HOSTS, 1024, 1 << 19)
    return SiteTable("trace", layout, EXPORT_NAME, hosts, (GuestMemory(False, 1, None, 65536),), (), functions, ())


def _readings(functions: int, count: int, calls_a_second: int) -> list[Reading]:
    chosen = random.Random(7).sample(range(_HOSTS, functions), int(functions * _ACTIVE_SHARE))
    calls, found = [0] * functions, []
    for tick in range(count):
        for index in chosen:
            calls[index] += calls_a_second // 10 + tick % 3
        raw = struct.pack(f"<{functions}Q", *calls)
        # Waits in a host call, so that usual rates are learned.
        frames = [(5000 << 20) | _HOSTS, 0]
        errnos = bytes(8 * 78 * _HOSTS)
        found.append(Reading((tick + 1) * TICK_US, raw, errnos, (), [(1, 1 << 63)], frames))
    return found


_CASES: dict[str, tuple[Callable[[], AnomalySettings], int]] = {
    "default": (lambda: AnomalySettings(baseline_seconds=0), 1000),
    "learning": (lambda: AnomalySettings(baseline_seconds=1e6), 1000),
    "learned": (lambda: AnomalySettings(baseline_seconds=1), 1000),
    "watch all, calm": (lambda: AnomalySettings(watch=(WatchedFunctions("*"),), baseline_seconds=0), 1000),
    "watch all, wild": (lambda: AnomalySettings(watch=(WatchedFunctions("*"),), baseline_seconds=0), 100_000),
}


def measure(case: str, functions: int, ticks: int) -> Row:
    make, rate = _CASES[case]
    readings = _readings(functions, ticks + 15, rate)
    detector = Detector(make(), _sites(functions), _Names)
    seconds = []
    for number, reading in enumerate(readings):
        # What reading costs: the calls and the errnos are copied out of the telemetry memory.
        began = time.thread_time()
        copied = bytes(bytearray(reading.calls))
        detector.observe(Reading(reading.now_us, copied, reading.errnos, (), reading.pages, reading.frames))
        if number >= 15:
            seconds.append(time.thread_time() - began)
    return {
        "case": case,
        "functions": functions,
        "median ms a reading": median(seconds) * 1000,
        "mean ms a reading": sum(seconds) / len(seconds) * 1000,
        "worst ms": max(seconds) * 1000,
        "share of a core %": sum(seconds) / len(seconds) * 10 * 100,
        "anomalies": len(detector.anomalies()),
    }


def main() -> None:
    options = arguments("what looking for anomalies costs", rounds=100).parse_args()
    sizes = (5_000,) if options.quick else (1_000, 50_000, 200_000)
    rows = [measure(case, size, 20 if options.quick else options.rounds) for size in sizes for case in _CASES]
    at_50000 = [float(row["share of a core %"]) for row in rows if row["functions"] == sizes[min(1, len(sizes) - 1)]]
    publish(
        "looking for anomalies, ten times a second",
        rows,
        {"worst share of a core %, 50,000 functions": max(at_50000), "target %": TARGET_SHARE * 100},
        options.json,
    )


if __name__ == "__main__":
    main()
