"""PolyBench, Ostrich and MiBench as the package `wasure` carries them: modules that others compiled, with their inputs.

The package is GPL: its files are used where they were installed, and nothing of it is copied. Most of these programs
print nothing. So what is checked besides output and exit code is the guest's memory at its end, if two plain runs
leave the same.
"""

from __future__ import annotations

import importlib.metadata
import re
from functools import partial
from pathlib import Path

from compiled import Missing
from programs import Program, Result

# suite: name: arguments. In a word `@name`, the file is one of the suite's assets, laid into /work; `<@name` is stdin.
SUITES: dict[str, dict[str, str]] = {
    "polybench": dict.fromkeys(
        (
            *("2mm", "3mm", "adi", "cholesky", "correlation", "covariance", "fdtd-2d", "floyd-warshall", "gramschmidt"),
            *("heat-3d", "jacobi-2d", "lu", "ludcmp", "nussinov", "seidel-2d", "symm", "syr2k"),
        ),
        "",
    ),
    "ostrich": dict.fromkeys(("back-propagation", "crc", "fft", "lavamd", "lud", "nw", "page-rank", "spmv"), ""),
    "mibench": {
        "basicmath_large": "",
        "bitcnts": "1125000",
        "crc": "@large.pcm",
        "dijkstra_large": "@input.dat",
        "fft": "8 32768",
        "rawcaudio": "<@large.pcm",
        "rawdaudio": "<@large.adpcm",
    },
}
"""Left out: what runs less than 5 ms (twelve of PolyBench, MiBench's search), as its time is mostly noise, and what
runs 1.5 s and more (Ostrich's SRAD, hmm and nqueens), for which `make bench` has no time. Of two sizes the larger.
"""

_TIMES = re.compile(rb"Time: *[0-9.]+ sec|^Best.*$|^Worst.*$", re.MULTILINE)
"""What MiBench's bitcnts prints of the clock."""


def _located(file: str) -> Path:
    try:
        place = importlib.metadata.distribution("wasure").locate_file(f"wasure/benchmarks/{file}")
    except importlib.metadata.PackageNotFoundError:
        raise Missing("package wasure is not installed") from None
    path = Path(str(place))
    if not path.is_file():
        raise Missing(f"package wasure has no {file}")
    return path


def without_times(output: bytes) -> bytes:
    return _TIMES.sub(b"(time)", output)


def _check(result: Result) -> None:
    assert result.exit_code == 0, result.stderr


def _program(suite: str, name: str, arguments: str) -> Program:
    args: list[str] = []
    inputs: dict[str, bytes] = {}
    stdin = b""
    for word in arguments.split():
        asset = word.lstrip("<").removeprefix("@")
        if word.startswith("<"):
            stdin = _located(f"{suite}/assets/{asset}").read_bytes()
        elif word.startswith("@"):
            inputs[asset] = _located(f"{suite}/assets/{asset}").read_bytes()
            args.append(f"/work/{asset}")
        else:
            args.append(word)
    return Program(
        f"{suite}/{name}",
        partial(_located, f"{suite}/{name}.wasm"),
        _check,
        args=tuple(args),
        stdin=stdin,
        inputs=inputs,
    )


def outside_programs() -> list[Program]:
    """Empty where the package is not installed."""
    try:
        return [_program(suite, name, args) for suite, table in SUITES.items() for name, args in table.items()]
    except Missing:
        return []
