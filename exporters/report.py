"""The report of `--report`: one run as JSON, for programs.

`encode` gives the bytes, `report.schema.json` says what they are, `docs/report.md` says what they
mean. A field is only ever added; one that changes its meaning or goes away changes `SCHEMA_VERSION`.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from wasmtrace.exporters.text import valid_unicode
from wasmtrace.records import (
    Anomaly,
    FunctionName,
    FunctionStats,
    HostCallStats,
    MemoryStats,
    ModuleInfo,
    OpenCall,
    RuntimeCost,
    Snapshot,
    StackEntry,
    Trap,
    Uninstrumented,
)

SCHEMA_VERSION = 1


def encode(snapshot: Snapshot) -> bytes:
    """The report as JSON in ASCII, one line for each top-level field and each item of its lists."""
    fields = (f"  {json.dumps(key)}: {_lines(value)}" for key, value in _report(snapshot).items())
    return ("{\n" + ",\n".join(fields) + "\n}\n").encode("ascii")


def _lines(value: Any) -> str:
    """A list with an item on each line, so that `grep` and `diff` are of use; anything else on one line."""
    if isinstance(value, list) and value:
        return "[\n    " + ",\n    ".join(_compact(each) for each in value) + "\n  ]"
    return _compact(value)


def _compact(value: Any) -> str:
    return json.dumps(value, allow_nan=False)


def _report(snapshot: Snapshot) -> dict[str, Any]:
    return {
        "schema_version": SCHEMA_VERSION,
        "module": _module(snapshot.module),
        "outcome": snapshot.outcome.value,
        "exit_code": snapshot.exit_code,
        "message": None if snapshot.message is None else valid_unicode(snapshot.message),
        "trap": None if snapshot.trap is None else _trap(snapshot.trap),
        "started": _rfc3339(snapshot.started_unix_ns),
        "wall_seconds": _seconds(snapshot.wall_seconds),
        "cpu_seconds": _seconds(snapshot.cpu_seconds),
        "slow_threshold_seconds": _seconds(snapshot.slow_threshold_seconds),
        "fuel": snapshot.fuel,
        "fuel_limit": snapshot.fuel_limit,
        "memories": [_memory(each) for each in snapshot.memories],
        "functions": [_function(each) for each in sorted(snapshot.functions, key=lambda each: each.index)],
        "host_calls": [_host_call(each) for each in sorted(snapshot.host_calls, key=lambda each: each.index)],
        "open_calls": [_open_call(each) for each in snapshot.open_calls],
        "anomalies": [_anomaly(each) for each in snapshot.anomalies],
        "dropped": snapshot.dropped,
        "uninstrumented": [_uninstrumented(each) for each in snapshot.uninstrumented],
        "cost": _cost(snapshot.cost),
    }


def _module(module: ModuleInfo) -> dict[str, Any]:
    return {
        "name": valid_unicode(module.name),
        "sha256": module.sha256,
        "size": module.size_bytes,
        "level": module.level.value,
        "instrumented_size": module.instrumented_bytes,
        "function_count": module.function_count,
    }


def _trap(trap: Trap) -> dict[str, Any]:
    return {
        "code": valid_unicode(trap.code),
        "message": valid_unicode(trap.message),
        "stack": [_stack_entry(each) for each in trap.stack],
    }


def _stack_entry(entry: StackEntry) -> dict[str, Any]:
    return {
        "function": valid_unicode(entry.function.name),
        "raw_name": valid_unicode(entry.function.raw_name),
        "index": entry.function.index,
        "offset": entry.offset,
    }


def _open_call(call: OpenCall) -> dict[str, Any]:
    return {
        "function": valid_unicode(call.function.name),
        "raw_name": valid_unicode(call.function.raw_name),
        "index": call.function.index,
        "host": call.host,
        "start_seconds": _seconds(call.start_us / 1e6),
        "open_seconds": _seconds(call.open_seconds),
    }


def _anomaly(anomaly: Anomaly) -> dict[str, Any]:
    return {
        "number": anomaly.number,
        "kind": anomaly.kind.value,
        "message": valid_unicode(anomaly.message),
        **_function_name(anomaly.function),
        "host": anomaly.host,
        "rate": _seconds(anomaly.rate),
        "peak_rate": _seconds(anomaly.peak_rate),
        "threshold": _seconds(anomaly.threshold),
        "started_seconds": _seconds(anomaly.started_us / 1e6),
        "ended_seconds": None if anomaly.ended_us is None else _seconds(anomaly.ended_us / 1e6),
        "also": [_function_name(each) for each in anomaly.also],
        "stack": [_open_call(each) for each in anomaly.stack],
    }


def _function_name(function: FunctionName) -> dict[str, Any]:
    return {
        "function": valid_unicode(function.name),
        "raw_name": valid_unicode(function.raw_name),
        "index": function.index,
    }


def _memory(memory: MemoryStats) -> dict[str, Any]:
    return {
        "index": memory.index,
        "pages": memory.pages,
        "peak_pages": memory.peak_pages,
        "page_bytes": memory.page_bytes,
        "limit_pages": memory.limit_pages,
    }


def _function(function: FunctionStats) -> dict[str, Any]:
    return {
        "index": function.index,
        "name": valid_unicode(function.name),
        "raw_name": valid_unicode(function.raw_name),
        "calls": function.calls,
        "slow_calls": function.slow_calls,
        "slow_seconds": _seconds(function.slow_seconds),
        "slowest_seconds": _seconds(function.slowest_seconds),
        "self_seconds": _seconds(function.self_seconds),
        "grown_pages": function.grown_pages,
        "failed_grows": function.failed_grows,
        "fuel": function.fuel,
    }


def _host_call(call: HostCallStats) -> dict[str, Any]:
    return {
        "index": call.index,
        "module": valid_unicode(call.module),
        "name": valid_unicode(call.name),
        "calls": call.calls,
        "slow_calls": call.slow_calls,
        "slow_seconds": _seconds(call.slow_seconds),
        "slowest_seconds": _seconds(call.slowest_seconds),
        "self_seconds": _seconds(call.self_seconds),
        "errors": {valid_unicode(name): count for name, count in sorted(call.errors.items())},
    }


def _uninstrumented(gap: Uninstrumented) -> dict[str, Any]:
    return {"index": gap.index, "name": valid_unicode(gap.name), "reason": valid_unicode(gap.reason)}


def _cost(cost: RuntimeCost) -> dict[str, Any]:
    return {
        "instrument_seconds": _seconds(cost.instrument_seconds),
        "instrument_cached": cost.instrument_cached,
        "compile_seconds": _seconds(cost.compile_seconds),
        "instantiate_seconds": _seconds(cost.instantiate_seconds),
        "startup_seconds": _seconds(cost.startup_seconds),
        "reader_cpu_seconds": _seconds(cost.reader_cpu_seconds),
        "telemetry_bytes": cost.telemetry_bytes,
        "clock_ticks": cost.clock_ticks,
        "clock_late_max_seconds": _seconds(cost.clock_late_max_seconds),
        "records_read": cost.records_read,
    }


def _seconds(value: float) -> float:
    """To the nanosecond: no clock here is better, and 0.1 + 0.2 reads as 0.3."""
    return round(value, 9)


def _rfc3339(unix_ns: int) -> str:
    seconds, nanoseconds = divmod(unix_ns, 1_000_000_000)
    moment = datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{moment}.{nanoseconds // 1000:06d}Z"
