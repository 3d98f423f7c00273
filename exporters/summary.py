"""The summary at the end of a run, for somebody who wants to see what happened and where the time went.

`sections` says what is shown, in plain strings; this module says how, with `rich`, which only it imports.
Everything but names is ASCII. Markup is never parsed: names come as `Text`.
"""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence

from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

from wasmtrace.exporters.sections import (
    Column,
    Line,
    Section,
    Tone,
    anomaly_lines,
    headline,
    notes,
    stack_table,
    tables,
)
from wasmtrace.exporters.text import shorten
from wasmtrace.records import Outcome, Snapshot

DEFAULT_WIDTH = 100
_LEAST_WIDTH = 40
_CANVAS = 1000
"""What rich is told: lines are wrapped and names cut here, so that rich never cuts a number."""
_LEAST_NAME = 12
_GAP = 2
_INDENT = 2
_STYLES = {Tone.PLAIN: "", Tone.GOOD: "bold green", Tone.WARNING: "bold yellow", Tone.BAD: "bold red"}


def render(snapshot: Snapshot, *, colour: bool, width: int | None) -> str:
    """The summary as text with its line ends; `colour` puts in ANSI codes, `width` is the terminal's."""
    head = (*headline(snapshot), *anomaly_lines(snapshot))
    return lay_out(head, tuple(tables(snapshot)), notes(snapshot), colour=colour, width=width)


def render_failure(snapshot: Snapshot, *, colour: bool, width: int | None) -> str:
    """Only why the guest did not end by itself, and its stack; nothing for one that did."""
    if snapshot.outcome in (Outcome.RETURNED, Outcome.EXITED):
        return ""
    stack = tuple(section for section in (stack_table(snapshot),) if section.rows)
    return lay_out(headline(snapshot), stack, (), colour=colour, width=width)


def lay_out(
    head: Iterable[Line],
    sections: Sequence[Section],
    tail: Iterable[Line],
    *,
    colour: bool,
    width: int | None,
) -> str:
    """Lines, tables and lines as text; also for other outputs than the summary."""
    width = max(width or DEFAULT_WIDTH, _LEAST_WIDTH)
    out = io.StringIO()
    console = Console(
        file=out,
        width=_CANVAS,
        force_terminal=colour,
        force_interactive=False,
        force_jupyter=False,
        color_system="standard" if colour else None,
        no_color=not colour,
        markup=False,
        emoji=False,
        highlight=False,
        legacy_windows=False,
        _environ={},
    )
    for line, tone in head:
        _print(console, line, _STYLES[tone], width)
    widest = max((_cells(section, 0) for section in sections), default=0)
    for section in sections:
        console.print(_table(section, width, widest))
    for line, tone in tail:
        _print(console, line, _STYLES[tone] or "dim", width)
    return "".join(line.rstrip(" ") + "\n" for line in out.getvalue().splitlines())


def _print(console: Console, line: str, style: str, width: int) -> None:
    """A line; what is too long goes on in the next, indented."""
    indent = 0 if not line.startswith(" ") else _INDENT
    first, *rest = Text(line.strip(), style=style).wrap(console, width - indent - _INDENT, tab_size=1)
    for part, pad in [(first, indent), *((each, indent + _INDENT) for each in rest)]:
        console.print(Text(" " * pad).append_text(part), soft_wrap=True)


def _table(section: Section, width: int, widest: int) -> Table:
    """The first column is as wide in all tables, if there is room; its cells are cut in the middle to fit."""
    others = sum(_cells(section, at) + _GAP for at in range(1, len(section.columns)))
    room = max(width - others, _LEAST_NAME)
    table = Table(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style="bold", show_edge=False)
    for at, column in enumerate(section.columns):
        table.add_column(
            Text(column.title),
            justify="right" if column.right else "left",
            no_wrap=True,
            overflow="crop",
            min_width=min(widest + _INDENT, room) if at == 0 else None,
        )
    for first, *rest in section.rows:
        table.add_row(Text(" " * _INDENT + _fitted(first, room - _INDENT)), *(Text(cell) for cell in rest))
    return table


def _cells(section: Section, at: int) -> int:
    column: Column = section.columns[at]
    return max(cell_len(text) for text in [column.title, *(row[at] for row in section.rows)])


def _fitted(text: str, cells: int) -> str:
    """The text in at most so many cells of a terminal; a letter may take two."""
    shown = shorten(text, cells)
    return shown if cell_len(shown) <= cells else shorten(text, cells // 2)
