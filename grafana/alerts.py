"""The alerts, once: `rules` writes them for Prometheus and for Grafana, tests hold them to their runbooks.

Every expression keeps the labels that say who is meant (`module`, `instance`, and `function` where there is one),
gives a value of 0 or more, and gives nothing while all is well.
"""

from __future__ import annotations

from dataclasses import dataclass

LOOPS = "call_rate|no_progress|baseline"

RECORDED = {
    "module:wasmtrace_function_calls:rate1m": (
        "sum by (job, instance, module) (rate(wasmtrace_function_calls_total[1m]))"
    ),
    "module:wasmtrace_host_calls:rate1m": "sum by (job, instance, module) (rate(wasmtrace_host_calls_total[1m]))",
    "module:wasmtrace_run_cpu:rate1m": "sum by (job, instance, module) (rate(wasmtrace_run_cpu_seconds_total[1m]))",
    "module:wasmtrace_runs_failed:increase10m": (
        'sum without (outcome) (increase(wasmtrace_runs_total{outcome=~"trapped|failed|timed_out"}[10m]))'
    ),
    "module:wasmtrace_memory_used:ratio": "wasmtrace_memory_bytes / (wasmtrace_memory_limit_bytes > 0)",
    "function:wasmtrace_host_call_failures:rate5m": 'rate(wasmtrace_host_call_errors_total{errno!="again"}[5m])',
}
"""Recording rules. An alert that names one is written out in full where there are none."""


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert. `{value}` in a text is its value; the rest is the templating that Prometheus and Grafana share."""

    name: str
    runbook: str
    """A page of `docs/runbooks/`, without `.md`."""
    severity: str
    """`critical` wakes somebody, `warning` waits for the morning."""
    expression: str
    for_seconds: int
    summary: str
    description: str
    fast: bool = False
    """Judged every five seconds."""


ALERTS = (
    Alert(
        "WasmtraceLoop",
        "loop",
        "critical",
        f'wasmtrace_anomaly_rate{{kind=~"{LOOPS}"}} and (wasmtrace_anomaly_active == 1)',
        0,
        "{{ $labels.function }} of {{ $labels.module }} loops: {{ {value} | humanize }} calls/s",
        "{{ $labels.function }} of {{ $labels.module }} on {{ $labels.instance }} "
        '{{ if eq $labels.kind "no_progress" }}makes {{ {value} | humanize }} host calls a second that get nowhere'
        "{{ else }}is called {{ {value} | humanize }} times a second, far more than it may be{{ end }}: probably a bad "
        "loop, such as a retry without a pause. The App dashboard shows which calls, and with which errors; "
        "wasmtrace's standard error has the stack. If it starves others, stop the run: "
        "--on-anomaly kill does so by itself.",
        fast=True,
    ),
    Alert(
        "WasmtraceHang",
        "hang",
        "critical",
        'wasmtrace_anomaly_active{kind="hang"} == 1',
        0,
        "{{ $labels.function }} of {{ $labels.module }} hangs",
        "The same call of {{ $labels.function }} in {{ $labels.module }} on {{ $labels.instance }} is open, and "
        "nothing else is called. wasmtrace's standard error has the stack. It will not end by itself: stop the run "
        "(SIGTERM writes the report first) and start it again.",
        fast=True,
    ),
    Alert(
        "WasmtraceMemoryGrowth",
        "memory-growth",
        "warning",
        'wasmtrace_anomaly_rate{kind="growth"} and (wasmtrace_anomaly_active == 1)',
        0,
        "{{ $labels.function }} of {{ $labels.module }} grows memory without end",
        "{{ $labels.function }} of {{ $labels.module }} on {{ $labels.instance }} grows memory by "
        "{{ {value} | humanize }} pages a second, with no plateau in sight. Look at what it keeps; the App dashboard "
        "shows when the limit will be reached.",
        fast=True,
    ),
    Alert(
        "WasmtraceTargetDown",
        "target-down",
        "critical",
        '(up{job=~"wasmtrace.*"} == 0) * on (job, instance) group_right () '
        "max by (job, instance, module) (last_over_time(wasmtrace_module_info[1d]))\n"
        'or on (job, instance) (up{job=~"wasmtrace.*"} == 0)',
        60,
        "{{ $labels.module }} on {{ $labels.instance }} does not answer",
        "Prometheus has had no metrics of {{ $labels.instance }} (module {{ $labels.module }}) for a minute: the "
        "process has ended, or its host cannot be reached. See whether it still runs, and with which exit code it "
        "ended: 134 is a trap, 124 a timeout, 137 killed.",
        fast=True,
    ),
    Alert(
        "WasmtraceLoopsRepeat",
        "loops-repeat",
        "warning",
        f'increase(wasmtrace_anomalies_total{{kind=~"{LOOPS}"}}[15m]) > 2.5',
        0,
        "{{ $labels.function }} of {{ $labels.module }} went into a loop {{ {value} | printf `%.0f` }} times",
        "In the last 15 minutes {{ $labels.function }} of {{ $labels.module }} on {{ $labels.instance }} looped "
        "{{ {value} | printf `%.0f` }} times ({{ $labels.kind }}), each time for a while only. Something provokes "
        "it: see on the App dashboard what comes before each annotation.",
    ),
    Alert(
        "WasmtraceCrashLoop",
        "crash-loop",
        "critical",
        "module:wasmtrace_runs_failed:increase10m > 2.5",
        0,
        "{{ $labels.module }} failed {{ {value} | printf `%.0f` }} times in 10 minutes",
        "Runs of {{ $labels.module }} on {{ $labels.instance }} trap, time out or fail, "
        "{{ {value} | printf `%.0f` }} times in 10 minutes. The App dashboard shows the trap codes, the report of "
        "a run (--report) the function and its stack. If a new version brought it, go back.",
    ),
    Alert(
        "WasmtraceRestartLoop",
        "restart-loop",
        "critical",
        'sum without (phase) (changes(wasmtrace_startup_seconds_total{phase="instantiate"}[10m])) > 2\n'
        "unless on (job, instance, module) "
        'sum without (outcome) (max_over_time(wasmtrace_runs_total{outcome=~"returned|exited"}[10m])) > 0',
        0,
        "{{ $labels.module }} was started again {{ {value} | printf `%.0f` }} times in 10 minutes",
        "The process of {{ $labels.module }} on {{ $labels.instance }} was started again "
        "{{ {value} | printf `%.0f` }} times in 10 minutes and no run was seen to return: it crashes, or something "
        "kills it. See its exit codes and its last lines on standard error: a trap is reported there "
        "with function and stack.",
    ),
    Alert(
        "WasmtraceMemoryNearLimit",
        "memory-near-limit",
        "warning",
        "module:wasmtrace_memory_used:ratio > 0.9",
        60,
        "Memory {{ $labels.memory }} of {{ $labels.module }} is {{ {value} | humanizePercentage }} full",
        "Memory {{ $labels.memory }} of {{ $labels.module }} on {{ $labels.instance }} has reached "
        "{{ {value} | humanizePercentage }} of its limit. At the limit growth is refused, and most programs then trap. "
        "The App dashboard says which functions grew it. Raise --max-memory, or mend what keeps the memory.",
    ),
    Alert(
        "WasmtraceMemoryFullSoon",
        "memory-near-limit",
        "warning",
        "predict_linear(wasmtrace_memory_bytes[10m], 3600) / (wasmtrace_memory_limit_bytes > 0) > 1\n"
        "and module:wasmtrace_memory_used:ratio > 0.5",
        300,
        "Memory {{ $labels.memory }} of {{ $labels.module }} will be full within the hour",
        "If it goes on growing as in the last 10 minutes, memory {{ $labels.memory }} of {{ $labels.module }} on "
        "{{ $labels.instance }} reaches its limit within the hour. The App dashboard says which functions grew it.",
    ),
    Alert(
        "WasmtraceMemoryRefused",
        "memory-near-limit",
        "warning",
        "increase(wasmtrace_function_failed_grows_total[5m]) > 0\n"
        "or (wasmtrace_function_failed_grows_total unless wasmtrace_function_failed_grows_total offset 5m) > 0",
        0,
        "{{ $labels.function }} of {{ $labels.module }} was refused memory",
        "{{ $labels.function }} of {{ $labels.module }} on {{ $labels.instance }} asked for memory and was refused "
        "{{ {value} | printf `%.0f` }} times: the limit is reached. Raise --max-memory, or mend what keeps the memory.",
    ),
    Alert(
        "WasmtraceFuelNearLimit",
        "fuel-near-limit",
        "warning",
        "wasmtrace_fuel_consumed_total / (wasmtrace_fuel_limit > 0) > 0.9\n"
        "and on (job, instance, module) sum without (outcome) (wasmtrace_runs_total) <= 1\n"
        "or increase(wasmtrace_fuel_consumed_total[15m])\n"
        "  / on (job, instance, module) (sum without (outcome) (increase(wasmtrace_runs_total[15m])) > 0)\n"
        "  / on (job, instance, module) (wasmtrace_fuel_limit / clamp_min(wasmtrace_runs_active, 1)) > 0.9",
        0,
        "{{ $labels.module }} uses {{ {value} | humanizePercentage }} of its fuel",
        "A run of {{ $labels.module }} on {{ $labels.instance }} used {{ {value} | humanizePercentage }} of the fuel "
        "it may use; one that needs a little more will trap with out_of_fuel. See whether its work or its code grew, "
        "then raise --fuel or mend it.",
    ),
    Alert(
        "WasmtraceHostErrors",
        "host-errors",
        "warning",
        "function:wasmtrace_host_call_failures:rate5m\n"
        "  / on (job, instance, module, namespace, function) group_left () rate(wasmtrace_host_calls_total[5m])"
        " > 0.25\n"
        "and function:wasmtrace_host_call_failures:rate5m > 1",
        120,
        "{{ $labels.function }} fails for {{ $labels.module }}: {{ $labels.errno }}",
        "{{ {value} | humanizePercentage }} of the calls of {{ $labels.namespace }}.{{ $labels.function }} by "
        "{{ $labels.module }} on {{ $labels.instance }} fail with {{ $labels.errno }}. noent: a file is missing; badf "
        "or notcapable: a directory was not given to it (--dir); io or nospc: look at the disk.",
    ),
    Alert(
        "WasmtraceTelemetryDropped",
        "telemetry-dropped",
        "warning",
        "increase(wasmtrace_dropped_records_total[5m]) > 0",
        0,
        "{{ {value} | printf `%.0f` }} records of {{ $labels.module }} were lost",
        "Within 5 minutes {{ {value} | printf `%.0f` }} records of slow calls or memory growth of "
        "{{ $labels.module }} on {{ $labels.instance }} were lost. Counts are still exact, "
        "times of slow calls are too low. Raise --slow.",
    ),
    Alert(
        "WasmtraceClockLate",
        "clock-late",
        "warning",
        "wasmtrace_clock_late_max_seconds > 0.25 and changes(wasmtrace_clock_late_max_seconds[10m]) > 0",
        0,
        "The clock of {{ $labels.module }} stood still for {{ {value} | humanizeDuration }}",
        "The clock that times the calls of {{ $labels.module }} on {{ $labels.instance }} stood still for "
        "{{ {value} | humanizeDuration }}: no time is more exact than that. The host is short of CPU: see its load and "
        "the process's CPU limit.",
    ),
)
