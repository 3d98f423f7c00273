"""Runtime: what wasmtrace itself costs, what it lost, and how exact its clock is."""

from __future__ import annotations

from wasmtrace.grafana.board import RUNTIME_UID, Board
from wasmtrace.grafana.panels import Column, Graph, Number, Query, Row, Table

_OURS = "and on (job, instance) wasmtrace_build_info"


def _graph(title: str, unit: str, expression: str, legend: str, description: str) -> Graph:
    return Graph(title, unit, (Query(expression, legend),), description)


_LOST = Row(
    "Can it be trusted?",
    (
        Number(
            "Records lost",
            "none",
            Query("round(sum(increase(wasmtrace_dropped_records_total{{self}}[$__range])))"),
            "Records of slow calls and memory growth that nobody read in time. Counts are never lost.",
            orange=1,
            red=1000,
            width=6,
        ),
        Number(
            "Clock late, at most",
            "s",
            Query("max(wasmtrace_clock_late_max_seconds{{self}})"),
            "The longest time between two ticks of the clock in any run: no duration is more exact than that.",
            orange=0.05,
            red=0.25,
            width=6,
        ),
        Number(
            "CPU of wasmtrace",
            "percentunit",
            Query("sum(rate(wasmtrace_reader_cpu_seconds_total{{self}}[$__rate_interval]))"),
            "The threads that keep the clock and read; 100 % is one core.",
            orange=0.1,
            red=0.5,
            width=6,
        ),
        Number(
            "Without probes",
            "none",
            Query("sum(wasmtrace_uninstrumented_functions{{self}})"),
            "What carries no probe, or not all of them. The report says why.",
            orange=1,
            width=6,
        ),
    ),
)
_COST = Row(
    "Cost",
    (
        _graph(
            "CPU of wasmtrace",
            "percentunit",
            "sum by (module, instance) (rate(wasmtrace_reader_cpu_seconds_total{{self}}[$__rate_interval]))",
            "{{module}} {{instance}}",
            "The threads that keep the clock and read the telemetry.",
        ),
        _graph(
            "Telemetry memory",
            "bytes",
            "sum by (module, instance) (wasmtrace_telemetry_bytes{{self}})",
            "{{module}} {{instance}}",
            "Counters, shadow stack and ring.",
        ),
        _graph(
            "Start, by phase",
            "s",
            "max by (module, phase) (wasmtrace_startup_seconds_total{{self}})",
            "{{phase}} ({{module}})",
            "From loading to the first instruction, summed over the starts of the process.",
        ),
        _graph(
            "Scrape",
            "s",
            f'scrape_duration_seconds{{instance=~"$instance"}} {_OURS}',
            "{{instance}}",
            "How long a scrape of /metrics takes.",
        ),
        _graph(
            "Series",
            "none",
            f'scrape_samples_scraped{{instance=~"$instance"}} {_OURS}',
            "{{instance}}",
            "Samples of each scrape: bounded for each module.",
        ),
        _graph(
            "Slow threshold",
            "s",
            "max by (module, instance) (wasmtrace_slow_threshold_seconds{{self}})",
            "{{module}} {{instance}}",
            "From how long on a call is slow (--slow).",
        ),
    ),
)
_EXACT = Row(
    "Records and clock",
    (
        _graph(
            "Records read",
            "cps",
            "sum by (module, instance) (rate(wasmtrace_records_read_total{{self}}[$__rate_interval]))",
            "{{module}} {{instance}}",
            "From the ring.",
        ),
        _graph(
            "Records lost",
            "cps",
            "sum by (module, instance) (rate(wasmtrace_dropped_records_total{{self}}[$__rate_interval]))",
            "{{module}} {{instance}}",
            "The ring was full.",
        ),
        _graph(
            "Clock ticks",
            "cps",
            "sum by (module, instance) (rate(wasmtrace_clock_ticks_total{{self}}[$__rate_interval]))",
            "{{module}} {{instance}}",
            "About a thousand a second while the guest works, fewer while it waits.",
        ),
        _graph(
            "Clock late, at most",
            "s",
            "max by (module, instance) (wasmtrace_clock_late_max_seconds{{self}})",
            "{{module}} {{instance}}",
            "The longest time between two ticks in any run so far.",
        ),
    ),
)
_VERSIONS = Row(
    "What runs",
    (
        Table(
            "Versions",
            (("instance", "Instance"), ("version", "wasmtrace"), ("python_version", "Python")),
            (
                Column(
                    "Processes",
                    "none",
                    Query('sum by (instance, version, python_version) (wasmtrace_build_info{instance=~"$instance"})'),
                ),
            ),
            "Of wasmtrace and Python.",
            width=12,
        ),
        Table(
            "Modules",
            (("module", "App"), ("instance", "Instance"), ("level", "Level"), ("sha256", "SHA-256")),
            (
                Column(
                    "Loaded", "none", Query("max by (module, instance, level, sha256) (wasmtrace_module_info{{self}})")
                ),
            ),
            "Which contents run under which name.",
            width=12,
        ),
    ),
)

RUNTIME = Board(
    RUNTIME_UID,
    "wasmtrace / Runtime",
    "What wasmtrace itself costs, what it lost, and how exact its clock is.",
    (_LOST, _COST, _EXACT, _VERSIONS),
)
