"""The rules for anomalies, fed with hand-made readings: no clock, no engine."""

from __future__ import annotations

import itertools
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from telemetry_image import Names
from wasmtrace import layout as cells
from wasmtrace.errors import UsageError
from wasmtrace.layout import GrowSite, Layout
from wasmtrace.records import Anomaly, AnomalyKind, FunctionName
from wasmtrace.runtime.anomaly.detector import Detector
from wasmtrace.runtime.anomaly.ledger import MOST_ENDED
from wasmtrace.runtime.anomaly.reading import TICK_US, Reading
from wasmtrace.runtime.anomaly.scan import CounterScan
from wasmtrace.runtime.anomaly.settings import AnomalySettings, WatchedFunctions
from wasmtrace.runtime.anomaly.watch import AnomalyWatch, Watcher
from wasmtrace.runtime.wasi_errno import ERRNO_NAMES
from wasmtrace.sites import GuestMemory, HostFunction, SiteTable

WASI = "wasi_snapshot_preview1"
HOSTS = ("path_open", "fd_write", "clock_time_get", "poll_oneoff", "fd_seek")
OPEN, WRITE, CLOCK, POLL, SEEK = range(5)
MAIN, LOOP, WORK, LEAF, ALLOC = range(5, 10)
COUNT = 10
LAYOUT = Layout(COUNT, 1, 1, len(HOSTS), 4, 1024)
SITES = SiteTable(
    "trace",
    LAYOUT,
    cells.EXPORT_NAME,
    tuple(HostFunction(WASI, name, at) for at, name in enumerate(HOSTS)),
    (GuestMemory(False, 16, None, 65536),),
    (GrowSite(ALLOC, 0),),
    4,
    (),
)
NOENT = ERRNO_NAMES.index("noent")


def frame(funcidx: int, at_us: int = 0) -> int:
    return cells.stamp(at_us) | funcidx


@dataclass
class Guest:
    """A made-up guest: what happens a second, and its stack at each reading."""

    now_us: int = 0
    calls: list[float] = None  # type: ignore[assignment]
    errors: list[float] = None  # type: ignore[assignment]
    self_ns: dict[int, int] = None  # type: ignore[assignment]
    pages: float = 16.0
    exports: dict[int, float] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        self.calls, self.errors, self.self_ns, self.exports = [0.0] * COUNT, [0.0] * len(HOSTS), {}, {}

    def step(
        self,
        rates: dict[int, float],
        *,
        errors: dict[int, float] | None = None,
        busy: dict[int, float] | None = None,
        frames: tuple[int, ...] = (),
        grows: float = 0.0,
        exports: dict[int, float] | None = None,
        running: bool = True,
        us: int = TICK_US,
    ) -> Reading:
        seconds = us / 1e6
        self.now_us += us
        for index, rate in rates.items():
            self.calls[index] += rate * seconds
        for index, rate in (errors or {}).items():
            self.errors[index] += rate * seconds
        for index, share in (busy or {}).items():
            self.self_ns[index] = self.self_ns.get(index, 0) + round(share * us * 1000)
        for index, rate in (exports or {}).items():
            self.exports[index] = self.exports.get(index, 0.0) + rate * seconds
        self.pages += grows * seconds
        errnos = [0] * (cells.ERRNO_COUNT * len(HOSTS))
        for at, count in enumerate(self.errors):
            errnos[at * cells.ERRNO_COUNT + NOENT] = round(count)
        return Reading(
            self.now_us,
            struct.pack(f"<{COUNT}Q", *map(round, self.calls)),
            struct.pack(f"<{len(errnos)}Q", *errnos),
            [(round(self.pages) - 16, 0)],
            [(round(self.pages), 1 << 63)],
            frames,
            running,
            dict(self.self_ns),
            {index: round(count) for index, count in self.exports.items()},
        )


def detector(**settings: object) -> Detector:
    return Detector(AnomalySettings(**settings), SITES, Names)  # type: ignore[arg-type]


def watch(*globs: str, **rates: float) -> tuple[WatchedFunctions, ...]:
    return (*map(WatchedFunctions, globs), *(WatchedFunctions(glob, rate) for glob, rate in rates.items()))


IN_LOOP = (frame(MAIN), frame(LOOP))
Changes = list[tuple[float, Anomaly]]


