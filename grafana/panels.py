"""The kinds of panel that the dashboards are made of."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Query:
    """One PromQL query; `{self}` in it becomes the selection by the dashboard's variables."""

    expression: str
    legend: str = ""


@dataclass(frozen=True, slots=True)
class Graph:
    """Lines over time."""

    title: str
    unit: str
    queries: tuple[Query, ...]
    description: str
    width: int = 12
    stacked: bool = False
    traces: bool = False
    """Whether a click leads to the traces of that time."""
    to_app: bool = False
    """Whether a click leads to the App dashboard of that module."""
    maximum: float | None = None
    logarithmic: bool = False


@dataclass(frozen=True, slots=True)
class Number:
    """One number that turns orange and red; no thresholds, no colour."""

    title: str
    unit: str
    query: Query
    description: str
    width: int = 4
    orange: float | None = None
    red: float | None = None
    no_value: str = "none"
    names: bool = False
    """Show the legend too: the value alone does not say who."""


@dataclass(frozen=True, slots=True)
class Offenders:
    """Bars, the longest first: who it is right now."""

    title: str
    unit: str
    query: Query
    description: str
    width: int = 12


@dataclass(frozen=True, slots=True)
class Column:
    """A column of a table: its query, its heading and its unit."""

    title: str
    unit: str
    query: Query
    orange: float | None = None
    red: float | None = None


@dataclass(frozen=True, slots=True)
class Table:
    """One line for each label set of `keys`; the first key links to the App dashboard."""

    title: str
    keys: tuple[tuple[str, str], ...]
    """Label and heading."""
    columns: tuple[Column, ...]
    description: str
    width: int = 24
    height: int = 8
    sort_by: str = ""
    no_value: str = "none"


@dataclass(frozen=True, slots=True)
class Row:
    """A heading and the panels below it."""

    title: str
    panels: tuple[Graph | Number | Offenders | Table, ...] = field(default=())


Panel = Graph | Number | Offenders | Table
