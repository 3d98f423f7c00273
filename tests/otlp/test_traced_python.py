"""The trace of a real program: CPython sleeps, computes and opens files, and measures that with its own clocks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from command import wasmtrace
from programs import INPUTS, REAL
from receiver import Receiver, attributes, until
from test_traces import PROTOCOLS, is_error

PYTHON = next(each for each in REAL if each.name == "cpython")
TICK_US = 1000
ENOENT = 44
SLEEP_US = 60_000
ATTEMPTS = 4
LINKS = 38
"""The kernel follows 40, each of at most 4095 bytes."""

# What each piece of work is called in CPython: each is below the one before, the last is the innermost.
POLL = "__imported_wasi_snapshot_preview1_poll_oneoff"
OPEN = "__imported_wasi_snapshot_preview1_path_open"
OPENING = ("_io_open", "_io_FileIO___init__", "open", "__wasi_path_open", OPEN)
WORK = {
    "sleep": ("time_sleep", "clock_nanosleep", "__wasi_poll_oneoff", POLL),
    "compute": ("builtin_sum",),
    "found": OPENING,
    "missing": OPENING,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """What the script says of one piece of work."""

    began_us: float
    took_us: float
    came: str


def far_away(folder: Path, name: str, target: str) -> None:
    """A link to `target` in the same folder that takes the kernel milliseconds to follow: opening it is slow."""
    way = "d/../" * 800
    links = [name, *(f"{name}{number}" for number in range(1, LINKS))]
    for link, following in zip(links, [*links[1:], target], strict=True):
        (folder / link).symlink_to(way + following)


@pytest.fixture
def work(tmp_path: Path) -> Path:
    """The guest's folder."""
    if PYTHON.missing:
        pytest.skip(PYTHON.missing)
    folder = tmp_path / "work"
    (folder / "d").mkdir(parents=True)
    (folder / "there.txt").write_text("here")
    far_away(folder, "near", "there.txt")
    far_away(folder, "far", "nowhere.txt")
    (folder / "traced.py").write_bytes((INPUTS / "traced.py").read_bytes())
    return folder


def run_python(work: Path, protocol: str, collector: Receiver) -> dict[str, Measured]:
    # The engine's cache is in the user's own home, and the options are those of another test: compiled once.
    done = wasmtrace(
        Path.home(),
        "run",
        "--no-fuel",
        "--no-summary",
        "--otlp",
        *("--span-budget", "0"),
        *(word for each in PYTHON.shared() for word in ("--dir-ro", f"{each.host}::{each.guest}")),
        *("--dir-ro", f"{work}::/work"),
        *("--invoke", PYTHON.entry, "--unknown-imports", "trap", "--env", "PYTHONTZPATH="),
        PYTHON.path,
        "/work/traced.py",
        stdin=b"",
        XDG_CACHE_HOME=str(Path.home() / ".cache"),
        OTEL_BSP_EXPORT_TIMEOUT="30000",
        **collector.environment(protocol),
    )
    assert done.code == 0, done.err
    assert "lost" not in done.err
    rows = [line.split(" ", 3) for line in done.out.decode().splitlines() if line.count(" ") == 3]
    return {what: Measured(int(began) / 1000, int(took) / 1000, came) for what, began, took, came in rows}


def start_us(span: dict[str, Any]) -> float:
    return int(span["start_time_unix_nano"]) / 1000


def end_us(span: dict[str, Any]) -> float:
    return int(span["end_time_unix_nano"]) / 1000


def ancestors(span: dict[str, Any], by_id: dict[str, dict[str, Any]]) -> Iterator[dict[str, Any]]:
    """The span, its parent and so on, to the root."""
    at: dict[str, Any] | None = span
    while at is not None:
        yield at
        at = by_id.get(at.get("parent_span_id") or "")


@pytest.mark.large
@pytest.mark.parametrize("protocol", PROTOCOLS)
def test_python_is_seen_at_work(work: Path, collector: Receiver, protocol: str) -> None:
    for _ in range(ATTEMPTS):
        collector.clear()
        told = run_python(work, protocol, collector)
        spans = until(lambda: _complete(collector.spans()), waiting_for="the root")
        found = {what: _span_of(spans, names[-1], told[what]) for what, names in WORK.items()}
        # Opening takes some 4 ms. Where the clock is later than that, as it says below, it need not be recorded.
        if all(_shared_us(found[what], told[what]) > told[what].took_us / 2 for what in WORK):
            break
    assert {what: each.came for what, each in told.items()} == {
        "sleep": "None",
        "compute": str(sum(n * n % 7 for n in range(400_000))),
        "found": "here",
        "missing": str(ENOENT),
    }
    by_id = {each["span_id"]: each for each in spans}
    root = next(each for each in spans if each["name"] == "python.wasm")
    late_us = TICK_US + int(attributes(root)["wasm.clock.late_max_us"])
    for what, names in WORK.items():
        span, truth = found[what], told[what]
        assert not _missing_from(ancestors(span, by_id), [*reversed(names), "run", "python.wasm"]), what
        assert start_us(span) >= truth.began_us - late_us
        assert end_us(span) <= truth.began_us + truth.took_us + TICK_US
        assert end_us(span) - start_us(span) <= truth.took_us + late_us
    # Whoever sleeps cannot be too early: the truth has a lower bound, too.
    assert end_us(found["sleep"]) - start_us(found["sleep"]) >= SLEEP_US - late_us
    _check_tree(spans, by_id, root)
    failed = [each for each in spans if "wasm.host_call.errno" in attributes(each)]
    assert found["missing"] in failed
    assert found["found"] not in failed
    said = attributes(found["missing"])
    assert (int(said["wasm.host_call.errno"]), said["error.type"]) == (ENOENT, "noent")
    assert is_error(found["missing"])


def _complete(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """The spans, once the last has come."""
    return spans if any(each["name"] == "python.wasm" for each in spans) else []


def _span_of(spans: list[dict[str, Any]], name: str, told: Measured) -> dict[str, Any]:
    """The span of that name that has most of the time that was measured."""

    return max((each for each in spans if each["name"] == name), key=lambda each: _shared_us(each, told))


def _shared_us(span: dict[str, Any], told: Measured) -> float:
    return min(end_us(span), told.began_us + told.took_us) - max(start_us(span), told.began_us)


def _missing_from(found: Iterator[dict[str, Any]], names: list[str]) -> list[str]:
    """Those of the names that do not come in this order."""
    left = list(names)
    for each in found:
        if left and each["name"] == left[0]:
            del left[0]
    return left


def _check_tree(spans: list[dict[str, Any]], by_id: dict[str, dict[str, Any]], root: dict[str, Any]) -> None:
    """Every span is one of the run's, and lies within its parent, both by time and by depth."""
    assert len(by_id) == len(spans)
    for span in spans:
        if span is root:
            continue
        parent = by_id[span["parent_span_id"]]
        assert span["trace_id"] == root["trace_id"]
        assert start_us(parent) <= start_us(span) <= end_us(span) <= end_us(parent)
        depth = int(attributes(span)["wasm.call.depth"] or 0)
        above = -1 if parent is root else int(attributes(parent)["wasm.call.depth"] or 0)
        assert depth == above + 1 + int(attributes(span).get("wasm.call.elided_depth") or 0)
