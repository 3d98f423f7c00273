"""What `wasmtrace diff` says: the tables, as plain strings, and the same as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from wasmtrace.exporters import units
from wasmtrace.exporters.diff import Change, Comparison, Cost
from wasmtrace.exporters.past_run import PastRun
from wasmtrace.exporters.sections import Column, Line, Section, Tone
from wasmtrace.exporters.text import printable, shorten, valid_unicode

DEFAULT_TOP = 20
_NAME_LENGTH = 200
_SHA_LENGTH = 12
_FINE = ("returned", "exited")


def headline(comparison: Comparison) -> Iterator[Line]:
    """By how much, and of what."""
    before, after = comparison.total_before, comparison.total_after
    what, old, new = ("fuel", before.fuel, after.fuel) if comparison.has_fuel else ("calls", before.calls, after.calls)
    name = shorten(printable(comparison.after.module), _NAME_LENGTH)
    if old == new:
        yield f"{name}: {what} as before", Tone.PLAIN
    else:
        yield f"{name}: {_said(what, old, new)}", Tone.WARNING if new > old else Tone.GOOD
    yield f"  before: {_told(comparison.before)}", Tone.PLAIN
    same = ", the same module" if comparison.before.sha256 == comparison.after.sha256 else ""
    yield f"  after: {_told(comparison.after)}{same}", Tone.PLAIN


def _said(what: str, old: int, new: int) -> str:
    less = "less" if what == "fuel" else "fewer"
    growth = units.growth(old, new)
    if growth.startswith("x "):
        return f"{growth[2:]} times the {what}"
    return f"{growth[1:]} {'more' if new > old else less} {what}".lstrip()


def _told(run: PastRun) -> str:
    module = shorten(printable(run.module), _NAME_LENGTH)
    ended = run.outcome.replace("_", " ") + (f" {run.exit_code}" if run.exit_code else "")
    return printable(f"{run.source}, {module} ({run.sha256[:_SHA_LENGTH]}), {ended}")


def tables(comparison: Comparison, top: int) -> Iterator[Section]:
    """The totals, and the `top` greatest changes."""
    yield _totals(comparison)
    if comparison.changes:
        yield _functions(comparison, top)


def _totals(comparison: Comparison) -> Section:
    before, after = comparison.total_before, comparison.total_after
    amounts = [("fuel", before.fuel, after.fuel)] if comparison.has_fuel else []
    amounts += [("calls", before.calls, after.calls), ("functions called", before.functions, after.functions)]
    rows = tuple(
        (name, units.signed(new - old), units.growth(old, new), units.count(new), units.count(old))
        for name, old, new in amounts
    )
    return Section((Column("in all", right=False), *map(Column, ("change", "%", "now", "was"))), rows)


def _functions(comparison: Comparison, top: int) -> Section:
    row = _fuel_row if comparison.has_fuel else _calls_row
    rows = [(_name(each), *row(each)) for each in comparison.changes[:top]]
    left_over = len(comparison.changes) - len(rows)
    columns: tuple[str, ...] = ("change", "%", "calls", "was")
    title = "by change of calls"
    if comparison.has_fuel:
        columns = ("change", "%", "fuel", "per call", "was", "calls", "was")
        title = "by change of fuel"
    if left_over > 0:
        rows.append((f"... {left_over:,} more", *[""] * len(columns)))
    return Section((Column(title, right=False), *map(Column, columns)), tuple(rows))


def _name(change: Change) -> str:
    several = max(change.before.functions, change.after.functions)
    name = shorten(printable(change.name), _NAME_LENGTH)
    return name if several == 1 else f"{name} ({several} of this name)"


def _fuel_row(change: Change) -> tuple[str, ...]:
    before, after = change.before, change.after
    return (
        units.signed(change.fuel),
        _percent(change, before.fuel, after.fuel),
        units.count(after.fuel),
        _per_call(after),
        _per_call(before),
        units.count(after.calls),
        units.count(before.calls),
    )


def _calls_row(change: Change) -> tuple[str, ...]:
    before, after = change.before.calls, change.after.calls
    return units.signed(after - before), _percent(change, before, after), units.count(after), units.count(before)


def _percent(change: Change, before: int, after: int) -> str:
    if not change.before.functions:
        return "new"
    return units.growth(before, after) if change.after.functions else "gone"


def _per_call(cost: Cost) -> str:
    return units.average(cost.fuel, cost.calls) if cost.calls else "-"


def notes(comparison: Comparison) -> Iterator[Line]:
    """What to know before one believes it."""
    runs = (comparison.before, comparison.after)
    for run in runs:
        if run.outcome not in _FINE:
            yield f"note: {_source(run)} {run.outcome.replace('_', ' ')}: what it did until then is compared", _WARNING
        if not run.has_fuel:
            yield f"note: no fuel in {_source(run)} (--no-fuel, or an older version): compared by calls", _WARNING
    if all(run.outcome in _FINE for run in runs) and (runs[0].exit_code or 0) != (runs[1].exit_code or 0):
        yield "note: the exit codes differ: this may not be the same work", _WARNING
    if comparison.unnamed:
        yield (
            f"note: functions without a name: {comparison.unnamed:,}, matched by index, which may be "
            "another function's in another build",
            _WARNING,
        )
    yield f"functions as before: {comparison.unchanged:,}", Tone.PLAIN


_WARNING = Tone.WARNING


def _source(run: PastRun) -> str:
    return printable(run.source)


def encode(comparison: Comparison, top: int | None) -> bytes:
    """The same as one JSON object, in ASCII; fuel is null where it was not compared."""
    has_fuel = comparison.has_fuel
    found: dict[str, Any] = {
        "schema_version": 1,
        "before": _run(comparison.before),
        "after": _run(comparison.after),
        "total": _both(comparison.total_before, comparison.total_after, has_fuel=has_fuel),
        "functions": [
            {
                "name": valid_unicode(each.name),
                "raw_name": valid_unicode(each.raw_name),
                **_both(each.before, each.after, has_fuel=has_fuel),
            }
            for each in comparison.changes[:top]
        ],
        "unchanged": comparison.unchanged,
        "notes": [text.removeprefix("note: ") for text, tone in notes(comparison) if tone is _WARNING],
    }
    return (json.dumps(found, indent=1) + "\n").encode("ascii")


def _run(run: PastRun) -> dict[str, Any]:
    return {
        "report": valid_unicode(run.source),
        "module": valid_unicode(run.module),
        "sha256": valid_unicode(run.sha256),
        "outcome": valid_unicode(run.outcome),
        "exit_code": run.exit_code,
    }


def _both(before: Cost, after: Cost, *, has_fuel: bool) -> dict[str, Any]:
    return {
        "fuel_change": after.fuel - before.fuel if has_fuel else None,
        "calls_change": after.calls - before.calls,
        "before": _cost(before, has_fuel=has_fuel),
        "after": _cost(after, has_fuel=has_fuel),
    }


def _cost(cost: Cost, *, has_fuel: bool) -> dict[str, Any]:
    return {"fuel": cost.fuel if has_fuel else None, "calls": cost.calls, "functions": cost.functions}
