"""Tables in Markdown from the results of a run of the suite."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from statistics import geometric_mean
from typing import Any

import results as found
from results import MEASURE, SUITE_TITLES, Results
from variant_table import LEVELS, PLAIN


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Numbers to the right: all columns but the first."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def of_rows(rows: Sequence[Mapping[str, float | str]], digits: int) -> str:
    """A column for each key of the first row."""
    cells = [
        [value if isinstance(value, str) else f"{value:,.{digits}f}" for value in (row[key] for key in rows[0])]
        for row in rows
    ]
    return table(list(rows[0]), cells)


def pivoted(rows: Sequence[Mapping[str, float | str]], across: str, down: str) -> list[dict[str, float | str]]:
    """One row for each value of `down`, with the other columns once for each value of `across`."""
    found: dict[str, dict[str, float | str]] = {}
    for row in rows:
        wide = found.setdefault(str(row[down]), {down: row[down]})
        wide |= {f"{row[across]}, {key}": value for key, value in row.items() if key not in (across, down)}
    return list(found.values())


def times(value: float | None) -> str:
    """A multiple: two decimals, or whole from ten."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f} %"


def _of_suite(results: Results, key: str, suite: str) -> str:
    figure = found.figure(results, key, MEASURE, lambda each: each["suite"] == suite)
    return "–" if figure is None else times(figure.mean)


def overview(results: Results) -> str:
    """One row a variant: geometric mean, those of the suites, worst case, spread."""
    suites = found.suites(results)
    rows = []
    for key in found.shown(results):
        title = results["variants"][key]
        figure = found.figure(results, key, MEASURE)
        if figure is None:
            rows.append([title, "–", "–", *("–" for _ in suites), "–", "0"])
            continue
        by_suite = [_of_suite(results, key, each) for each in suites]
        name, worst = figure.worst
        rows.append(
            [
                title,
                f"**{times(figure.mean)}**",
                f"{times(worst)} ({name})",
                *by_suite,
                _share(found.noise_of(results, key)),
                str(len(figure.values)),
            ]
        )
    header = ["as a multiple of plain wasmtime", "geometric mean", "worst"]
    return table([*header, *(SUITE_TITLES[each] for each in suites), "spread", "programs"], rows)


def costs_of_levels(results: Results) -> str:
    """Run time, compile time, machine code and module, for each level."""
    kinds = {
        "run time, of the processor": "cpu",
        "run time, by the wall's clock": "wall",
        "compile time": "compile_cpu",
        "machine code": "code_bytes",
        "size of the module": "wasm_bytes",
    }
    keys = [each for each in results["variants"] if each.split("+")[0] in LEVELS]
    rows = []
    for title, what in kinds.items():
        row = [title]
        for key in keys:
            figure = found.figure(results, key, what)
            row.append("–" if figure is None else f"{times(figure.mean)} ({figure.worst[0]}: {times(figure.worst[1])})")
        rows.append(row)
    return table(["geometric mean (worst)", *keys], rows)


def by_program(results: Results) -> str:
    keys = found.shown(results)
    rows = []
    for program in sorted(results["programs"], key=lambda each: list(SUITE_TITLES).index(each["suite"])):
        plain = found.seconds(program)
        assert plain is not None
        calls = program["calls"]
        each_call = "–" if not calls else f"{calls / plain.median / 1e6:,.1f}"
        row = [program["name"], f"{plain.median:.3f} ± {(plain.high - plain.low) / 2:.3f}", each_call]
        rows.append([*row, *(_cell(program, key) for key in keys), str(program["rounds"])])
    return table(["program", "plain s", "M calls/s", *keys, "rounds"], rows)


def _cell(program: dict[str, Any], key: str) -> str:
    value = times(found.ratio(program, key, MEASURE))
    variant = program["variants"].get(key, {})
    return f"~{value}" if variant.get("share_done", 1) < 1 else value


def gaps(results: Results) -> str:
    """What does not work, and why."""
    lines = []
    for key, title in results["variants"].items():
        for reason, names in found.missing(results, key).items():
            lines.append(f"- {title} ({', '.join(names)}): {reason}")
    return "\n".join(lines) or "- Nothing is missing."


def instructions(results: Mapping[str, Any]) -> str:
    """Counted instructions as multiples of plain, or why there are none."""
    if results.get("missing"):
        return f"Not counted: {results['missing']}."
    keys = [key for key in results["variants"] if key != PLAIN]
    rows = []
    for name, counts in results["programs"].items():
        ratios = [times(counts[key] / counts[PLAIN]) for key in keys]
        rows.append([name, f"{counts[PLAIN] / 1e6:,.1f}", *ratios])
    means = [geometric_mean(counts[key] / counts[PLAIN] for counts in results["programs"].values()) for key in keys]
    rows.append(["geometric mean", "", *(f"**{times(each)}**" for each in means)])
    return table(["program", "plain, M instructions", *keys], rows)
