"""What a run must leave to count: what two plain runs left."""

from __future__ import annotations

import re
from dataclasses import dataclass

from outside_suites import without_times
from subjects import Program, Result
from variants import Prepared

_PROFILER_SAYS = re.compile(rb"\n?Profile written to: .*\nView this profile at .*\n")


@dataclass(frozen=True, slots=True)
class Expected:
    """`memory` is the digest of the guest's memory, None if plain runs differ in it (clocks, addresses, chance)."""

    program: Program
    stdout: bytes
    exit_code: int
    memory: str | None
    seconds: float
    """Of one plain run."""

    def check(self, result: Result, memory: str | None) -> None:
        """Raises `AssertionError` for another result than a plain run's."""
        cleaned = Result(
            result.stdout, _PROFILER_SAYS.sub(b"", result.stderr), result.exit_code, result.files, result.value
        )
        self.program.check(cleaned)
        assert result.exit_code == self.exit_code, f"exit code {result.exit_code}, plain {self.exit_code}"
        assert without_times(result.stdout) == self.stdout, "another output than the plain program's"
        if self.memory is not None and memory is not None:
            assert memory == self.memory, "another memory at the end than the plain program's"

    @property
    def what(self) -> str:
        return "output" if self.memory is None else "output and memory"


def expected_of(plain: Prepared) -> Expected:
    """Runs the plain program twice. Raises `AssertionError` if its own check fails."""
    seen: list[tuple[Result, str | None]] = []
    for _ in range(2):
        sample = plain.run(lambda result, memory: seen.append((result, memory)))
    (first, one), (_, other) = seen
    expected = Expected(
        plain.program, without_times(first.stdout), first.exit_code, one if one == other else None, sample.wall
    )
    expected.check(*seen[1])
    return expected
