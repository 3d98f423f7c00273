"""Makes `docs/trace.svg`: a trace as a waterfall, from what `--otlp-file` wrote.

Usage: python docs/waterfall.py OUT.svg TRACE

A call that has one slow callee of its own length says nothing of its own: of a chain of such the first and the last are
drawn, and how many lie between. What took less than SHARE of the run is left out.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from html import escape
from pathlib import Path
from typing import Any

SHARE = 0.02
ROW, NAMES, BARS, FOOT = 18, 470, 560, 30
INDENT, LONGEST = 12, 56
SAME_NS = 2_500_000
"""Starts and ends that are so close are the same: two ticks."""


@dataclass(slots=True)
class Span:
    name: str
    start_ns: int
    end_ns: int
    attributes: dict[str, Any]
    failed: bool
    callees: list[Span] = field(default_factory=list)

    @property
    def took_ns(self) -> int:
        return self.end_ns - self.start_ns


@dataclass(frozen=True, slots=True)
class Row:
    span: Span
    depth: int
    between: int


def read_trace(path: Path) -> Span:
    """The root, with everything below it."""
    found: dict[str, Span] = {}
    parents: dict[str, str] = {}
    for line in path.read_text().splitlines():
        for resource in json.loads(line).get("resourceSpans", ()):
            for scope in resource["scopeSpans"]:
                for each in scope["spans"]:
                    parents[each["spanId"]] = each.get("parentSpanId", "")
                    found[each["spanId"]] = Span(
                        each["name"],
                        int(each["startTimeUnixNano"]),
                        int(each["endTimeUnixNano"]),
                        {item["key"]: next(iter(item["value"].values())) for item in each["attributes"]},
                        each.get("status", {}).get("code") == 2,
                    )
    roots = []
    for span_id, span in sorted(found.items(), key=lambda item: (item[1].start_ns, -item[1].end_ns)):
        parent = found.get(parents[span_id])
        (roots if parent is None else parent.callees).append(span)
    return roots[0]


def rows(span: Span, least_ns: float, depth: int = 0) -> Iterator[Row]:
    """What is drawn, from the top."""
    last, between = span, -1
    while len(slow := [each for each in last.callees if each.took_ns >= least_ns]) == 1 and _same(span, slow[0]):
        last, between = slow[0], between + 1
    yield Row(span, depth, 0)
    if last is not span:
        depth += 1
        yield Row(last, depth, between)
    for callee in last.callees:
        if callee.took_ns >= least_ns:
            yield from rows(callee, least_ns, depth + 1)


def _same(left: Span, right: Span) -> bool:
    return abs(left.start_ns - right.start_ns) <= SAME_NS and abs(left.end_ns - right.end_ns) <= SAME_NS


def drawn(root: Span) -> str:
    """The picture."""
    lines = list(rows(root, root.took_ns * SHARE))
    width, height = NAMES + BARS + 20, len(lines) * ROW + FOOT + 10
    scale = BARS / root.took_ns
    out = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}"',
        ' font-family="monospace" font-size="11">',
        f'<rect width="{width}" height="{height}" fill="#fff"/>',
    ]
    for tick_ms in range(0, int(root.took_ns / 1e6) + 1, _step_ms(root.took_ns)):
        x = NAMES + tick_ms * 1e6 * scale
        bottom = height - FOOT
        out.append(f'<line x1="{x:.1f}" y1="6" x2="{x:.1f}" y2="{bottom}" stroke="#ddd"/>')
        out.append(f'<text x="{x:.1f}" y="{bottom + 16}" fill="#666" text-anchor="middle">{tick_ms} ms</text>')
    for number, row in enumerate(lines):
        out += _row(row, number * ROW + 8, root, scale)
    return "\n".join([*out, "</svg>"]) + "\n"


def _row(row: Row, y: int, root: Span, scale: float) -> Iterator[str]:
    span = row.span
    left = 8 + row.depth * INDENT
    room = max(12, LONGEST - row.depth)
    name = span.name if len(span.name) <= room else f"{span.name[: room - 1]}…"
    note = f'<tspan fill="#999"> +{row.between}</tspan>' if row.between else ""
    yield f'<text x="{left}" y="{y + 11}" fill="#222">{escape(name)}{note}</text>'
    colour = "#c0392b" if span.failed else "#e08e0b" if span.attributes.get("wasm.call.host") else "#3b78b5"
    x, bar = NAMES + (span.start_ns - root.start_ns) * scale, max(1.0, span.took_ns * scale)
    yield f'<rect x="{x:.1f}" y="{y}" width="{bar:.1f}" height="{ROW - 5}" rx="2" fill="{colour}"/>'
    said = f"{span.took_ns / 1e6:.1f} ms"
    if span.failed:
        said += f", {span.attributes.get('error.type', 'error')}"
    inside = bar > len(said) * 7 + 8
    at, anchor, ink = (x + 4, "start", "#fff") if inside else (x + bar + 4, "start", "#444")
    if not inside and at + len(said) * 7 > NAMES + BARS + 20:
        at, anchor = x - 4, "end"
    yield f'<text x="{at:.1f}" y="{y + 11}" fill="{ink}" text-anchor="{anchor}">{escape(said)}</text>'


def _step_ms(took_ns: int) -> int:
    """About ten marks, at round times."""
    return next(step for step in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 1 << 30) if took_ns / 1e6 / step <= 12)


if __name__ == "__main__":
    Path(sys.argv[1]).write_text(drawn(read_trace(Path(sys.argv[2]))))
