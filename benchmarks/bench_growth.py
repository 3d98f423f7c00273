"""What wasmtrace costs as the work grows: functions, depth of calls, memory, instances and run time, each by itself.

Each point is measured in a process of its own (`growth_points.py`), so that its memory is its own. Prints a table of
each series, and how its last step grew: an exponent of 1 is linear, 0 does not grow. With `--publish`, the tables of
docs/growth.md and its plots are made anew from the results.
"""

from __future__ import annotations

import argparse
import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

from machine import machine, sentence

ROOT = Path(__file__).parent.parent
POINTS = Path(__file__).parent / "growth_points.py"
PAGE = ROOT / "docs" / "growth.md"
RESULTS = ROOT / "build" / "bench" / "growth.json"
FULL: dict[str, tuple[int, ...]] = {
    "functions": (10, 100, 1_000, 10_000, 100_000),
    "depth": (10, 100, 1_000, 10_000, 0),
    "memory": (1, 16, 256, 4_096, 65_535),
    "instances": (1, 10, 100, 1_000),
    "run time": (60,),
}
QUICK: dict[str, tuple[int, ...]] = {
    "functions": (10, 1_000),
    "depth": (100, 10_000),
    "memory": (1, 4_096),
    "instances": (1, 50),
    "run time": (3,),
}
SIZES = {
    "functions": "functions",
    "depth": "depth",
    "memory": "memory MB",
    "instances": "instances",
    "run time": "seconds",
}
"""By series: the column that says how large the work is."""
PLOTTED = {
    "functions": ("rewrite ms", "compile ms", "plain compile ms", "snapshot ms", "scrape ms", "instantiate ms"),
    "depth": ("ns a call", "snapshot ms", "clock %"),
    "memory": ("us a grow", "snapshot ms", "scrape ms", "RSS of the instance MB"),
    "instances": ("start ms each", "RSS each KB", "snapshot ms", "scrape ms", "clock %", "watcher %"),
    "run time": ("RSS MB", "snapshot ms", "scrape ms", "clock %", "reader %", "watcher %"),
}
Series = list[dict[str, float]]


def measure(series: str, size: int) -> Series:
    """The points of one run of `growth_points.py`. Raises `SystemExit` with what it said if it failed."""
    done = subprocess.run([sys.executable, str(POINTS), series, str(size)], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{series} {size} failed: {done.stderr.strip()}")
    points: Series = json.loads(done.stdout)
    column = SIZES[series]
    return [point if column in point else {column: float(size), **point} for point in points]


def exponents(points: Series, size: str) -> dict[str, float]:
    """Of each column that ends above 0: how the last step grew, as a power of the size."""
    if len(points) < 2:
        return {}
    before, after = points[-2], points[-1]
    step = math.log(after[size] / before[size])
    return {
        name: math.log(after[name] / before[name]) / step
        for name in after
        if name != size and after[name] > 0 and before.get(name, 0) > 0
    }


def table(points: Series, size: str) -> str:
    """As Markdown: a column for each point, since there are more figures than points."""
    growth = exponents(points, size)
    head = ["", *(_number(point[size]) for point in points), "last step"]
    lines = ["| " + " | ".join(row) + " |" for row in (head, ["---", *["---:"] * (len(head) - 1)])]
    lines[0] = lines[0].replace("|  |", f"| {size} |", 1)
    for name in points[-1]:
        if name != size:
            cells = [_number(point[name]) for point in points]
            last = f"x^{growth[name]:.2f}" if name in growth else ""
            lines.append("| " + " | ".join([name, *cells, last]) + " |")
    return "\n".join(lines)


def _number(value: float) -> str:
    if value == 0 or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def publish(results: dict[str, Any]) -> None:
    """Puts the tables into docs/growth.md, between the comments that name them, and draws the plots beside it."""
    from growth_plot import draw

    text = PAGE.read_text()
    parts = {"machine": sentence(results["machine"])}
    for name, points in results["series"].items():
        parts[name] = table(points, SIZES[name])
        columns = [each for each in PLOTTED[name] if each in points[0]]
        draw(name, points, SIZES[name], columns, PAGE.parent / f"growth-{name.replace(' ', '-')}.svg")
    for name, part in parts.items():
        begin, end = f"<!-- {name} -->\n", f"\n<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not (found and closed):
            raise SystemExit(f"{PAGE} has no place for {name!r}")
        text = f"{before}{begin}{part}{end}{after}"
    PAGE.write_text(text)


def main() -> None:
    parser = argparse.ArgumentParser(description="what wasmtrace costs as the work grows")
    parser.add_argument("--quick", action="store_true", help="two small points of each series: does it run at all?")
    parser.add_argument("--only", action="append", default=[], choices=tuple(FULL), help="this series (repeatable)")
    parser.add_argument("--seconds", type=int, help="how long the series of run time goes on (default 60)")
    parser.add_argument("--json", type=Path, default=RESULTS, metavar="PATH", help="(default build/bench/growth.json)")
    parser.add_argument("--keep", action="store_true", help="keep what PATH has of other series")
    parser.add_argument("--publish", action="store_true", help="make the tables and plots of docs/growth.md anew")
    options = parser.parse_args()
    sizes = dict(QUICK if options.quick else FULL)
    if options.seconds:
        sizes["run time"] = (options.seconds,)
    results: dict[str, Any] = {"machine": machine(), "series": {}}
    if options.keep and options.json.exists():
        results["series"] = json.loads(options.json.read_text())["series"]
    for name in options.only or sizes:
        points = [point for size in sizes[name] for point in measure(name, size)]
        results["series"][name] = points
        print(f"\n{name}\n\n{table(points, SIZES[name])}", flush=True)
        options.json.parent.mkdir(parents=True, exist_ok=True)
        options.json.write_text(json.dumps(results, indent=1) + "\n")
    if options.publish:
        publish(results)


if __name__ == "__main__":
    main()
