from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from prometheus_client.core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as openmetrics_text
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from hand_made import COST, HOSTILE_NAMES, empty_snapshot, hanging, hostile, module, snapshot, trapped
from wasmtrace.exporters.families import COUNTERS, GAUGES, INFOS, Family
from wasmtrace.exporters.prometheus import SnapshotCollector, encode_snapshots, encode_text
from wasmtrace.exporters.totals import label
from wasmtrace.records import FunctionStats, HostCallStats, MemoryStats, Outcome, Snapshot

DOCUMENT = (Path(__file__).parents[2] / "docs" / "metrics.md").read_text()
Series = dict[tuple[str, tuple[tuple[str, str], ...]], float]


class Runs:
    """The runs that a collector reads."""

    def __init__(self, *snapshots: Snapshot) -> None:
        self.live = list(snapshots)

    def __call__(self) -> list[Snapshot]:
        return self.live


def series(families: Iterable[Metric]) -> Series:
    samples = [sample for family in families for sample in family.samples]
    found = {(each.name, tuple(sorted(each.labels.items()))): each.value for each in samples}
    assert len(found) == len(samples), "two samples of one series"
    return found


def scrape(collector: SnapshotCollector) -> Series:
    return series(parse_text(encode_text(collector).decode()))


def value(found: Series, name: str, **labels: str) -> float | None:
    return found.get((f"wasmtrace_{name}", tuple(sorted(labels.items()))))


APP = {"module": "app.wasm"}
WRITE = APP | {"namespace": "wasi_snapshot_preview1", "function": "fd_write"}
NORMAL_VALUES = [
    ("function_calls_total", APP | {"function": "fib"}, 1_000_000),
    ("function_calls_total", APP | {"function": "(other)"}, 0),
    ("function_slow_calls_total", APP | {"function": "fib"}, 3),
    ("function_slow_seconds_total", APP | {"function": "fib"}, 0.5),
    ("function_self_seconds_total", APP | {"function": "fib"}, 0.9),
    ("function_grown_pages_total", APP | {"function": "dlmalloc"}, 50),
    ("function_grown_pages_total", APP | {"function": "fib"}, None),
    ("function_grown_pages_total", APP | {"function": "(other)"}, 0),
    ("function_failed_grows_total", APP | {"function": "dlmalloc"}, 2),
    ("function_fuel_total", APP | {"function": "fib"}, 1_000_000_000),
    ("function_fuel_total", APP | {"function": "(other)"}, 0),
    ("host_calls_total", WRITE, 120),
    ("host_slow_calls_total", WRITE, 4),
    ("host_slow_seconds_total", WRITE, 0.2),
    ("host_self_seconds_total", WRITE, 0.25),
    ("host_call_errors_total", WRITE | {"errno": "badf"}, 2),
    ("runs_total", APP | {"outcome": "exited"}, 1),
    ("runs_total", APP | {"outcome": "trapped"}, 0),
    ("runs_total", APP | {"outcome": "running"}, None),
    ("runs_active", APP, 0),
    ("run_age_seconds", APP, 0),
    ("run_wall_seconds_total", APP, 1.23),
    ("run_cpu_seconds_total", APP, 1.21),
    ("fuel_consumed_total", APP, 1_230_000_000),
    ("fuel_limit", APP, 10_000_000_000),
    ("memory_bytes", APP | {"memory": "0"}, 60 * 65536),
    ("memory_peak_bytes", APP | {"memory": "0"}, 67 * 65536),
    ("memory_limit_bytes", APP | {"memory": "0"}, 1024 * 65536),
    ("dropped_records_total", {**APP, "reason": "ring_full"}, 0),
    ("records_read_total", APP, 57),
    ("startup_seconds_total", APP | {"phase": "compile"}, 0.025),
    ("startup_seconds_total", APP | {"phase": "other"}, 0.0039),
    ("reader_cpu_seconds_total", APP, 0.005),
    ("clock_ticks_total", APP, 1230),
    ("clock_late_max_seconds", APP, 0.0023),
    ("telemetry_bytes", APP, 1_310_720),
    ("slow_threshold_seconds", APP, 0.001),
    ("uninstrumented_functions", APP, 1),
    ("module_info", APP | {"sha256": "ab" * 32, "level": "trace"}, 1),
]


