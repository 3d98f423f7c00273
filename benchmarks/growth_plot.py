"""Draws one series of `bench_growth`: each figure over the size of the work, both on logarithmic axes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

mpl.rcParams["svg.hashsalt"] = "wasmtrace"  # the same figures make the same file


def draw(title: str, points: Sequence[dict[str, float]], size: str, columns: Sequence[str], path: Path) -> None:
    """An SVG with a dashed line that shows what linear is."""
    figure = Figure(figsize=(7.5, 4.2), layout="constrained")
    axes = figure.subplots()
    sizes = [point[size] for point in points]
    lowest = float("inf")
    for name in columns:
        values = [point[name] for point in points]
        lowest = min([lowest, *(value for value in values if value > 0)])
        axes.plot(sizes, values, marker="o", markersize=3, linewidth=1.2, label=name)
    axes.plot(sizes, [lowest * each / sizes[0] for each in sizes], "--", color="#999", linewidth=0.8, label="linear")
    axes.set(xscale="log", yscale="log", xlabel=size, title=title)
    axes.grid(True, which="major", color="#ddd", linewidth=0.6)
    axes.legend(fontsize=8, frameon=False, loc="center left", bbox_to_anchor=(1, 0.5))
    figure.savefig(path, metadata={"Date": None})
