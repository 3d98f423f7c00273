"""Plots of a run of the suite as SVG: the same results make the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import matplotlib as mpl
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas
from matplotlib.ticker import FuncFormatter, NullFormatter

from results import MEASURE, SUITE_TITLES, Results, figure, ratio, shown
from variant_table import LEVELS, PLAIN

_STYLE: Any = {
    "svg.hashsalt": "wasmtrace",
    "svg.fonttype": "none",
    "font.family": "sans-serif",
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
}
_COLOURS = {"real": "#0072b2", "ostrich": "#e69f00", "mibench": "#009e73", "polybench": "#cc79a7", "c": "#56b4e9"}
_LEVEL_COLOURS = ("#56b4e9", "#0072b2", "#e69f00", "#d55e00")


def _save(canvas: Canvas, path: Path) -> None:
    canvas.savefig(path, format="svg", bbox_inches="tight", metadata={"Date": None})


def _multiples(axes: Axes) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.axvline(1, color="#999999", linewidth=0.8, zorder=0)
    axes.grid(axis="x", color="#eeeeee", zorder=0)
    axes.set_axisbelow(True)


def draw_variants(results: Results, path: Path) -> None:
    """One line a variant, one dot a program, a bar at the geometric mean."""
    with mpl.rc_context(_STYLE):
        keys = [key for key in shown(results) if figure(results, key, MEASURE)]
        canvas = Canvas(figsize=(9, 0.5 * len(keys) + 1.4))
        axes = canvas.subplots()
        labelled: set[str] = set()
        for row, key in enumerate(keys):
            for program in results["programs"]:
                value, suite = ratio(program, key, MEASURE), program["suite"]
                if value is not None:
                    label = None if suite in labelled else SUITE_TITLES[suite]
                    labelled.add(suite)
                    axes.scatter(value, row, s=16, color=_COLOURS[suite], alpha=0.7, linewidths=0, label=label)
            found = figure(results, key, MEASURE)
            assert found is not None
            axes.plot([found.mean, found.mean], [row - 0.35, row + 0.35], color="black", linewidth=2)
        axes.set_yticks(range(len(keys)), [results["variants"][key] for key in keys])
        axes.invert_yaxis()
        _multiples(axes)
        axes.set_xlabel("time, as a multiple of plain wasmtime (a dot is a program, a bar the geometric mean)")
        axes.legend(loc="upper center", bbox_to_anchor=(0.4, -0.14), ncols=5, frameon=False, handletextpad=0.1)
        _save(canvas, path)


def draw_levels(results: Results, path: Path) -> None:
    """One line a program, one dot a level of wasmtrace; dearest last."""
    with mpl.rc_context(_STYLE):
        keys = [key for key in shown(results) if key in LEVELS or key.endswith("+fuel")]
        programs = sorted(results["programs"], key=lambda each: ratio(each, LEVELS[-1], MEASURE) or 1)
        canvas = Canvas(figsize=(9, 0.2 * len(programs) + 1.2))
        axes = canvas.subplots()
        for key, colour in zip(keys, _LEVEL_COLOURS, strict=False):
            values = [ratio(each, key, MEASURE) for each in programs]
            rows = [row for row, value in enumerate(values) if value is not None]
            found = [value for value in values if value is not None]
            axes.scatter(found, rows, s=18, color=colour, linewidths=0, label=results["variants"][key])
        axes.set_yticks(range(len(programs)), [each["name"] for each in programs], fontsize=8)
        axes.set_ylim(-1, len(programs))
        axes.invert_yaxis()
        _multiples(axes)
        axes.set_xticks([0.9, 1, 1.1, 1.2, 1.5, 2])
        axes.set_xlabel(f"time, as a multiple of {results['variants'][PLAIN]}")
        axes.legend(loc="lower left", frameon=False)
        _save(canvas, path)
