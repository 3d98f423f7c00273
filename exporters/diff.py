"""Compares two runs by function: which got dearer, which cheaper. Pure.

Functions are matched by their raw names. Those that only one run has are then matched by what is left of the name
without the parts that compilers make anew for each build. Several of one name are added up. Functions without a name
are matched by index.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from fractions import Fraction

from wasmtrace.exporters.past_run import PastFunction, PastRun

_MADE_ANEW = (
    (re.compile(r"^(_ZN.*)17h[0-9a-f]{16}E"), r"\1E"),  # Rust's older mangling: a hash of the crate and its compiler
    (re.compile(r"(?<=[A-Za-z0-9_])Cs[0-9A-Za-z]*_(?=\d)"), "C"),  # Rust's newer one: which version of a crate
    (re.compile(r"\.llvm\.\d+"), ""),  # a function that became local in link-time optimisation
    (re.compile(r"__(anon|struct|union|enum)_\d+"), r"__\1"),  # Zig numbers what has no name
)


@dataclass(frozen=True, slots=True)
class Cost:
    """Of the functions of one name in one run, or of all; `fuel` is 0 where it is not known."""

    calls: int = 0
    fuel: int = 0
    functions: int = 0


@dataclass(frozen=True, slots=True)
class Change:
    """One name; `functions` of a side is 0 where no such function was called."""

    name: str
    raw_name: str
    before: Cost
    after: Cost

    @property
    def fuel(self) -> int:
        return self.after.fuel - self.before.fuel

    @property
    def calls(self) -> int:
        return self.after.calls - self.before.calls


@dataclass(frozen=True, slots=True)
class Comparison:
    before: PastRun
    after: PastRun
    has_fuel: bool
    """Whether both runs counted it; else they are compared by calls."""
    total_before: Cost
    total_after: Cost
    changes: tuple[Change, ...]
    """What costs more or less, or is called more or less, the greatest change first."""
    unchanged: int
    unnamed: int
    """Functions that were matched by index alone, in builds that may differ in it."""

    def grew_by_more_than(self, percent: Fraction) -> bool:
        """Whether the fuel of all functions together did."""
        return (self.total_after.fuel - self.total_before.fuel) * 100 > self.total_before.fuel * percent


def compare(before: PastRun, after: PastRun) -> Comparison:
    has_fuel = before.has_fuel and after.has_fuel
    all_changes = [_change(*each, has_fuel=has_fuel) for each in _matched(before.functions, after.functions)]
    changed = [each for each in all_changes if each.before != each.after]
    changed.sort(key=lambda each: (-abs(each.fuel), -abs(each.calls), each.name, each.raw_name))
    unnamed = {each.raw_name for run in (before, after) for each in run.functions if not each.is_named}
    return Comparison(
        before,
        after,
        has_fuel,
        _cost(before.functions, has_fuel=has_fuel),
        _cost(after.functions, has_fuel=has_fuel),
        tuple(changed),
        len(all_changes) - len(changed),
        0 if before.sha256 == after.sha256 else len(unnamed),
    )


Group = list[PastFunction]


def _matched(before: Iterable[PastFunction], after: Iterable[PastFunction]) -> list[tuple[Group, Group]]:
    old, new = (_grouped(each, lambda function: function.raw_name) for each in (before, after))
    pairs = [(old[name], new[name]) for name in old if name in new]
    left, came = (
        _grouped((each for name in one if name not in other for each in one[name]), lambda each: stable(each.raw_name))
        for one, other in ((old, new), (new, old))
    )
    return pairs + [(left.get(name, []), came.get(name, [])) for name in {**left, **came}]


def _grouped(functions: Iterable[PastFunction], key: Callable[[PastFunction], str]) -> dict[str, Group]:
    groups: dict[str, Group] = {}
    for each in functions:
        groups.setdefault(key(each), []).append(each)
    return groups


def stable(raw_name: str) -> str:
    """The name without what the next build of the same source may call otherwise."""
    for pattern, instead in _MADE_ANEW:
        raw_name = pattern.sub(instead, raw_name)
    return raw_name


def _change(before: Group, after: Group, *, has_fuel: bool) -> Change:
    shown = (after or before)[0]
    return Change(shown.name, shown.raw_name, _cost(before, has_fuel=has_fuel), _cost(after, has_fuel=has_fuel))


def _cost(functions: Iterable[PastFunction], *, has_fuel: bool) -> Cost:
    found = list(functions)
    fuel = sum(each.fuel or 0 for each in found) if has_fuel else 0
    return Cost(sum(each.calls for each in found), fuel, len(found))