@pytest.mark.parametrize(("name", "labels", "expected"), NORMAL_VALUES)
def test_normal_program(name: str, labels: dict[str, str], expected: float | None) -> None:
    assert value(scrape(SnapshotCollector(Runs(snapshot()))), name, **labels) == expected


def test_exact_text() -> None:
    lines = encode_text(SnapshotCollector(Runs(snapshot()))).decode().splitlines()
    at = lines.index("# TYPE wasmtrace_host_call_errors_total counter")
    names = 'function="fd_write",module="app.wasm",namespace="wasi_snapshot_preview1"'
    others = 'function="(other)",module="app.wasm",namespace="(other)"'
    assert lines[at - 1 : at + 4] == [
        "# HELP wasmtrace_host_call_errors_total Host calls that returned an error, by WASI errno.",
        "# TYPE wasmtrace_host_call_errors_total counter",
        f'wasmtrace_host_call_errors_total{{errno="badf",{names}}} 2.0',
        f'wasmtrace_host_call_errors_total{{errno="io",{names}}} 1.0',
        f'wasmtrace_host_call_errors_total{{errno="(other)",{others}}} 0.0',
    ]


def test_no_runs() -> None:
    found = scrape(SnapshotCollector(Runs()))
    assert [name for name, _ in found] == ["wasmtrace_build_info"]


def test_run_that_has_not_done_anything() -> None:
    found = scrape(SnapshotCollector(Runs(empty_snapshot())))
    assert value(found, "function_calls_total", function="(other)", **APP) == 0
    assert value(found, "runs_active", **APP) == 1
    assert value(found, "fuel_consumed_total", **APP) is None


def test_fuel_that_nobody_counts_is_no_series() -> None:
    found = scrape(SnapshotCollector(Runs(snapshot(functions=(FunctionStats(5, "main", "main", 3),)))))
    assert value(found, "function_calls_total", function="main", **APP) == 3
    assert value(found, "function_fuel_total", function="main", **APP) is None


def test_fuel_never_goes_down() -> None:
    """A call that a trap ends has used less than was counted for it while it was open; a limit hides the sum."""
    runs = Runs()
    collector = SnapshotCollector(runs)
    shown = []
    for own, total in [(100, 130), (90, None), (95, 120), (130, 140)]:
        runs.live = [snapshot(fuel=total, functions=(FunctionStats(5, "main", "main", 1, fuel=own),))]
        found = scrape(collector)
        shown.append(
            (value(found, "function_fuel_total", function="main", **APP), value(found, "fuel_consumed_total", **APP))
        )
    assert shown == [(100, 130), (100, 130), (100, 130), (130, 140)]


def test_what_uses_most_fuel_has_a_series_though_others_are_called_more() -> None:
    busy = tuple(FunctionStats(at, f"f{at}", f"f{at}", 1000 + at, fuel=1000 + at) for at in range(50))
    dear = FunctionStats(50, "dear", "dear", 1, fuel=10**9)
    found = scrape(SnapshotCollector(Runs(snapshot(functions=(*busy, dear))), top=8))
    assert value(found, "function_fuel_total", function="dear", **APP) == 10**9
    assert sum(each for (name, _), each in found.items() if name == "wasmtrace_function_fuel_total") == 10**9 + sum(
        each.fuel or 0 for each in busy
    )


def test_trap_and_ages() -> None:
    running = replace(hanging(), outcome=Outcome.RUNNING)
    found = scrape(SnapshotCollector(Runs(trapped(), running, empty_snapshot())))
    assert value(found, "traps_total", code="unreachable", **APP) == 1
    assert value(found, "runs_total", outcome="trapped", **APP) == 1
    assert value(found, "runs_active", **APP) == 2
    assert value(found, "run_age_seconds", **APP) == 1.23
    assert value(found, "open_call_age_seconds", **APP) == 1.23


def test_instances_of_one_module_are_summed() -> None:
    found = scrape(SnapshotCollector(Runs(*[snapshot()] * 1000)))
    assert value(found, "function_calls_total", function="fib", **APP) == 1e9
    assert value(found, "memory_bytes", memory="0", **APP) == 60 * 65536 * 1000
    assert value(found, "memory_peak_bytes", memory="0", **APP) == 67 * 65536


def test_memory_limit_is_absent_where_one_has_none() -> None:
    free = snapshot(memories=(MemoryStats(0, 1, 1, 65536, None),), fuel_limit=None)
    found = scrape(SnapshotCollector(Runs(snapshot(), free)))
    assert value(found, "memory_limit_bytes", memory="0", **APP) is None
    assert value(found, "fuel_limit", **APP) is None


