"""What the summary says, as strings: headline, tables, notes. No section is empty, names are printable."""

from __future__ import annotations

import heapq
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from wasmtrace.exporters import units
from wasmtrace.exporters.text import printable, shorten
from wasmtrace.exporters.totals import startup_phases
from wasmtrace.records import FunctionStats, HostCallStats, OpenCall, Outcome, Snapshot, Uninstrumented

_CALLS_ROWS = 6
_BUSY_ROWS = 2
"""Of those called most, that the table of fuel has in any case."""
_TIME_ROWS = 8
_HOST_ROWS = 8
_GROW_ROWS = 5
_STACK_HEAD = 20
_STACK_TAIL = 5
_GAPS_SHOWN = 3
_ANOMALIES_SHOWN = 5
_CELL_LENGTH = 200
_LEAST_SECONDS_FOR_SHARE = 0.1
"""What the reader does once counts for much in a run of a moment."""
_NAME_LENGTH = 60
_ERRNO_LENGTH = 16
_MESSAGE_LENGTH = 300


class Tone(Enum):
    """What a line means to somebody who only looks at its colour."""

    PLAIN = auto()
    GOOD = auto()
    WARNING = auto()
    BAD = auto()


Line = tuple[str, Tone]
"""A line that begins with spaces belongs to the one above it."""


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    right: bool = True


@dataclass(frozen=True, slots=True)
class Section:
    """One table; the title is that of its first column, whose cells are names."""

    columns: tuple[Column, ...]
    rows: tuple[tuple[str, ...], ...]


def headline(snapshot: Snapshot) -> Iterator[Line]:
    """How it ended, why, and the few numbers that everybody asks for."""
    yield f"{_short(snapshot.module.name)}: {_outcome(snapshot)}", _tone(snapshot)
    for message in (snapshot.message, None if snapshot.trap is None else snapshot.trap.message):
        if message and message.strip():
            yield "  " + shorten(printable(message.strip()), _MESSAGE_LENGTH), Tone.PLAIN
    yield "  " + ", ".join(_numbers(snapshot)), Tone.PLAIN


def anomaly_lines(snapshot: Snapshot) -> Iterator[Line]:
    """What went wild, the first few: a sentence each, since when and for how long."""
    for each in snapshot.anomalies[:_ANOMALIES_SHOWN]:
        until_us = snapshot.now_us if each.ended_us is None else each.ended_us
        lasted = units.duration((until_us - each.started_us) / 1e6)
        when = f"after {units.duration(each.started_us / 1e6)}, for {lasted}"
        said = shorten(printable(each.message), _MESSAGE_LENGTH)
        yield f"  anomaly ({each.kind.value}): {said} ({when})", Tone.WARNING
    left_over = len(snapshot.anomalies) - _ANOMALIES_SHOWN
    if left_over > 0:
        yield f"  ... {left_over:,} more anomalies", Tone.WARNING


def _outcome(snapshot: Snapshot) -> str:
    match snapshot.outcome:
        case Outcome.EXITED:
            return "exited" if snapshot.exit_code is None else f"exit code {snapshot.exit_code}"
        case Outcome.TRAPPED if snapshot.trap is not None:
            return f"trapped: {_short(snapshot.trap.code)}{_where(snapshot)}"
        case _:
            return str(snapshot.outcome.value).replace("_", " ") + _culprit(snapshot)


def _where(snapshot: Snapshot) -> str:
    if snapshot.trap is None or not snapshot.trap.stack:
        return _culprit(snapshot)
    entry = snapshot.trap.stack[0]
    at = "" if entry.offset is None else f" at {entry.offset:#x}"
    return f" in {_short(entry.function.name)}{at}"


def _culprit(snapshot: Snapshot) -> str:
    if snapshot.outcome is Outcome.RETURNED or not snapshot.open_calls:
        return ""
    innermost = snapshot.open_calls[-1]
    return f" in {_short(innermost.function.name)}, open for {units.duration(innermost.open_seconds)}"


def _tone(snapshot: Snapshot) -> Tone:
    match snapshot.outcome:
        case Outcome.RETURNED:
            return Tone.GOOD
        case Outcome.EXITED:
            return Tone.GOOD if snapshot.exit_code in (0, None) else Tone.BAD
        case Outcome.RUNNING:
            return Tone.PLAIN
        case Outcome.TIMED_OUT | Outcome.INTERRUPTED:
            return Tone.WARNING
        case _:
            return Tone.BAD


