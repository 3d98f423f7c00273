"""Hand-made snapshots: one of a normal program, one that is as empty as can be, and how to change them."""

from __future__ import annotations

from wasmtrace.records import (
    FunctionName,
    FunctionStats,
    HostCallStats,
    Level,
    MemoryStats,
    ModuleInfo,
    OpenCall,
    Outcome,
    RuntimeCost,
    Snapshot,
    StackEntry,
    Trap,
    Uninstrumented,
)

HOSTILE_NAMES = {
    "escape": "\x1b[31mred\x1b[0m",
    "c1-csi": "\x9b2J",
    "title": "\x1b]0;owned\x07",
    "line-ends": "a\nb\r\nc\u2028d\x85e",
    "bidi": "user\u202eexe.fdp\u2066",
    "surrogate": "bad\udc80\ud800name",
    "nul": "a\0b",
    "markup": "[bold red]x[/] [link=http://x]y[/link]",
    "quotes": 'a"b\\c\'{}="',
    "invisible": "a\u200bb\u00adc\ufeffd",
    "other": "(other)",
    "empty": "",
    "long": "x" * 5000,
    "wide": "\u6f22\u5b57" * 100,
    "comment": "# HELP wasmtrace_runs_total fake",
}

COST = RuntimeCost(
    instrument_seconds=0.012,
    instrument_cached=True,
    compile_seconds=0.025,
    instantiate_seconds=0.0001,
    startup_seconds=0.041,
    reader_cpu_seconds=0.005,
    telemetry_bytes=1_310_720,
    clock_ticks=1230,
    clock_late_max_seconds=0.0023,
    records_read=57,
)
NO_COST = RuntimeCost(0.0, False, 0.0, 0.0, 0.0, 0.0, 0, 0, 0.0, 0)


def snapshot(**changes: object) -> Snapshot:
    """A program that did a bit of everything and returned 0."""
    fields: dict[str, object] = {
        "module": module(),
        "outcome": Outcome.EXITED,
        "exit_code": 0,
        "trap": None,
        "message": None,
        "started_unix_ns": 1_767_323_045_123_456_789,
        "now_us": 1_230_000,
        "wall_seconds": 1.23,
        "cpu_seconds": 1.21,
        "fuel": 1_230_000_000,
        "fuel_limit": 10_000_000_000,
        "memories": (MemoryStats(0, 60, 67, 65536, 1024),),
        "functions": (
            FunctionStats(5, "main", "main", 1, 1, 1.23, 1.23, 0.03, 0, 0, 30_000),
            FunctionStats(6, "fib", "_Z3fibi", 1_000_000, 3, 0.5, 0.25, 0.9, 0, 0, 1_000_000_000),
            FunctionStats(7, "dlmalloc", "dlmalloc", 999, 0, 0.0, 0.0, 0.0, 50, 2, 199_970_000),
        ),
        "host_calls": (
            HostCallStats(0, "wasi_snapshot_preview1", "fd_write", 120, 4, 0.2, 0.11, 0.25, {"badf": 2, "io": 1}),
            HostCallStats(1, "wasi_snapshot_preview1", "clock_time_get", 3),
        ),
        "open_calls": (),
        "dropped": 0,
        "slow_threshold_seconds": 0.001,
        "uninstrumented": (Uninstrumented(9, "huge", "body is larger than the engine takes"),),
        "cost": COST,
    }
    return Snapshot(**(fields | changes))  # type: ignore[arg-type]


def module(name: str = "app.wasm", *, sha256: str = "ab" * 32, function_count: int = 10) -> ModuleInfo:
    return ModuleInfo(name, sha256, 5_000_000, 5_600_000, Level.TRACE, function_count)


def empty_snapshot(**changes: object) -> Snapshot:
    """A run that has not done anything yet."""
    fields: dict[str, object] = {
        "outcome": Outcome.RUNNING,
        "exit_code": None,
        "now_us": 0,
        "wall_seconds": 0.0,
        "cpu_seconds": 0.0,
        "fuel": None,
        "fuel_limit": None,
        "memories": (),
        "functions": (),
        "host_calls": (),
        "uninstrumented": (),
        "cost": NO_COST,
    }
    return snapshot(**(fields | changes))


def trapped(depth: int = 3, **changes: object) -> Snapshot:
    """A guest that hit `unreachable` with `depth` functions on its stack."""
    stack = tuple(StackEntry(function_name(f"level_{at}", at), 0x100 + at) for at in range(depth))
    trap = Trap("unreachable", "wasm `unreachable` instruction executed", stack)
    return snapshot(**({"outcome": Outcome.TRAPPED, "exit_code": 134, "trap": trap} | changes))


def hanging() -> Snapshot:
    """A guest that was stopped while it waited for the host."""
    return snapshot(
        outcome=Outcome.TIMED_OUT,
        exit_code=124,
        message="timeout of 1 s reached",
        open_calls=(
            OpenCall(function_name("_start", 5), False, 0, 1.23),
            OpenCall(function_name("wait_for_input", 6), False, 200, 1.2298),
            OpenCall(function_name("poll_oneoff", 1), True, 250, 1.22975),
        ),
    )


def function_name(name: str, index: int) -> FunctionName:
    return FunctionName(index, name, f"_Z{name}")


def hostile(name: str) -> Snapshot:
    """A program whose every name and message is `name`."""
    function = FunctionName(6, name, name)
    return snapshot(
        module=module(name),
        outcome=Outcome.TRAPPED,
        trap=Trap(name, name, (StackEntry(function, 7), StackEntry(function, None))),
        message=name,
        functions=(FunctionStats(6, name, name, 10, 1, 0.5, 0.5, 0.5, 3, 1, 99), FunctionStats(7, name, name, 5)),
        host_calls=(HostCallStats(0, name, name, 3, 1, 0.1, 0.1, 0.1, {name: 1} if name else {}),),
        open_calls=(OpenCall(function, False, 0, 1.0),),
        uninstrumented=(Uninstrumented(6, name, name), Uninstrumented(None, name, name)),
    )
