"""Is this version of wasmtrace slower than another? Both run in turn, and the verdict knows the noise.

    python benchmarks/bench_compare.py BASE [--rounds N] [--level LEVEL] [--only NAME]...

BASE is a commit, which is checked out under build/, or a folder with another version. Each version is a process of its
own, with the same packages; both run the same program one after the other, and who is first changes each round. What
is compared is the processor's time of the guest's thread. Exit code 1 if the present version is slower: in a program,
or all together; 0 if not. `noise.py` says what counts as slower.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from machine import machine, sentence
from noise import Comparison, compare
from results import SCHEMA_VERSION, write
from subjects import c_subjects, chosen, outside_programs, real_subjects
from tables import table
from tree import checked_out, import_folder

ROOT = Path(__file__).parent.parent
BUILD = ROOT / "build" / "bench"
PROGRAMS = (
    *("micropython", "resvg", "quickjs", "graphviz", "fib", "tak", "dispatch", "helpers", "nqueens", "hashtable"),
    *("sha256", "ostrich/lavamd", "mibench/basicmath_large", "polybench/nussinov"),
)


class Version:
    """A process that runs programs as one version of wasmtrace does."""

    def __init__(self, source: Path, folder: Path) -> None:
        imports = import_folder(source, folder / "imports")
        paths = [imports, Path(__file__).parent, ROOT / "tests"]
        environment = os.environ | {"PYTHONPATH": os.pathsep.join(map(str, paths))}
        command = [sys.executable, str(Path(__file__).parent / "compare_child.py"), str(folder / "cache")]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
        )
        self.place = Path(str(self._read()["wasmtrace"]))
        if self.place != (source / "wasmtrace").resolve() and self.place != (imports / "wasmtrace").resolve():
            raise SystemExit(f"expected wasmtrace of {source}, got {self.place}")

    def run(self, program: str, level: str, fuel: str) -> dict[str, float]:
        """Processor and wall time of one run, in seconds."""
        assert self._process.stdin is not None
        self._process.stdin.write(f"{program} {level} {fuel}\n")
        self._process.stdin.flush()
        return self._read()

    def _read(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"a version ended with {self._process.wait()}: its message is above")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(timeout=60)
        self._process.stdout.close()


Samples = dict[str, dict[str, list[float]]]
"""By program: `base` and `present`, seconds by round."""


def measure(base: Version, present: Version, programs: Sequence[str], how: tuple[str, str], rounds: int) -> Samples:
    """`how` is the level, and `fuel` or `none`. The first round, in which each version rewrites and compiles, does not
    count."""
    found: Samples = {name: {"base": [], "present": []} for name in programs}
    versions = [("base", base), ("present", present)]
    for number in range(rounds + 1):
        for name in programs:
            for key, version in versions if number % 2 else reversed(versions):
                seconds = version.run(name, *how)["cpu"]
                if number:
                    found[name][key].append(seconds)
    return found


def judged(samples: Samples) -> Comparison:
    return compare({name: (each["base"], each["present"]) for name, each in samples.items()})


def report(comparison: Comparison) -> str:
    rows = [[name, f"{ratio.value:.3f}", str(ratio)] for name, ratio in comparison.programs.items()]
    rows.append(["**all together**", f"**{comparison.total.value:.3f}**", f"**{comparison.total}**"])
    return table(["program", "present / base", "verdict"], rows)


def _source(base: str) -> Path:
    folder = Path(base)
    return folder if (folder / "wasmtrace").is_dir() else checked_out(ROOT, base, BUILD / "base")


def main() -> int:
    parser = argparse.ArgumentParser(description="is this version of wasmtrace slower than another?")
    parser.add_argument("base", metavar="BASE", help="a commit, or a folder with another version")
    parser.add_argument("--present", type=Path, default=ROOT, help="the version to judge (default: this one)")
    parser.add_argument("--rounds", type=int, default=15, help="runs of each program (default 15)")
    parser.add_argument("--level", choices=("calls", "trace"), default="trace", help="(default trace)")
    parser.add_argument("--no-fuel", action="store_true", help="without counting fuel")
    parser.add_argument("--only", action="append", default=[], metavar="NAME", help="this program (repeatable)")
    parser.add_argument("--json", type=Path, default=BUILD / "compare.json", help="where the samples go")
    options = parser.parse_args()
    every = [*real_subjects(large=False), *outside_programs(), *c_subjects(quick=False)]
    programs = [each.name for each in chosen(every, options.only or list(PROGRAMS))]
    try:
        source = _source(options.base)
    except subprocess.CalledProcessError as error:
        parser.error(f"no version {options.base}: {error.stderr.strip()}")
    about = machine()
    print(sentence(about))
    with tempfile.TemporaryDirectory(prefix="wasmtrace-compare-") as name:
        folder = Path(name)
        with (
            Version(source, folder / "base") as base,
            Version(options.present, folder / "present") as present,
        ):
            how = (options.level, "none" if options.no_fuel else "fuel")
            samples = measure(base, present, programs, how, options.rounds)
    comparison = judged(samples)
    results = {"schema": SCHEMA_VERSION, "machine": about, "base": options.base}
    results |= {"level": options.level, "fuel": not options.no_fuel}
    write(results | {"samples": samples, "slower": comparison.slower}, options.json)
    print(report(comparison))
    if comparison.slower:
        print(f"slower: {', '.join(comparison.slower)}")
    return 1 if comparison.slower else 0


if __name__ == "__main__":
    sys.exit(main())