def _numbers(snapshot: Snapshot) -> Iterator[str]:
    yield f"{units.duration(snapshot.wall_seconds)} wall"
    yield f"{units.duration(snapshot.cpu_seconds)} cpu"
    if calls := sum(each.calls for each in snapshot.functions):
        yield f"{units.count(calls)} calls"
    if snapshot.fuel is not None:
        yield f"{units.count(snapshot.fuel)} fuel{_fuel_limit(snapshot)}"
    elif snapshot.fuel_limit is not None:
        yield f"fuel limit {units.count(snapshot.fuel_limit)}"
    if snapshot.memories:
        peak = sum(each.peak_pages * each.page_bytes for each in snapshot.memories)
        yield f"peak memory {units.size(peak)}"
    if any(each.limit_pages is not None for each in snapshot.memories):
        limit = sum((each.limit_pages or 0) * each.page_bytes for each in snapshot.memories)
        yield f"memory limit {units.size(limit)}"


def _fuel_limit(snapshot: Snapshot) -> str:
    if snapshot.fuel is None or not snapshot.fuel_limit:
        return ""
    return f" ({units.share(snapshot.fuel, snapshot.fuel_limit)} of {units.count(snapshot.fuel_limit)})"


def tables(snapshot: Snapshot) -> Iterator[Section]:
    """The tables that have rows: the stack first, for when there is one it is what people look for."""
    sections = (
        stack_table(snapshot),
        _time(snapshot),
        _work(snapshot),
        _host_calls(snapshot),
        _growth(snapshot),
    )
    yield from (section for section in sections if section.rows)


def stack_table(snapshot: Snapshot) -> Section:
    """The trap's stack, or the calls that were open when the run ended in another way."""
    if snapshot.trap is not None and snapshot.trap.stack:
        frames = [
            (_name(entry.function.name), "" if entry.offset is None else f"{entry.offset:#x}")
            for entry in snapshot.trap.stack
        ]
        return _columns("trap stack, innermost first", ("offset",), _cut(frames))
    opened = [] if snapshot.outcome is Outcome.RETURNED else [_open_row(each) for each in snapshot.open_calls]
    return _columns("open calls, innermost first", ("open for",), _cut(opened[::-1]))


def _open_row(call: OpenCall) -> tuple[str, str]:
    return _name(call.function.name) + (" (host)" if call.host else ""), units.duration(call.open_seconds)


