"""How fast modules are rewritten, and how much memory it takes, for every real program and a hostile module.

Each program is rewritten in a process of its own: its peak memory is what Linux says, less what the process
held before it read the module.
"""

from __future__ import annotations

import ctypes
import json
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from publish import publish_tables
from subjects import Program, Row, arguments, chosen, geometric_mean, publish, real_subjects
from tables import of_rows

MEGABYTE = 1_000_000
HOSTILE_FUNCTIONS = 20_000
HOSTILE_SITES = 60


def leb128(value: int) -> bytes:
    """`value` as an unsigned LEB128."""
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def vector(items: list[bytes]) -> bytes:
    return leb128(len(items)) + b"".join(items)


def section(kind: int, content: bytes) -> bytes:
    return bytes([kind]) + leb128(len(content)) + content


def hostile_module() -> bytes:
    """A valid module of nothing but what the rewriter stops at: host calls, grows, returns, branches."""
    site = (
        b"\x10\x00"  # call 0
        b"\x41\x00\x40\x00\x1a"  # i32.const 0, memory.grow 0, drop
        b"\x41\x00\x04\x40\x0f\x0b"  # i32.const 0, if, return, end
        b"\x41\x00\x0d\x00"  # i32.const 0, br_if 0
    )
    code = b"\x00" + site * HOSTILE_SITES + b"\x0b"
    body = leb128(len(code)) + code
    return (
        b"\0asm\1\0\0\0"
        + section(1, vector([b"\x60\x00\x00"]))
        + section(2, vector([b"\x01a\x01b\x00\x00"]))
        + section(3, vector([b"\x00"] * HOSTILE_FUNCTIONS))
        + section(5, vector([b"\x00\x01"]))
        + section(10, vector([body] * HOSTILE_FUNCTIONS))
    )


def peak_memory_bytes() -> int:
    """The most memory this process had resident. Not `ru_maxrss`: that begins with what the parent had."""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) * 1024


def rewrite(path: Path, level: str, rounds: int) -> None:
    """In the child: prints sizes, times and peak memory as JSON."""
    from wasmtrace.instrument import Options, instrument

    ctypes.CDLL(None).malloc_trim(0)  # what imports left free would hide as much of the rewriting
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_memory_bytes()
    wasm = path.read_bytes()
    seconds = []
    peak = 0
    for _ in range(rounds):
        start = time.perf_counter()
        made = instrument(wasm, Options(level=level))
        seconds.append(time.perf_counter() - start)
        # Later rounds would count what the first has not given back.
        peak = peak or peak_memory_bytes()
        size = len(made.wasm)
        del made
    print(json.dumps({"seconds": seconds, "peak_bytes": peak - before, "rewritten_bytes": size}))


def code_bytes(wasm: bytes) -> int:
    """Size of the code section."""
    position = 8
    while position < len(wasm):
        kind, shift, size = wasm[position], 0, 0
        while True:
            position += 1
            size |= (wasm[position] & 0x7F) << shift
            shift += 7
            if wasm[position] < 0x80:
                break
        position += 1 + size
        if kind == 10:
            return size
    return 0


def measure(name: str, path: Path, level: str, rounds: int) -> Row:
    command = [sys.executable, __file__, "--child", str(path), level, str(rounds)]
    found = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    wasm = path.read_bytes()
    seconds, code = median(found["seconds"]), code_bytes(wasm)
    return {
        "program": name,
        "level": level,
        "module MB": len(wasm) / MEGABYTE,
        "code MB": code / MEGABYTE,
        "seconds": seconds,
        "code MB/s": code / MEGABYTE / seconds,
        "peak x module": found["peak_bytes"] / len(wasm),
        "size x module": found["rewritten_bytes"] / len(wasm),
    }


def measure_all(programs: list[Program], rounds: int, *, hostile: bool) -> list[Row]:
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        paths = [(program.name, program.path) for program in programs]
        if hostile:
            made = Path(folder) / "hostile.wasm"
            made.write_bytes(hostile_module())
            paths.append(("(hostile)", made))
        for name, path in paths:
            for level in ("calls", "trace"):
                rows.append(measure(name, path, level, rounds))
    return rows


def main() -> None:
    if sys.argv[1:2] == ["--child"]:
        rewrite(Path(sys.argv[2]), sys.argv[3], int(sys.argv[4]))
        return
    parser = arguments("speed and memory of rewriting", rounds=5)
    parser.add_argument("--publish", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    programs = chosen(real_subjects(large=not options.quick or bool(options.only)), options.only)
    rows = measure_all(programs, 1 if options.quick else options.rounds, hostile=not options.only)
    trace = [row for row in rows if row["level"] == "trace" and row["program"] != "(hostile)"]
    summary: Row = {
        "trace, code MB/s, geometric mean": geometric_mean(float(row["code MB/s"]) for row in trace),
        "trace, code MB/s, worst": min(float(row["code MB/s"]) for row in trace),
        "trace, peak x module, worst": max(float(row["peak x module"]) for row in trace),
    }
    publish("rewriting", rows, summary, options.json)
    if options.publish:
        publish_tables({"rewriting": of_rows(rows, 2)})


if __name__ == "__main__":
    main()