def test_functions_of_one_name_are_one_series() -> None:
    twins = (FunctionStats(1, "drop", "_a", 3), FunctionStats(2, "drop", "_b", 4))
    found = scrape(SnapshotCollector(Runs(snapshot(functions=twins))))
    assert value(found, "function_calls_total", function="drop", **APP) == 7


def test_two_modules_of_one_name_share_series_but_not_their_info() -> None:
    other = snapshot(module=module(sha256="cd" * 32))
    found = scrape(SnapshotCollector(Runs(snapshot(), other)))
    assert value(found, "function_calls_total", function="fib", **APP) == 2_000_000
    assert value(found, "module_info", sha256="ab" * 32, level="trace", **APP) == 1
    assert value(found, "module_info", sha256="cd" * 32, level="trace", **APP) == 1


def test_modules_that_differ_only_in_rewriting_have_one_info() -> None:
    wider = snapshot(module=replace(module(), instrumented_bytes=7))
    assert value(scrape(SnapshotCollector(Runs(snapshot(), wider))), "runs_active", **APP) == 0


def counters(found: Series) -> Series:
    return {key: number for key, number in found.items() if key[0].endswith("_total")}


def test_counters_stay_when_runs_end() -> None:
    runs = Runs(snapshot(), trapped())
    collector = SnapshotCollector(runs)
    before = scrape(collector)
    ended = runs.live.pop()
    between = scrape(collector)
    collector.retire(ended)
    after = scrape(collector)
    assert counters(before) == counters(between) == counters(after)
    assert value(after, "memory_bytes", memory="0", **APP) == 60 * 65536
    runs.live.append(snapshot())
    assert value(scrape(collector), "function_calls_total", function="fib", **APP) == 3_000_000


def test_module_whose_runs_are_all_over_is_still_there() -> None:
    collector = SnapshotCollector(Runs())
    collector.retire(snapshot())
    found = scrape(collector)
    assert value(found, "function_calls_total", function="fib", **APP) == 1_000_000
    assert value(found, "runs_active", **APP) == 0
    assert value(found, "memory_bytes", memory="0", **APP) is None
    assert value(found, "memory_peak_bytes", memory="0", **APP) == 67 * 65536
    assert value(found, "module_info", sha256="ab" * 32, level="trace", **APP) == 1


def many(functions: int, factor: int = 1) -> Snapshot:
    stats = tuple(FunctionStats(at, f"f{at}", f"f{at}", factor * (at + 1)) for at in range(functions))
    return snapshot(module=module(function_count=functions), functions=stats)


def calls_by_function(found: Series) -> dict[str, float]:
    return {
        dict(labels)["function"]: number
        for (name, labels), number in found.items()
        if name == "wasmtrace_function_calls_total"
    }


BOUND_CASES: dict[str, tuple[Callable[[Snapshot], Series], int, int]] = {
    "live-many": (lambda state: scrape(SnapshotCollector(Runs(state), top=20)), 1000, 10),
    "live-few": (lambda state: scrape(SnapshotCollector(Runs(state), top=20)), 20, 20),
    "file-many": (lambda state: series(parse_text(encode_snapshots([state], top=20).decode())), 1000, 20),
    "file-few": (lambda state: series(parse_text(encode_snapshots([state], top=20).decode())), 3, 3),
}


@pytest.mark.parametrize(("read", "functions", "named"), BOUND_CASES.values(), ids=BOUND_CASES)
def test_series_are_bounded_and_their_sum_exact(read: Callable[[Snapshot], Series], functions: int, named: int) -> None:
    calls = calls_by_function(read(many(functions)))
    assert len(calls) == named + 1
    assert sum(calls.values()) == functions * (functions + 1) // 2
    assert f"f{functions - 1}" in calls


