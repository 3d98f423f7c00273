"""How many instructions the rewritten programs execute, against plain wasmtime: the figure that no noise moves.

The programs run in this file's own process under valgrind's callgrind, which counts only between two requests that
the process makes: the guest's call, without Python's start and the compilation. Hardware counters (`perf`) are not
there in most virtual machines. Nothing ticks, so that two runs count the same. Where valgrind is not installed or the
processor is none that it knows the requests of here (x86-64), the results say so.
"""

from __future__ import annotations

import ctypes
import mmap
import platform
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from wasmtime import Module

from guests import Guest, engine_with
from machine import machine
from results import SCHEMA_VERSION, write
from subjects import Program, arguments, c_subjects, outside_programs, strip_debug
from tables import instructions
from variant_table import INSTRUCTION_VARIANTS
from variants import Variant
from wasmtrace.errors import WasmtraceError

DEFAULT_PATH = Path(__file__).parent.parent / "build" / "bench" / "instructions.json"
OUTSIDE = ("polybench/gramschmidt", "mibench/dijkstra_large", "mibench/bitcnts")
QUICK = ("fib", "sha256", "hashtable")

# valgrind.h and callgrind.h: the rotations add up to 128, so on a real processor the request does nothing.
_REQUEST_CODE = bytes.fromhex("4889f8 31d2 48c1c703 48c1c70d 48c1c73d 48c1c733 4887db 4889d0 c3")
_CALLGRIND = (ord("C") << 24) | (ord("T") << 16)
_DUMP_STATS_AT, _START, _STOP = _CALLGRIND + 3, _CALLGRIND + 4, _CALLGRIND + 5


class Requests:
    """What callgrind is asked for by the process that runs in it."""

    def __init__(self) -> None:
        self._page = mmap.mmap(-1, mmap.PAGESIZE, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC)
        self._page.write(_REQUEST_CODE)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._page))
        self._function = ctypes.CFUNCTYPE(ctypes.c_uint64, ctypes.c_void_p)(address)

    def send(self, request: int, argument: int = 0) -> None:
        self._function(ctypes.byref((ctypes.c_uint64 * 6)(request, argument)))

    @contextmanager
    def counting(self, name: str) -> Iterator[None]:
        """What runs within is counted, and written to a file under that name."""
        self.send(_START)
        try:
            yield
        finally:
            text = ctypes.create_string_buffer(name.encode())
            self.send(_DUMP_STATS_AT, ctypes.addressof(text))
            self.send(_STOP)


def subjects(names: list[str]) -> list[Program]:
    every = [*c_subjects(quick=True), *(each for each in outside_programs() if each.name in OUTSIDE)]
    return [each for each in every if not each.missing and (not names or each.name in names)]


def _run_once(program: Program, variant: Variant, module: Module, requests: Requests, name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        guest = Guest(program, engine_with(variant.limits), module, Path(folder), None, variant.limits)
        guest.initialize()
        with requests.counting(name):
            ended = guest.run()
        program.check(guest.finish(*ended))


def run_counted(names: list[str]) -> None:
    """In the child, under callgrind. The first run is left out: what is done once a process is not the guest's."""
    requests, warm = Requests(), False
    for program in subjects(names):
        wasm = strip_debug(program.path.read_bytes())
        for variant in INSTRUCTION_VARIANTS:
            module, _ = variant.compile(variant.rewrite(wasm)[0])
            if not warm:
                _run_once(program, variant, module, requests, "first")
                warm = True
            _run_once(program, variant, module, requests, f"{program.name} {variant.key}")


def counted_in(folder: Path) -> dict[str, dict[str, int]]:
    """By program and variant, from callgrind's files: their totals, as the summary is wrong after a stop."""
    found: dict[str, dict[str, int]] = {}
    for path in folder.glob("out.*"):
        text = path.read_text()
        trigger = re.search(r"^desc: Trigger: Client Request: (\S+) (\S+)$", text, re.MULTILINE)
        total = re.search(r"^totals: (\d+)$", text, re.MULTILINE)
        if trigger and total:
            found.setdefault(trigger[1], {})[trigger[2]] = int(total[1])
    return found


def count(names: list[str]) -> dict[str, dict[str, int]]:
    """Raises `WasmtraceError` with the reason where nothing can be counted."""
    valgrind = shutil.which("valgrind")
    if valgrind is None:
        raise WasmtraceError("valgrind is not installed")
    if platform.machine() != "x86_64":
        raise WasmtraceError(f"callgrind is asked by code for x86_64, and this is {platform.machine()}")
    with tempfile.TemporaryDirectory() as folder:
        options = ["--tool=callgrind", "--instr-atstart=no", "--smc-check=all-non-file"]
        options.append(f"--callgrind-out-file={folder}/out")
        command = [valgrind, *options, sys.executable, __file__, "--counted", *names]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        found = counted_in(Path(folder))
    if done.returncode != 0 or not found:
        raise WasmtraceError(f"valgrind ended with {done.returncode}: {' '.join(done.stderr.split())[-300:]}")
    return {name: found[name] for name in sorted(found)}


def main() -> None:
    if sys.argv[1:2] == ["--counted"]:
        run_counted(sys.argv[2:])
        return
    parser = arguments("instructions that rewritten programs execute")
    parser.add_argument("--publish", action="store_true", help="put the table into docs/performance.md")
    options = parser.parse_args()
    results: dict[str, object] = {
        "schema": SCHEMA_VERSION,
        "machine": machine(),
        "variants": {each.key: each.title for each in INSTRUCTION_VARIANTS},
    }
    try:
        results["programs"] = count(options.only or (list(QUICK) if options.quick else []))
    except WasmtraceError as error:
        results |= {"missing": str(error), "programs": {}}
    write(results, options.json or DEFAULT_PATH)
    print(instructions(results))
    if options.publish:
        from publish import publish_instructions

        publish_instructions(results)


if __name__ == "__main__":
    main()
