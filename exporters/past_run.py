"""Reads back, from the report of a run, what two runs are compared by."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from wasmtrace.errors import ReportError
from wasmtrace.exporters.report import SCHEMA_VERSION

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class PastFunction:
    """A function that was called in the run."""

    index: int
    name: str
    raw_name: str
    calls: int
    fuel: int | None

    @property
    def is_named(self) -> bool:
        return self.raw_name != f"func[{self.index}]"


@dataclass(frozen=True, slots=True)
class PastRun:
    """One run; `source` is where its report came from."""

    source: str
    module: str
    sha256: str
    outcome: str
    exit_code: int | None
    functions: tuple[PastFunction, ...]

    @property
    def has_fuel(self) -> bool:
        return all(each.fuel is not None for each in self.functions)


def decode(data: bytes, source: str) -> PastRun:
    """The run of a report. Raises ReportError."""
    try:
        report = json.loads(data)
    except (ValueError, RecursionError):
        raise ReportError(f"{source} is not JSON") from None
    version = report.get("schema_version") if isinstance(report, dict) else None
    if not isinstance(version, int):
        raise ReportError(f"{source} is not a report of a run: it has no schema version")
    if version != SCHEMA_VERSION:
        raise ReportError(f"expected a report of schema version {SCHEMA_VERSION}, got {version} in {source}")
    try:
        return _run(report, source)
    except (KeyError, TypeError):
        raise ReportError(f"{source} is not a report of a run") from None


def _run(report: Mapping[str, Any], source: str) -> PastRun:
    return PastRun(
        source,
        _typed(report["module"]["name"], str),
        _typed(report["module"]["sha256"], str),
        _typed(report["outcome"], str),
        None if report["exit_code"] is None else _typed(report["exit_code"], int),
        tuple(_function(each) for each in _typed(report["functions"], list)),
    )


def _function(function: Mapping[str, Any]) -> PastFunction:
    fuel = function.get("fuel") if isinstance(function, dict) else None  # absent before wasmtrace counted it
    return PastFunction(
        _count(function["index"]),
        _typed(function["name"], str),
        _typed(function["raw_name"], str),
        _count(function["calls"]),
        None if fuel is None else _count(fuel),
    )


def _typed(value: object, kind: type[T]) -> T:
    if not isinstance(value, kind) or isinstance(value, bool):
        raise TypeError
    return value


def _count(value: object) -> int:
    count = _typed(value, int)
    if count < 0:
        raise TypeError
    return count