def _cut(frames: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """A deep stack without its middle."""
    rows = [(f"{at:>2} {name}", rest) for at, (name, rest) in enumerate(frames)]
    cut = len(rows) - _STACK_HEAD - _STACK_TAIL
    if cut <= 1:
        return rows
    return [*rows[:_STACK_HEAD], (f"   ... {cut:,} more", ""), *rows[-_STACK_TAIL:]]


def _time(snapshot: Snapshot) -> Section:
    """Guest and host functions in one table: reading a slow disk is an answer to where the time went."""
    everything: list[FunctionStats | HostCallStats] = [*snapshot.functions, *snapshot.host_calls]
    slow = [each for each in everything if each.self_seconds > 0 or each.slow_calls]
    slow.sort(key=lambda each: (-each.self_seconds, -each.slow_seconds, each.index))
    rows = [
        (
            _name(each.name) + (" (host)" if isinstance(each, HostCallStats) else ""),
            units.share(each.self_seconds, snapshot.wall_seconds),
            units.duration(each.self_seconds),
            *_slow_cells(each),
        )
        for each in slow
    ]
    titles = ("self %", "self time", "slow calls", "slow time", "slowest")
    return _columns("most time", titles, _top(rows, _TIME_ROWS))


def _slow_cells(each: FunctionStats | HostCallStats) -> tuple[str, str, str]:
    if not each.slow_calls:
        return "-", "-", "-"
    return (
        units.count(each.slow_calls),
        units.duration(each.slow_seconds),
        units.duration(each.slowest_seconds),
    )


def _work(snapshot: Snapshot) -> Section:
    """Who did the work: by fuel, which tells it to the instruction; by calls where nobody counts fuel."""
    counted = [(each, each.fuel) for each in snapshot.functions if each.fuel is not None]
    return _fuel(counted) if counted else _calls(snapshot)


def _fuel(functions: Sequence[tuple[FunctionStats, int]]) -> Section:
    """Those that used most, and those called most: a small function is easily called too often."""
    all_fuel, all_calls = sum(fuel for _, fuel in functions), sum(each.calls for each, _ in functions)
    dearest = sorted(functions, key=lambda item: (-item[1], item[0].index))
    busiest = heapq.nsmallest(_BUSY_ROWS, functions, key=lambda item: (-item[0].calls, item[0].index))
    shown = dearest[:_CALLS_ROWS] + sorted(set(busiest) - set(dearest[:_CALLS_ROWS]), key=dearest.index)
    rows = [
        (
            _name(each.name),
            units.share(fuel, all_fuel),
            units.count(fuel),
            units.average(fuel, each.calls),
            units.share(each.calls, all_calls),
            units.count(each.calls),
        )
        for each, fuel in shown
    ]
    if len(functions) > len(shown):
        rows.append((f"... {len(functions) - len(shown):,} more", "", "", "", "", ""))
    return _columns("most fuel", ("fuel %", "fuel", "fuel per call", "calls %", "calls"), rows)


def _calls(snapshot: Snapshot) -> Section:
    total = sum(each.calls for each in snapshot.functions)
    functions = sorted(snapshot.functions, key=lambda each: (-each.calls, each.index))
    rows = [(_name(each.name), units.share(each.calls, total), units.count(each.calls)) for each in functions]
    return _columns("most calls", ("calls %", "calls"), _top(rows, _CALLS_ROWS))


def _host_calls(snapshot: Snapshot) -> Section:
    """Those with errors come first, so that a cut never hides an error behind a busy import."""
    calls = sorted(snapshot.host_calls, key=lambda each: (not each.errors, -each.calls, each.index))
    rows = [(_name(each.name), units.count(each.calls), *_slow_cells(each), _errors(each)) for each in calls]
    columns = ("calls", "slow calls", "slow time", "slowest")
    section = _columns("host calls", (*columns, "errors"), _top(rows, _HOST_ROWS))
    return Section((*section.columns[:-1], Column("errors", right=False)), section.rows)


def _errors(call: HostCallStats) -> str:
    by_count = sorted(call.errors.items(), key=lambda item: (-item[1], item[0]))
    shown = [f"{units.count(count)} {shorten(printable(name), _ERRNO_LENGTH)}" for name, count in by_count[:3]]
    return ", ".join(shown + ["..."] * (len(by_count) > 3))


def _growth(snapshot: Snapshot) -> Section:
    grown = [each for each in snapshot.functions if each.grown_pages or each.failed_grows]
    grown.sort(key=lambda each: (-each.grown_pages, -each.failed_grows, each.index))
    rows = [(_name(each.name), units.count(each.grown_pages), units.count(each.failed_grows)) for each in grown]
    return _columns("memory growth", ("pages", "refused"), _top(rows, _GROW_ROWS))


def _top(rows: Sequence[tuple[str, ...]], most: int) -> list[tuple[str, ...]]:
    """The first rows, and a last one that says how many more there are."""
    if len(rows) <= most:
        return list(rows)
    left_over = len(rows) - most
    return [*rows[:most], (f"... {left_over:,} more", *[""] * (len(rows[0]) - 1))]


def _columns(title: str, others: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> Section:
    return Section((Column(title, right=False), *map(Column, others)), tuple(rows))


def notes(snapshot: Snapshot) -> Iterator[Line]:
    """What telemetry cost, what it lost, and what it could not see."""
    cost = snapshot.cost
    phases = ", ".join(
        f"{name} {units.duration(seconds)}" + (" cached" if name == "instrument" and cost.instrument_cached else "")
        for name, seconds in startup_phases(cost)
    )
    reader = f"{units.share(cost.reader_cpu_seconds, snapshot.wall_seconds) or '0%'} of a cpu"
    if snapshot.wall_seconds < _LEAST_SECONDS_FOR_SHARE:
        reader = units.duration(cost.reader_cpu_seconds)
    yield f"start {units.duration(cost.startup_seconds)}: {phases}", Tone.PLAIN
    parts = (
        f"telemetry ({snapshot.module.level.value}): reader {reader}",
        f"clock tick {units.duration(cost.clock_late_max_seconds)} at worst",
        units.size(cost.telemetry_bytes),
        f"slow from {units.duration(snapshot.slow_threshold_seconds)}",
        f"{snapshot.dropped:,} records dropped",
    )
    yield ", ".join(parts), Tone.WARNING if snapshot.dropped else Tone.PLAIN
    for each in snapshot.uninstrumented:
        if each.index is None:
            yield f"note: {shorten(printable(each.reason), _MESSAGE_LENGTH)}", Tone.PLAIN
    gaps = [each for each in snapshot.uninstrumented if each.index is not None]
    if gaps:
        yield _gaps(gaps), Tone.WARNING


def _gaps(gaps: Sequence[Uninstrumented]) -> str:
    shown = [f"{_short(each.name)} ({_short(each.reason)})" for each in gaps[:_GAPS_SHOWN]]
    if len(gaps) > _GAPS_SHOWN:
        shown.append(f"... {len(gaps) - _GAPS_SHOWN:,} more")
    return f"not instrumented, {len(gaps):,}: {', '.join(shown)}"


def _name(name: str) -> str:
    """For a table, whose first column is cut to fit when it is laid out."""
    return shorten(printable(name), _CELL_LENGTH)


def _short(name: str) -> str:
    """For a place in the middle of a line."""
    return shorten(printable(name), _NAME_LENGTH)
