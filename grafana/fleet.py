"""Fleet: every app on one page. Who is ill, and what does each cost?"""

from __future__ import annotations

from wasmtrace.grafana.board import FLEET_UID, Board
from wasmtrace.grafana.panels import Column, Graph, Number, Offenders, Query, Row, Table

_NOW = Row(
    "Now",
    (
        Number(
            "Anomalies",
            "none",
            Query("count(wasmtrace_anomaly_active{{self}} == 1) or vector(0)"),
            "Loops, hangs and memory growth that are going on.",
            red=1,
        ),
        Number(
            "Targets down",
            "none",
            Query('count(up{job=~"wasmtrace.*",instance=~"$instance"} == 0) or vector(0)'),
            "Instances that Prometheus cannot scrape.",
            red=1,
        ),
        Number(
            "Runs that failed",
            "none",
            Query(
                'round(sum(increase(wasmtrace_runs_total{outcome=~"trapped|failed|timed_out",{self}}[$__range]))) '
                "or vector(0)"
            ),
            "Trapped, timed out or failed, in the time shown.",
            orange=1,
            red=10,
        ),
        Number("Apps", "none", Query("count(count by (module) (wasmtrace_module_info{{self}}))"), "Modules that run."),
        Number("Runs in progress", "none", Query("sum(wasmtrace_runs_active{{self}})"), "In all instances."),
        Number("CPU", "none", Query("sum(rate(wasmtrace_run_cpu_seconds_total{{self}}[$__rate_interval]))"), "Cores."),
    ),
)
_APPS = Row(
    "Apps",
    (
        Table(
            "Apps: click one to open it",
            (("module", "App"),),
            (
                Column(
                    "Anomalies", "none", Query("sum by (module) (wasmtrace_anomaly_active{{self}} == bool 1)"), red=1
                ),
                Column("Runs", "none", Query("sum by (module) (wasmtrace_runs_active{{self}})")),
                Column(
                    "Failed",
                    "none",
                    Query(
                        "round(sum by (module) (increase("
                        'wasmtrace_runs_total{outcome=~"trapped|failed|timed_out",{self}}[$__range])))'
                    ),
                    orange=1,
                    red=10,
                ),
                Column(
                    "Oldest call",
                    "s",
                    Query("max by (module) (wasmtrace_open_call_age_seconds{{self}})"),
                ),
                Column(
                    "Calls",
                    "cps",
                    Query("sum by (module) (rate(wasmtrace_function_calls_total{{self}}[$__rate_interval]))"),
                ),
                Column(
                    "Host errors",
                    "cps",
                    Query("sum by (module) (rate(wasmtrace_host_call_errors_total{{self}}[$__rate_interval]))"),
                ),
                Column(
                    "CPU",
                    "percentunit",
                    Query("sum by (module) (rate(wasmtrace_run_cpu_seconds_total{{self}}[$__rate_interval]))"),
                ),
                Column("Memory", "bytes", Query("sum by (module) (wasmtrace_memory_bytes{{self}})")),
                Column(
                    "Of its limit",
                    "percentunit",
                    Query("max by (module) (wasmtrace_memory_bytes{{self}} / (wasmtrace_memory_limit_bytes > 0))"),
                    orange=0.75,
                    red=0.9,
                ),
            ),
            "One line an app, all its instances together.",
            sort_by="Anomalies",
        ),
    ),
)
_OFFENDERS = Row(
    "Who it is",
    (
        Offenders(
            "Anomalies now",
            "cps",
            Query(
                "topk(10, max by (module, function, kind) (wasmtrace_anomaly_rate{{self}} and "
                "(wasmtrace_anomaly_active == 1)))",
                "{{kind}}: {{function}} ({{module}})",
            ),
            "Calls a second (pages a second for growth) of each function that is going wild.",
        ),
        Offenders(
            "Most time",
            "percentunit",
            Query(
                "topk(10, sum by (module, function) (rate(wasmtrace_function_self_seconds_total{{self}}"
                "[$__rate_interval])) > 0)",
                "{{function}} ({{module}})",
            ),
            "Functions by the time in which they were the innermost; 100 % is one run doing nothing else.",
        ),
        Offenders(
            "Failing host calls",
            "cps",
            Query(
                "topk(10, sum by (module, function, errno) (rate(wasmtrace_host_call_errors_total{{self}}"
                "[$__rate_interval])) > 0)",
                "{{function}} {{errno}} ({{module}})",
            ),
            "Host calls that return an error, by errno.",
        ),
        Offenders(
            "Memory grown",
            "none",
            Query(
                "topk(10, sum by (module, function) (increase(wasmtrace_function_grown_pages_total{{self}}"
                "[$__range])) > 0)",
                "{{function}} ({{module}})",
            ),
            "Pages by which functions grew memory, in the time shown.",
        ),
    ),
)


def _graph(title: str, unit: str, expression: str, description: str, *, stacked: bool = False) -> Graph:
    return Graph(title, unit, (Query(expression, "{{module}}"),), description, stacked=stacked, to_app=True)


_TRENDS = Row(
    "Trends",
    (
        Graph(
            "Anomalies",
            "none",
            (
                Query(
                    "sum by (module, kind, function) (wasmtrace_anomaly_active{{self}} == 1)",
                    "{{kind}}: {{function}} ({{module}})",
                ),
            ),
            "What went wild when.",
            to_app=True,
        ),
        Graph(
            "Runs that ended",
            "cps",
            (
                Query(
                    "sum by (module, outcome) (rate(wasmtrace_runs_total{{self}}[$__rate_interval]))",
                    "{{outcome}} ({{module}})",
                ),
            ),
            "By how they ended.",
            to_app=True,
        ),
        _graph(
            "Calls",
            "cps",
            "sum by (module) (rate(wasmtrace_function_calls_total{{self}}[$__rate_interval]))",
            "Calls of functions inside the modules.",
        ),
        _graph(
            "Host calls that fail",
            "cps",
            "sum by (module) (rate(wasmtrace_host_call_errors_total{{self}}[$__rate_interval]))",
            "Calls of imports that returned an error.",
        ),
        _graph(
            "CPU",
            "percentunit",
            "sum by (module) (rate(wasmtrace_run_cpu_seconds_total{{self}}[$__rate_interval]))",
            "CPU of the guests alone; 100 % is one core.",
            stacked=True,
        ),
        _graph("Memory", "bytes", "sum by (module) (wasmtrace_memory_bytes{{self}})", "Linear memories.", stacked=True),
        _graph(
            "Fuel",
            "short",
            "sum by (module) (rate(wasmtrace_fuel_consumed_total{{self}}[$__rate_interval]))",
            "Fuel a second, live; of runs with a limit when they have ended.",
        ),
        _graph(
            "Oldest call",
            "s",
            "max by (module) (wasmtrace_open_call_age_seconds{{self}})",
            "Age of the oldest outermost call. A server's own loop is old by nature.",
        ),
    ),
)

FLEET = Board(
    FLEET_UID,
    "wasmtrace / Fleet",
    "All apps: what goes wild, who it is, and what each costs.",
    (_NOW, _APPS, _OFFENDERS, _TRENDS),
)
