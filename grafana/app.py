"""App: one module at three in the morning. What goes wild, since when, who calls it, what does it cost?"""

from __future__ import annotations

from wasmtrace.grafana.board import APP_UID, Board
from wasmtrace.grafana.panels import Column, Graph, Number, Offenders, Query, Row, Table

_RATE = "[$__rate_interval]"


def _top(metric: str, labels: str, legend: str, *, most: int = 10) -> Query:
    return Query(f"topk({most}, sum by (module, {labels}) (rate({metric}{{{{self}}}}{_RATE})) > 0)", legend)


_ILL = Row(
    "What is wrong now",
    (
        Number(
            "Anomalies",
            "none",
            Query("count(wasmtrace_anomaly_active{{self}} == 1) or vector(0)"),
            "Loops, hangs and memory growth that are going on. The list beside says which function.",
            red=1,
            width=3,
        ),
        Table(
            "Anomalies of the last hour: newest state",
            (("kind", "Kind"), ("function", "Function"), ("instance", "Instance")),
            (
                Column(
                    "Going on",
                    "bool_yes_no",
                    Query(
                        "max by (kind, function, instance) (last_over_time(wasmtrace_anomaly_active{{self}}[1h]) "
                        "and last_over_time(wasmtrace_anomalies_total[1h]) > 0)"
                    ),
                    red=1,
                ),
                Column(
                    "Rate now",
                    "cps",
                    Query(
                        "max by (kind, function, instance) (wasmtrace_anomaly_rate{{self}} and "
                        "(wasmtrace_anomaly_active == 1))"
                    ),
                ),
                Column(
                    "Times",
                    "none",
                    Query(
                        "max by (kind, function, instance) (last_over_time(wasmtrace_anomalies_total{{self}}[1h]) > 0)"
                    ),
                ),
            ),
            "call_rate: a watched function is called too often. no_progress: host calls that fail or get nowhere. "
            "baseline: far above its own usual rate. hang: one call open, nothing else happens. growth: memory without "
            "end (pages a second). The stack is on wasmtrace's standard error.",
            width=9,
            height=4,
            sort_by="Going on",
            no_value="none: nothing went wild",
        ),
        Number(
            "Failed runs",
            "none",
            Query(
                'round(sum(increase(wasmtrace_runs_total{outcome=~"trapped|failed|timed_out",{self}}[$__range])))'
                " or vector(0)"
            ),
            "Trapped, timed out or failed, in the time shown.",
            orange=1,
            red=10,
            width=3,
        ),
        Number(
            "Restarts",
            "none",
            Query(
                'sum(changes(wasmtrace_startup_seconds_total{phase="instantiate",{self}}[$__range]) '
                "unless on (job, instance, module) sum without (outcome) "
                '(max_over_time(wasmtrace_runs_total{outcome=~"returned|exited"}[$__range])) > 0) or vector(0)'
            ),
            "How often the process was started again, with no run that returned: a crash as seen from outside.",
            orange=1,
            red=3,
            width=3,
        ),
        Number(
            "Oldest call",
            "s",
            Query("max(wasmtrace_open_call_age_seconds{{self}})"),
            "How long the outermost call has been open. A server's own loop is old by nature.",
            width=3,
        ),
        Number(
            "Memory of its limit",
            "percentunit",
            Query("max(wasmtrace_memory_bytes{{self}} / (wasmtrace_memory_limit_bytes > 0))"),
            "The fullest linear memory.",
            orange=0.75,
            red=0.9,
            width=3,
            no_value="no limit",
        ),
    ),
)
_CALLS = Row(
    "Calls",
    (
        Graph(
            "Anomalies: calls (or pages) a second",
            "cps",
            (Query("wasmtrace_anomaly_rate{{self}} and (wasmtrace_anomaly_active == 1)", "{{kind}}: {{function}}"),),
            "The functions that went wild, while they did.",
            traces=True,
        ),
        Graph(
            "Host calls that fail, by errno",
            "cps",
            (_top("wasmtrace_host_call_errors_total", "function, errno", "{{function}} {{errno}}"),),
            "noent: a file is missing. badf, notcapable: no directory was given. again: nothing to read yet.",
            traces=True,
        ),
        Graph(
            "Calls by function",
            "cps",
            (_top("wasmtrace_function_calls_total", "function", "{{function}}"),),
            "The ten most called at each moment. Inside a module a hundred million a second is healthy: "
            "look for what changed.",
            traces=True,
        ),
        Graph(
            "Host calls",
            "cps",
            (_top("wasmtrace_host_calls_total", "function", "{{function}}"),),
            "What the guest asks of its host.",
            traces=True,
        ),
        Graph(
            "Share of host calls that fail",
            "percentunit",
            (
                Query(
                    "sum by (module, function) (rate(wasmtrace_host_call_errors_total{{self}}[$__rate_interval])) / "
                    "sum by (module, function) (rate(wasmtrace_host_calls_total{{self}}[$__rate_interval]) > 0)",
                    "{{function}}",
                ),
            ),
            "A retry without a pause shows as 100 %.",
            maximum=1,
        ),
        Graph(
            "Ten times more than a quarter of an hour ago",
            "cps",
            (
                Query(
                    "topk(10, (sum by (module, function) (rate(wasmtrace_function_calls_total{{self}}"
                    "[$__rate_interval])) > 100) > 10 * (sum by (module, function) "
                    "(rate(wasmtrace_function_calls_total{{self}}[$__rate_interval] offset 15m)) or "
                    "sum by (module, function) (wasmtrace_function_calls_total{{self}}) * 0))",
                    "{{function}}",
                ),
            ),
            "What changed: functions called ten times as often as 15 minutes before, and 100 times a second at least.",
        ),
    ),
)
_ENDS = Row(
    "Ends",
    (
        Graph(
            "Runs that ended",
            "cps",
            (
                Query(
                    "sum by (module, outcome) (rate(wasmtrace_runs_total{{self}}[$__rate_interval]))",
                    "{{outcome}}",
                ),
            ),
            "By how they ended.",
        ),
        Graph(
            "Traps",
            "none",
            (Query("sum by (module, code) (wasmtrace_traps_total{{self}})", "{{code}}"),),
            "Runs that a trap ended, by its code, since the process began. The report has function and stack.",
        ),
    ),
)
_TIME = Row(
    "Time",
    (
        Graph(
            "Where the time goes",
            "percentunit",
            (_top("wasmtrace_function_self_seconds_total", "function", "{{function}}"),),
            "Sampled: the share in which the function was the innermost one.",
            stacked=True,
            traces=True,
        ),
        Graph(
            "Waiting in host calls",
            "percentunit",
            (_top("wasmtrace_host_self_seconds_total", "function", "{{function}}"),),
            "The share of time in imports. poll_oneoff is the guest at rest.",
            stacked=True,
        ),
        Graph(
            "Slow calls",
            "cps",
            (
                _top("wasmtrace_function_slow_calls_total", "function", "{{function}}"),
                _top("wasmtrace_host_slow_calls_total", "function", "{{function}} (host)"),
            ),
            "Calls that took at least the slow threshold.",
            traces=True,
        ),
        Graph(
            "How long a slow call takes",
            "s",
            (
                Query(
                    "topk(10, sum by (module, function) (rate(wasmtrace_function_slow_seconds_total{{self}}"
                    "[$__rate_interval])) / (sum by (module, function) (rate(wasmtrace_function_slow_calls_total"
                    "{{self}}[$__rate_interval])) > 0))",
                    "{{function}}",
                ),
                Query(
                    "topk(10, sum by (module, function) (rate(wasmtrace_host_slow_seconds_total{{self}}"
                    "[$__rate_interval])) / (sum by (module, function) (rate(wasmtrace_host_slow_calls_total"
                    "{{self}}[$__rate_interval])) > 0))",
                    "{{function}} (host)",
                ),
            ),
            "On average, callees included.",
            traces=True,
            logarithmic=True,
        ),
        Graph(
            "Oldest call and run",
            "s",
            (
                Query("max by (module, instance) (wasmtrace_open_call_age_seconds{{self}})", "call on {{instance}}"),
                Query("max by (module, instance) (wasmtrace_run_age_seconds{{self}})", "run on {{instance}}"),
            ),
            "Ages. A call that should end and only grows older hangs.",
        ),
        Graph(
            "CPU",
            "percentunit",
            (
                Query(
                    "sum by (module, instance) (rate(wasmtrace_run_cpu_seconds_total{{self}}[$__rate_interval]))",
                    "{{instance}}",
                ),
                Query(
                    "sum by (module, instance) (rate(wasmtrace_run_wall_seconds_total{{self}}[$__rate_interval]))",
                    "runs on {{instance}}",
                ),
            ),
            "CPU of the guest alone (100 % is one core), and how many runs were in progress (100 % is one).",
        ),
    ),
)
_MEMORY = Row(
    "Memory and fuel",
    (
        Graph(
            "Memory",
            "bytes",
            (
                Query("sum by (module, memory) (wasmtrace_memory_bytes{{self}})", "memory {{memory}}"),
                Query("max by (module, memory) (wasmtrace_memory_peak_bytes{{self}})", "peak of one run {{memory}}"),
                Query("sum by (module, memory) (wasmtrace_memory_limit_bytes{{self}})", "limit {{memory}}"),
            ),
            "Linear memories, all instances together.",
        ),
        Graph(
            "Time until the limit",
            "s",
            (
                Query(
                    "min by (module, memory) ((wasmtrace_memory_limit_bytes{{self}} - wasmtrace_memory_bytes) / "
                    "(deriv(wasmtrace_memory_bytes[5m]) > 0))",
                    "memory {{memory}}",
                ),
            ),
            "If it goes on growing as in the last five minutes. Empty while nothing grows.",
        ),
        Offenders(
            "Who grew it",
            "none",
            Query(
                "topk(10, sum by (module, function) (increase(wasmtrace_function_grown_pages_total{{self}}"
                "[$__range])) > 0)",
                "{{function}}",
            ),
            "Pages, in the time shown.",
        ),
        Graph(
            "Growth by function",
            "none",
            (
                Query(
                    "topk(10, sum by (module, function) (wasmtrace_function_grown_pages_total{{self}}))", "{{function}}"
                ),
                Query(
                    "topk(10, sum by (module, function) (wasmtrace_function_failed_grows_total{{self}}))",
                    "{{function}} (refused, times)",
                ),
            ),
            "Pages since the process began, and how often growth was refused.",
        ),
        Graph(
            "Fuel of a run and its limit",
            "short",
            (
                Query("max by (module) (wasmtrace_fuel_consumed_total{{self}})", "consumed"),
                Query("max by (module) (wasmtrace_fuel_limit{{self}})", "limit"),
            ),
            "Consumed since the process began. With a limit it is the engine's count, told when a run has ended.",
        ),
        Graph(
            "Functions by fuel",
            "short",
            (_top("wasmtrace_function_fuel_total", "function", "{{function}}"),),
            "Instructions a second that each function executes itself: exact, live, the same on every machine. "
            "Where the work goes; what waits uses none.",
            stacked=True,
        ),
    ),
)

APP = Board(
    APP_UID,
    "wasmtrace / App",
    "One module: what goes wild, since when, who calls it and what it costs.",
    (_ILL, _CALLS, _TIME, _MEMORY, _ENDS),
    one_module=True,
)
