"""What running a command gave, as plain data that goes from a worker to whoever asked."""

from __future__ import annotations

from typing import NamedTuple


class Outcome(NamedTuple):
    """One command in one variant. `detail` says how it ended, or why it failed.

    `fuel` is what it took, by the engine of a module as it came, by the telemetry of one that was rewritten; None where
    one of them does not know: after a trap.
    """

    line: int
    command: str
    passed: bool
    detail: str
    fuel: int | None = None


class ScriptRun(NamedTuple):
    """One script in one variant. `host_calls` is what the guest called of the host, in order."""

    variant: str
    outcomes: list[Outcome]
    host_calls: list[str]
    calls: int
    """Of all functions of all instances, by the telemetry, but for what exhausts the stack; 0 where there is none."""
    slow_calls: int


def differences(plain: ScriptRun, other: ScriptRun) -> list[str]:
    """Where a variant does not do what plain does. Empty is the only good answer.

    A command must pass where it passes plain, and end in the same way: with the same trap, the same refusal, the same
    fuel.
    """
    if len(plain.outcomes) != len(other.outcomes):
        return [f"{other.variant}: {len(other.outcomes)} commands of {len(plain.outcomes)} ran"]
    found = [
        f"line {mine.line}, {mine.command}: plain {expected.detail!r}, {other.variant} {mine.detail!r}"
        for expected, mine in zip(plain.outcomes, other.outcomes, strict=True)
        if (mine.passed, mine.detail) != (expected.passed, expected.detail)
    ]
    found += [
        f"line {mine.line}, {mine.command}: fuel of plain {expected.fuel}, of {other.variant} {mine.fuel}"
        for expected, mine in zip(plain.outcomes, other.outcomes, strict=True)
        if None not in (expected.fuel, mine.fuel) and expected.fuel != mine.fuel
    ]
    if plain.host_calls != other.host_calls:
        found.append(f"{other.variant}: {len(other.host_calls)} host calls, plain {len(plain.host_calls)}, or others")
    return found
