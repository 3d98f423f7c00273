"""Tables in Markdown from the results of a run of the suite."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import results as found
from results import SUITE_TITLES, Results
from variant_table import LEVELS, PLAIN, base_of


def table(header: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Numbers to the right: all columns but the first."""
    lines = [header, ["---", *("---:" for _ in header[1:])], *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def times(value: float | None) -> str:
    """A multiple: two decimals, or whole from ten."""
    if value is None:
        return "–"
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _share(value: float | None) -> str:
    return "–" if value is None else f"{value * 100:.1f} %"


def overview(results: Results) -> str:
    """One row a variant: geometric mean, those of the suites, worst case, spread."""
    suites = found.suites(results)
    rows = []
    for key, title in results["variants"].items():
        if key in (PLAIN, "command"):
            continue
        figure = found.figure(results, key, "wall")
        if figure is None:
            rows.append([title, "–", "–", *("–" for _ in suites), "–", "0"])
            continue
        by_suite = [
            found.figure(results, key, "wall", lambda each, suite=suite: each["suite"] == suite) for suite in suites
        ]  # type: ignore[misc]
        name, worst = figure.worst
        rows.append(
            [
                title,
                f"**{times(figure.mean)}**",
                f"{times(worst)} ({name})",
                *(times(None if each is None else each.mean) for each in by_suite),
                _share(found.noise_of(results, key)),
                str(len(figure.values)),
            ]
        )
    header = ["as a multiple of plain wasmtime", "geometric mean", "worst"]
    return table([*header, *(SUITE_TITLES[each] for each in suites), "spread", "programs"], rows)


def costs_of_levels(results: Results) -> str:
    """Run time, compile time, machine code and module, for each level."""
    kinds = {
        "run time": "wall",
        "run time, of the guest's own thread": "cpu",
        "compile time": "compile_cpu",
        "machine code": "code_bytes",
        "size of the module": "wasm_bytes",
    }
    keys = [each for each in results["variants"] if each in LEVELS or each.split("+")[0] in LEVELS]
    rows = []
    for title, what in kinds.items():
        row = [title]
        for key in keys:
            figure = found.figure(results, key, what)
            row.append("–" if figure is None else f"{times(figure.mean)} ({figure.worst[0]}: {times(figure.worst[1])})")
        rows.append(row)
    return table(["geometric mean (worst)", *keys], rows)


def by_program(results: Results) -> str:
    keys = [key for key in results["variants"] if key not in (PLAIN, "command")]
    rows = []
    for program in sorted(results["programs"], key=lambda each: list(SUITE_TITLES).index(each["suite"])):
        plain = found.seconds(program)
        assert plain is not None
        calls = program["calls"]
        each_call = "–" if not calls else f"{calls / plain.median / 1e6:,.1f}"
        row = [program["name"], f"{plain.median:.3f} ± {(plain.high - plain.low) / 2:.3f}", each_call]
        rows.append([*row, *(_cell(program, key) for key in keys), str(program["rounds"])])
    return table(["program", "plain s", "M calls/s", *keys, "rounds"], rows)


def _cell(program: dict[str, object], key: str) -> str:
    value = times(found.ratio(program, key, "wall"))
    variant = program["variants"][key]  # type: ignore[index]
    return f"~{value}" if variant.get("share_done", 1) < 1 else value


def gaps(results: Results) -> str:
    """What does not work, and why."""
    lines = []
    for key, title in results["variants"].items():
        for reason, names in found.missing(results, key).items():
            lines.append(f"- {title} ({', '.join(names)}): {reason}")
    return "\n".join(lines) or "- Nothing is missing."


def compared_with(key: str) -> str:
    return base_of(key)
