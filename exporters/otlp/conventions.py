"""Names of the attributes and events of spans, with what each says: `docs/semantic-conventions.md` has the same table.

Names without `wasm.` are OpenTelemetry's own semantic conventions.
"""

from __future__ import annotations

FUNCTION_NAME = "code.function.name"
EXIT_CODE = "process.exit.code"
EXECUTABLE_NAME = "process.executable.name"
ERROR_TYPE = "error.type"
EXCEPTION = "exception"
EXCEPTION_TYPE = "exception.type"
EXCEPTION_MESSAGE = "exception.message"
EXCEPTION_STACKTRACE = "exception.stacktrace"

MODULE_NAME = "wasm.module.name"
MODULE_SHA256 = "wasm.module.sha256"
MODULE_SIZE = "wasm.module.size"
LEVEL = "wasm.level"
EXPORT = "wasm.export.name"
OUTCOME = "wasm.outcome"
TRAP_CODE = "wasm.trap.code"
FUEL = "wasm.fuel.consumed"
FUEL_LIMIT = "wasm.fuel.limit"
MEMORY_PAGES = "wasm.memory.pages"
STARTUP = "wasm.startup.seconds"
CLOCK_RESOLUTION = "wasm.clock.resolution_us"
CLOCK_LATE = "wasm.clock.late_max_us"
RECORDS_DROPPED = "wasm.records.dropped"
CALLS_LEFT_OUT = "wasm.calls.left_out"
EVENTS_LEFT_OUT = "wasm.events.left_out"

FUNCTION_INDEX = "wasm.function.index"
FUNCTION_RAW_NAME = "wasm.function.raw_name"
CALL_HOST = "wasm.call.host"
CALL_DEPTH = "wasm.call.depth"
ELIDED_DEPTH = "wasm.call.elided_depth"
CALL_UNFINISHED = "wasm.call.unfinished"
END_ESTIMATED = "wasm.call.end_estimated"
STILL_OPEN = "wasm.call.still_open"
OPEN_OMITTED = "wasm.call.open_omitted"
ERRNO = "wasm.host_call.errno"

THRESHOLD_CHANGED = "wasm.slow_threshold.changed"
THRESHOLD_FROM = "wasm.slow_threshold.from_us"
THRESHOLD_TO = "wasm.slow_threshold.to_us"
MEMORY_GREW = "wasm.memory.grew"
MEMORY_INDEX = "wasm.memory.index"
MEMORY_DELTA = "wasm.memory.delta_pages"
MEMORY_REFUSED = "wasm.memory.refused"

ROOT_ATTRIBUTES = {
    MODULE_NAME: "the module's name, from its file",
    MODULE_SHA256: "SHA-256 of the module as it came, hexadecimal",
    MODULE_SIZE: "bytes of the module as it came",
    LEVEL: "how much is put into the module: `calls` or `trace`",
    EXPORT: "the exported function that the host called; on a trace of one call",
    EXECUTABLE_NAME: "the same as `wasm.module.name`: what the run executes",
    EXIT_CODE: "what the process exits with for the guest, if that is known",
    ERROR_TYPE: "how it failed: the trap's code, `exited`, `timed_out`, `interrupted` or `failed`",
    OUTCOME: "`returned`, `exited`, `trapped`, `timed_out`, `interrupted` or `failed`",
    TRAP_CODE: "one word for the trap, such as `unreachable` or `out_of_fuel`",
    FUEL: "fuel consumed, as the engine counts it, from inside the guest; by default exact",
    FUEL_LIMIT: "the most fuel that it may consume",
    MEMORY_PAGES: "pages of memory 0 at the end",
    STARTUP: "seconds from loading to the guest's first instruction",
    CLOCK_RESOLUTION: "the guest's clock ticks about so often, in µs: starts are up to a tick early, ends too",
    CLOCK_LATE: "the longest time between two ticks of the clock, in µs",
    RECORDS_DROPPED: "slow calls that the ring in the guest had no room for",
    CALLS_LEFT_OUT: "calls that, because of `--span-budget`, are no spans: recorded slow ones, and traced ones",
    EVENTS_LEFT_OUT: "span events of the root that there were too many of",
}

CALL_ATTRIBUTES = {
    FUNCTION_NAME: "the function, demangled; an import is `module.name`",
    FUNCTION_INDEX: "its index in the module, imports first",
    FUNCTION_RAW_NAME: "the module's own name for it, if that differs",
    CALL_HOST: "true for a call of an import",
    CALL_DEPTH: "calls with a frame that were open around it; 0 is called by the host",
    ELIDED_DEPTH: "calls between this one and the parent span that have no span; left out if 0",
    ERRNO: "the WASI errno that a host call returned; left out for success",
    ERROR_TYPE: "the errno's name, such as `noent`; how the run ended, for a call that it left open",
    CALL_UNFINISHED: "true if the call was open when the run ended",
    END_ESTIMATED: "true if the end was not recorded: the call ended at the latest then",
    STILL_OPEN: "true for a marker: the call was open then, and has a span of its own as soon as it ends",
    OPEN_OMITTED: "how many open calls deeper than this one have no span",
}

EVENTS = {
    EXCEPTION: "a trap, a limit, an exit with an error, or a kill; on the root and on the innermost open call",
    THRESHOLD_CHANGED: "`--span-budget` has moved the slow threshold; on the root",
    MEMORY_GREW: "a `memory.grow`, done or refused; on the root, the first 60",
}

EVENT_ATTRIBUTES = {
    EXCEPTION_TYPE: "the trap's code or the outcome",
    EXCEPTION_MESSAGE: "what the engine or the limit says",
    EXCEPTION_STACKTRACE: "the guest's stack, innermost first, with offsets in the module as it came",
    THRESHOLD_FROM: "in µs",
    THRESHOLD_TO: "in µs",
    FUNCTION_NAME: "the function that grew it, demangled",
    FUNCTION_INDEX: "its index in the module",
    MEMORY_INDEX: "which memory",
    MEMORY_DELTA: "pages asked for",
    MEMORY_REFUSED: "true if it got none",
    MEMORY_PAGES: "pages of the memory when the event was read, at most some 20 ms later",
}
