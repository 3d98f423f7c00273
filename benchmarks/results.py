"""The results of a run of the suite: as JSON, and the figures that tables and plots show of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import geometric_mean, median
from typing import Any

from noise import Spread, spread
from variant_table import COMMAND, PLAIN, base_of

SCHEMA_VERSION = 1
MEASURE = "cpu"
"""What tables and plots compare: the processor's time of the guest's thread, and of the whole process for a command."""
SUITE_TITLES = {
    "real": "real programs",
    "ostrich": "Ostrich",
    "mibench": "MiBench",
    "polybench": "PolyBench",
    "c": "C programs of the tests",
}

Results = dict[str, Any]
"""As `results.schema.json` has them."""


def write(results: Results, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(results, indent=1) + "\n")


def read(path: Path) -> Results:
    """Raises ValueError for results of another schema."""
    results: Results = json.loads(path.read_text())
    if results.get("schema") != SCHEMA_VERSION:
        raise ValueError(f"expected results of schema {SCHEMA_VERSION}, got {results.get('schema')}: {path}")
    return results


@dataclass(frozen=True, slots=True)
class Figure:
    """One number for each program, and what they come to together."""

    values: dict[str, float]

    @property
    def mean(self) -> float:
        return geometric_mean(self.values.values())

    @property
    def worst(self) -> tuple[str, float]:
        name = max(self.values, key=lambda each: self.values[each])
        return name, self.values[name]


def ratio(program: dict[str, Any], key: str, what: str) -> float | None:
    """The median of one variant's `what` as a multiple of its base's; None where either was not measured."""
    base, variant = program["variants"].get(base_of(key), {}), program["variants"].get(key, {})
    if not base.get(what) or not variant.get(what):
        return None
    return _middle(variant[what]) / _middle(base[what])


def _middle(value: float | Sequence[float]) -> float:
    return float(value) if isinstance(value, int | float) else median(value)


def figure(
    results: Results, key: str, what: str, keep: Callable[[dict[str, Any]], bool] = lambda _: True
) -> Figure | None:
    """Over the programs that were measured as that variant; None if there are none."""
    found = {each["name"]: ratio(each, key, what) for each in results["programs"] if keep(each)}
    values = {name: value for name, value in found.items() if value is not None}
    return Figure(values) if values else None


def noise_of(results: Results, key: str, what: str = MEASURE) -> float | None:
    """The median over the programs of the interquartile range of `what`, as a part of the median."""
    samples = [each["variants"].get(key, {}).get(what) for each in results["programs"]]
    shares = [spread(each).share for each in samples if each and len(each) > 1]
    return median(shares) if shares else None


def seconds(program: dict[str, Any], key: str = PLAIN) -> Spread | None:
    samples = program["variants"].get(key, {}).get(MEASURE)
    return spread(samples) if samples else None


def missing(results: Results, key: str) -> dict[str, list[str]]:
    """By reason: the programs that were not measured as that variant."""
    found: dict[str, list[str]] = {}
    for each in results["programs"]:
        reason = each["variants"].get(key, {}).get("missing")
        if reason is not None:
            found.setdefault(reason, []).append(each["name"])
    return found


def shown(results: Results) -> list[str]:
    """The variants that are compared with another."""
    return [key for key in results["variants"] if key not in (PLAIN, COMMAND)]


def suites(results: Results) -> list[str]:
    """Those that are there, in the order of `SUITE_TITLES`."""
    there = {each["suite"] for each in results["programs"]}
    return [each for each in SUITE_TITLES if each in there]