def test_imports_and_errnos_are_bounded() -> None:
    imports = tuple(
        HostCallStats(at, "env", f"h{at}", at + 1, errors={f"e{errno}": errno for errno in range(1, 78)})
        for at in range(300)
    )
    found = scrape(SnapshotCollector(Runs(snapshot(host_calls=imports)), top=20))
    calls = [number for (name, _), number in found.items() if name == "wasmtrace_host_calls_total"]
    errors = [number for (name, _), number in found.items() if name == "wasmtrace_host_call_errors_total"]
    assert (len(calls), sum(calls)) == (11, 300 * 301 // 2)
    assert (len(errors), sum(errors)) == (11, 300 * 77 * 78 // 2)


@pytest.mark.parametrize("name", HOSTILE_NAMES.values(), ids=HOSTILE_NAMES)
def test_hostile_names_survive_both_formats(name: str) -> None:
    collector = SnapshotCollector(Runs(hostile(name)))
    text = encode_text(collector).decode()
    found = series(parse_text(text))
    openmetrics = openmetrics_text(collector)  # type: ignore[no-untyped-call]
    assert found == series(parse_openmetrics(openmetrics.decode()))  # type: ignore[no-untyped-call]
    assert value(found, "function_calls_total", function=label(name), module=label(name)) == 15
    assert all(line.isprintable() for line in text.split("\n"))
    assert max(len(part) for _, labels in found for _, part in labels) <= 213


LABEL_CASES = {
    "plain": ("main", "main"),
    "other": ("(other)", "(other)#fea5267d7f4b"),
    "escape": ("\x1b[2J", "\\x1b[2J"),
    "long": ("x" * 201, "x" * 187 + "#84a0678c9093"),
}


@pytest.mark.parametrize(("name", "shown"), LABEL_CASES.values(), ids=LABEL_CASES)
def test_label(name: str, shown: str) -> None:
    assert label(name) == shown


def test_function_named_other_is_not_the_other() -> None:
    liar = snapshot(functions=(FunctionStats(0, "(other)", "(other)", 5),))
    calls = calls_by_function(scrape(SnapshotCollector(Runs(liar))))
    assert calls == {label("(other)"): 5, "(other)": 0}


def test_registering_is_not_a_scrape() -> None:
    reads: list[int] = []

    def read() -> list[Snapshot]:
        reads.append(1)
        return [snapshot()]

    collector = SnapshotCollector(read)
    CollectorRegistry(auto_describe=True).register(collector)
    assert reads == []
    assert [each.name for each in collector.describe()] == [each.name for each in collector.collect()]


def test_scrapes_and_ends_at_once_lose_nothing() -> None:
    runs = Runs()
    collector = SnapshotCollector(runs, top=4)

    def end_one(at: int) -> list[tuple[float, float]]:
        collector.retire(many(50, factor=at % 3))
        calls = calls_by_function(scrape(collector))
        return [(sum(calls.values()), len(calls))]

    with ThreadPoolExecutor(8) as pool:
        results = [each for rows in pool.map(end_one, range(200)) for each in rows]
    factors = sum(at % 3 for at in range(200))
    assert sum(calls_by_function(scrape(collector)).values()) == factors * 50 * 51 // 2
    assert max(size for _, size in results) <= 5


def documented(name: str) -> bool:
    return f"| `{name}` |" in DOCUMENT


FAMILIES = [
    *COUNTERS.values(),
    *GAUGES.values(),
    *(replace(each, name=each.name + "_info") for each in INFOS.values()),
]


@pytest.mark.parametrize("family", FAMILIES, ids=[each.name for each in FAMILIES])
def test_metric_is_documented(family: Family) -> None:
    row = f"| `{family.name}` | {', '.join(f'`{each}`' for each in family.labels)} |"
    assert row in DOCUMENT


def test_documented_metrics_exist() -> None:
    exported = {each.name for each in FAMILIES} | {"wasmtrace_build_info"}
    assert set(re.findall(r"wasmtrace_[a-z_]+", DOCUMENT)) == exported


def test_names_follow_the_rules() -> None:
    assert all(re.fullmatch(r"wasmtrace_[a-z_]+_total", each.name) for each in COUNTERS.values())
    assert not any(each.name.endswith(("_total", "_count", "_sum", "_bucket")) for each in GAUGES.values())


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_is_content() -> None:
    text = encode_text(SnapshotCollector(Runs(snapshot(), trapped())))
    checked = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, check=False)
    assert (checked.returncode, checked.stdout, checked.stderr) == (0, b"", b"")


def test_cost_of_cached_start_is_its_parts() -> None:
    found = scrape(SnapshotCollector(Runs(snapshot(cost=COST))))
    phases = [number for (name, _), number in found.items() if name == "wasmtrace_startup_seconds_total"]
    assert sum(phases) == pytest.approx(COST.startup_seconds)