def run(guest: Guest, found: Detector, seconds: float, **step: object) -> Changes:
    """What began or ended, and when."""
    changes: Changes = []
    for _ in range(round(seconds * 1e6) // TICK_US):
        reading = guest.step(**{"rates": {}, **step})  # type: ignore[arg-type]
        changes += [(guest.now_us / 1e6, each) for each in found.observe(reading)]
    return changes


# One bad thing for three seconds: exactly one anomaly, within 1.5 s, of this function.
BAD: dict[str, tuple[dict[str, object], dict[str, object], AnomalyKind, int]] = {
    "failing open": (
        {},
        {"rates": {OPEN: 50_000}, "errors": {OPEN: 50_000}, "frames": (*IN_LOOP, frame(OPEN, 1))},
        AnomalyKind.NO_PROGRESS,
        LOOP,
    ),
    "failing open that is logged": (
        {},
        {"rates": {OPEN: 9_000, WRITE: 9_000}, "errors": {OPEN: 9_000}, "frames": IN_LOOP},
        AnomalyKind.NO_PROGRESS,
        LOOP,
    ),
    "failing open without frames": (
        {},
        {"rates": {OPEN: 5_000}, "errors": {OPEN: 5_000}},
        AnomalyKind.NO_PROGRESS,
        OPEN,
    ),
    "seek that fails alone": (
        {},
        {"rates": {SEEK: 5_000}, "errors": {SEEK: 5_000}, "frames": IN_LOOP},
        AnomalyKind.NO_PROGRESS,
        LOOP,
    ),
    "busy-wait on the clock": (
        {},
        {"rates": {CLOCK: 5e6, LEAF: 5e6}, "busy": {CLOCK: 0.8}, "frames": IN_LOOP},
        AnomalyKind.NO_PROGRESS,
        LOOP,
    ),
    "poll without a timeout": (
        {},
        {"rates": {POLL: 300_000, CLOCK: 300_000}, "busy": {CLOCK: 0.5}, "frames": IN_LOOP},
        AnomalyKind.NO_PROGRESS,
        LOOP,
    ),
    "watched by name": ({"watch": watch("f8")}, {"rates": {LEAF: 3_100}}, AnomalyKind.CALL_RATE, LEAF),
    "watched with a rate": ({"watch": watch(f8=50)}, {"rates": {LEAF: 60}}, AnomalyKind.CALL_RATE, LEAF),
    "watched import": ({"watch": watch("fd_write")}, {"rates": {WRITE: 4_000}}, AnomalyKind.CALL_RATE, WRITE),
    "import by both names": (
        {"watch": watch(f"{WASI}.fd_*")},
        {"rates": {WRITE: 4_000}},
        AnomalyKind.CALL_RATE,
        WRITE,
    ),
    "everything watched": (
        {"watch": watch("*")},
        {
            "rates": {WORK: 10_000, LEAF: 1e6, OPEN: 10_000},
            "errors": {OPEN: 10_000},
            "frames": (*IN_LOOP, frame(WORK, 1)),
        },
        AnomalyKind.CALL_RATE,
        WORK,
    ),
    "host calls an export": ({}, {"rates": {WORK: 9_000}, "exports": {WORK: 9_000}}, AnomalyKind.CALL_RATE, WORK),
    "given baseline": ({"baseline": {"f7": 500}}, {"rates": {WORK: 6_000}}, AnomalyKind.BASELINE, WORK),
}


@pytest.mark.parametrize(("settings", "step", "kind", "function"), BAD.values(), ids=BAD)
def test_bad_loop_is_one_anomaly(
    settings: dict[str, object], step: dict[str, object], kind: AnomalyKind, function: int
) -> None:
    guest, found = Guest(), detector(**settings)
    assert run(guest, found, 2, rates={MAIN: 1, LEAF: 10}) == []
    began_us = guest.now_us
    began, *more = run(guest, found, 3, **step)
    assert more == []
    assert (began[1].kind, began[1].function.index, began[1].ended_us) == (kind, function, None)
    assert began[1].started_us - began_us <= 1_500_000
    ended = run(guest, found, 3, rates={MAIN: 1})
    assert [each.number for _, each in ended] == [1]
    assert ended[0][1].ended_us is not None
    assert ended[0][1].ended_us - began_us <= 3_000_000 + 2_400_000
    assert found.anomalies() == (ended[0][1],)
    assert found.counts() == {(kind, f"f{function}"): 1}


# Ordinary things, for as long as they like: nothing.
GOOD: dict[str, tuple[dict[str, object], dict[str, object]]] = {
    "full speed": ({}, {"rates": {WORK: 1e7, LEAF: 1e8}}),
    "below the threshold": ({"watch": watch("*")}, {"rates": {LEAF: 2_900}}),
    "another is watched": ({"watch": watch("f7")}, {"rates": {LEAF: 1e6}}),
    "writes": ({}, {"rates": {WRITE: 1e6}}),
    "opens of which most fail": ({}, {"rates": {OPEN: 50_000}, "errors": {OPEN: 48_000}}),
    "seeks on a pipe with writes": ({}, {"rates": {SEEK: 1e5, WRITE: 1e5}, "errors": {SEEK: 1e5}}),
    "stamps its work": ({}, {"rates": {CLOCK: 3e5, LEAF: 1e7}, "busy": {CLOCK: 0.1}}),
    "polls for what is there": ({}, {"rates": {POLL: 20_000, WRITE: 20_000}}),
    "host calls an export at leisure": ({}, {"rates": {WORK: 100}, "exports": {WORK: 100}}),
    "as usual": ({"baseline": {"f7": 1_000}}, {"rates": {WORK: 9_000}}),
    "ten times little": ({"baseline": {"f7": 1}}, {"rates": {WORK: 100}}),
}


@pytest.mark.parametrize(("settings", "step"), GOOD.values(), ids=GOOD)
def test_good_program_is_none(settings: dict[str, object], step: dict[str, object]) -> None:
    assert run(Guest(), detector(**settings), 8, **step) == []


def test_burst_is_no_loop() -> None:
    guest, found = Guest(), detector()
    step = {"rates": {OPEN: 20_000}, "errors": {OPEN: 20_000}}
    for _ in range(5):
        assert run(guest, found, 0.5, **step) == []
        assert run(guest, found, 1.0) == []


def test_watched_counts_a_window_not_its_ticks() -> None:
    """1,600 calls at once, twice a second, are more than 3,000 calls in a second."""
    guest, found = Guest(), detector(watch=watch("f8"))
    changes: Changes = []
    for _ in range(6):
        changes += run(guest, found, 0.1, rates={LEAF: 16_000}) + run(guest, found, 0.4)
    assert [each.kind for _, each in changes] == [AnomalyKind.CALL_RATE]


def test_a_dip_does_not_end_it_and_the_peak_is_kept() -> None:
    guest, found = Guest(), detector(watch=watch("f8"))
    begun = (
        run(guest, found, 2, rates={LEAF: 9_000}) + run(guest, found, 0.6) + run(guest, found, 2, rates={LEAF: 5_000})
    )
    assert len(begun) == 1
    (going_on,) = found.anomalies()
    assert going_on.ended_us is None
    assert going_on.rate == pytest.approx(5_000, rel=0.01)
    assert going_on.peak_rate == pytest.approx(9_000, rel=0.01)
    ((_, ended),) = run(guest, found, 4)
    assert (ended.rate, ended.peak_rate) == (0.0, going_on.peak_rate)


def test_two_causes_are_two_anomalies() -> None:
    guest, found = Guest(), detector(watch=watch("f7", "f8"))
    run(guest, found, 5, rates={WORK: 9_000})
    run(guest, found, 5, rates={WORK: 9_000, LEAF: 9_000})
    assert [each.function.index for each in found.anomalies()] == [WORK, LEAF]


def test_evidence() -> None:
    guest, found = Guest(), detector()
    stack = (*IN_LOOP, frame(WORK, 1), frame(OPEN, 1))
    ((_, anomaly),) = run(guest, found, 1.5, rates={OPEN: 50_000}, errors={OPEN: 50_000}, frames=stack[:-1]) or run(
        guest, found, 0.1, rates={OPEN: 50_000}, errors={OPEN: 50_000}, frames=stack
    )
    assert anomaly.message == "f7 calls path_open 50,000 times a second, and each call fails with noent"
    assert [each.index for each in anomaly.also] == [OPEN]
    assert [each.function.index for each in anomaly.stack] == [MAIN, LOOP, WORK]


@pytest.mark.parametrize(
    ("last_rates", "kind"), [({WORK: 9_000.0}, AnomalyKind.BASELINE), ({WORK: 1_200.0}, None)], ids=["tenfold", "a bit"]
)
def test_learned_baseline(last_rates: dict[int, float], kind: AnomalyKind | None) -> None:
    guest, found = Guest(), detector(baseline_seconds=20)
    waiting = (frame(MAIN), frame(POLL, 0))
    assert run(guest, found, 25, rates={WORK: 900, POLL: 20}, frames=waiting) == []
    changes = run(guest, found, 3, rates=last_rates, frames=waiting)
    assert [each.kind for _, each in changes] == ([] if kind is None else [kind])


def test_full_speed_has_no_baseline() -> None:
    guest, found = Guest(), detector(baseline_seconds=5)
    assert run(guest, found, 6, rates={WORK: 1_000}, frames=IN_LOOP) == []
    assert run(guest, found, 5, rates={WORK: 1e6}, frames=IN_LOOP) == []


@pytest.mark.parametrize(
    ("open_us", "learned"), [(2_000, True), (500, False)], ids=["naps of 2 ms", "quick host calls"]
)
def test_an_app_that_naps_for_milliseconds_waits(open_us: int, learned: bool) -> None:
    guest, found = Guest(), detector(baseline_seconds=5)
    kinds = []
    for at in range(100):
        rates = {WORK: 900.0 if at < 70 else 50_000.0, POLL: 200.0}
        stack = (frame(MAIN), frame(POLL, guest.now_us + TICK_US - open_us))
        kinds += [each.kind for each in found.observe(guest.step(rates, frames=stack))]
    assert kinds == ([AnomalyKind.BASELINE] if learned else [])


def test_hang_names_the_innermost_call_and_ends() -> None:
    guest, found = Guest(), detector(hang_seconds=3)
    run(guest, found, 1, rates={LEAF: 10}, frames=IN_LOOP)
    ((at, anomaly),) = run(guest, found, 5, frames=IN_LOOP)
    assert (anomaly.kind, anomaly.function.index) == (AnomalyKind.HANG, LOOP)
    assert 3.9 <= at <= 4.3
    assert [each.function.index for each in anomaly.stack] == [MAIN, LOOP]
    assert len(run(guest, found, 2, rates={LEAF: 10}, frames=IN_LOOP)) == 1


IDLE: dict[str, dict[str, object]] = {
    "waits in a host call": {"frames": (*IN_LOOP, frame(POLL))},
    "nobody calls it": {"running": False},
    "counts a function without a frame": {"frames": IN_LOOP, "rates": {LEAF: 20}},
    "level calls, no processor": {"frames": ()},
}


@pytest.mark.parametrize("step", IDLE.values(), ids=IDLE)
def test_idle_is_no_hang(step: dict[str, object]) -> None:
    assert run(Guest(), detector(hang_seconds=2), 8, **step) == []


def _steady(second: int) -> float:
    return 10.0


def _slows_down(second: int) -> float:
    return 400.0 / (second + 1) ** 2


def _steps(second: int) -> float:
    return 300.0 if second % 9 == 0 else 0.0


GROWTH: dict[str, tuple[Callable[[int], float], int]] = {
    "steady": (_steady, 1),
    "plateau": (_slows_down, 0),
    "now and then": (_steps, 0),
    "so slowly that it takes days": (lambda second: 0.2, 0),
}


@pytest.mark.parametrize(("pace", "count"), GROWTH.values(), ids=GROWTH)
def test_growth(pace: Callable[[int], float], count: int) -> None:
    guest, found, changes = Guest(), detector(growth_window_seconds=24), list[Anomaly]()
    for second in range(60):
        changes += [each for _, each in run(guest, found, 1, grows=pace(second), rates={LEAF: 10}, frames=IN_LOOP)]
    assert len(changes) == count
    for each in changes:
        assert (each.kind, each.function.index) == (AnomalyKind.GROWTH, ALLOC)
        assert each.rate == pytest.approx(10, rel=0.05)
        assert "reaches its limit of 4,096 MiB in" in each.message


def test_kept_are_bounded_and_all_are_counted() -> None:
    guest, found = Guest(), detector(watch=watch(f8=100), loop_window_seconds=0.2)
    rounds = MOST_ENDED + 20
    for _ in range(rounds):
        run(guest, found, 0.6, rates={LEAF: 10_000})
        run(guest, found, 1.0)
    assert len(found.anomalies()) == MOST_ENDED
    assert found.counts() == {(AnomalyKind.CALL_RATE, "f8"): rounds}


def test_end_of_the_run_ends_what_goes_on() -> None:
    guest, found = Guest(), detector(watch=watch("f8"))
    run(guest, found, 2, rates={LEAF: 9_000})
    (ended,) = found.settle(guest.now_us + 5)
    assert ended.ended_us == guest.now_us + 5
    assert found.settle(guest.now_us + 9) == []


def test_spoiled_telemetry_harms_nobody() -> None:
    guest, found = Guest(), detector(watch=watch("*"), hang_seconds=0.5, growth_window_seconds=2, baseline_seconds=1)
    for at in range(60):
        reading = guest.step({LEAF: 10_000}, frames=(frame(MAIN), (1 << 64) - 1))
        spoiled = replace(
            reading, calls=b"\xff" * 8 * COUNT, errnos=b"\xff" * len(reading.errnos), pages=[(1 << 63, 0)]
        )
        found.observe(spoiled if at % 2 else reading)


@given(
    st.lists(st.tuples(st.integers(0, 1500), st.integers(0, 1 << 62), st.integers(1, 1 << 62)), max_size=30),
    st.integers(0, 1 << 62),
)
def test_scan_is_the_plain_comparison(rows: list[tuple[int, int, int]], start: int) -> None:
    before = [start] * 1501
    growth = {index: delta for index, delta, _ in rows}
    limits = {index: limit for index, _, limit in rows}
    after = [start + growth.get(index, 0) for index in range(1501)]
    scan = CounterScan(limits)
    assert scan.look(struct.pack("<1501Q", *before)) == []
    expected = sorted((each, growth[each]) for each in limits if growth[each] >= limits[each])
    assert sorted(scan.look(struct.pack("<1501Q", *after))) == expected
    assert scan.look(struct.pack("<1501Q", *after)) == []


BAD_SETTINGS: dict[str, dict[str, object]] = {
    "threshold": {"loop_threshold": 0},
    "no number": {"loop_threshold": float("nan")},
    "window": {"loop_window_seconds": 0.0},
    "hang": {"hang_seconds": -1},
    "growth": {"growth_window_seconds": 0},
    "glob": {"watch": (WatchedFunctions(""),)},
    "rate": {"watch": (WatchedFunctions("f", 0.0),)},
}


@pytest.mark.parametrize("settings", BAD_SETTINGS.values(), ids=BAD_SETTINGS)
def test_bad_settings(settings: dict[str, object]) -> None:
    with pytest.raises(UsageError):
        AnomalySettings(**settings)  # type: ignore[arg-type]


class Source:
    """Readings of a guest that calls one function wildly; breaks down when told."""

    def __init__(self) -> None:
        self.guest = Guest()
        self.broken = False

    def reading(self) -> Reading:
        if self.broken:
            raise RuntimeError("broken")
        return self.guest.step({LEAF: 9_000})


def _looked(callback: Callable[[Anomaly], None] | None) -> tuple[AnomalyWatch, Source, list[Anomaly]]:
    source, told = Source(), list[Anomaly]()
    made = AnomalyWatch(lambda: detector(watch=watch("f8")), source, told.append, callback)
    for _ in range(20):
        assert made.look()
    return made, source, told


def test_callback_that_raises_is_counted() -> None:
    def callback(anomaly: Anomaly) -> None:
        raise ValueError("no")

    made, source, told = _looked(callback)
    made.settle(source.guest.now_us)
    assert [each.ended_us is None for each in told] == [True, False]
    assert made.callback_errors == 2
    assert made.anomalies() == (told[-1],)
    assert not made.look()


def test_fault_of_ours_ends_the_watching_only() -> None:
    made, source, told = _looked(None)
    source.broken = True
    assert not made.look()
    assert made.error == "RuntimeError: broken"
    assert len(told) == 1


def test_long_names_are_cut_in_the_message() -> None:
    class LongNames:
        def __getitem__(self, funcidx: int) -> FunctionName:
            return FunctionName(funcidx, "n" * 10_000, "n")

    guest, found = Guest(), Detector(AnomalySettings(watch=watch("n")), SITES, LongNames)
    ((_, anomaly),) = run(guest, found, 2, rates={LEAF: 9_000})
    assert len(anomaly.message) < 400


def test_the_thread_rests_after_much_work() -> None:
    """Each look takes 20 ms of the processor's, as long as the interval: they are four intervals apart."""
    looked: list[float] = []
    enough = threading.Event()

    class Dear:
        attached = False

        def look(self) -> bool:
            looked.append(time.monotonic())
            until = time.thread_time() + 0.02
            while time.thread_time() < until:
                pass
            if len(looked) == 3:
                enough.set()
            return True

    watcher = Watcher(0.02)
    watcher.attach(cast(AnomalyWatch, Dear()))
    assert enough.wait(20)
    watcher.close()
    assert min(after - before for before, after in itertools.pairwise(looked)) >= 0.1
