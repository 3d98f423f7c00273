"""What counts as an anomaly: thresholds, windows and what is watched."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from wasmtrace.errors import UsageError
from wasmtrace.records import Anomaly

AnomalyCallback = Callable[[Anomaly], None]
_LONGEST_SECONDS = 1e6
_HIGHEST_RATE = 1e12


@dataclass(frozen=True, slots=True)
class WatchedFunctions:
    """Functions to be judged by how often they are called: those whose name, in either form, matches the glob."""

    glob: str
    rate: float | None = None
    """Calls a second; None: `AnomalySettings.loop_threshold`."""


@dataclass(frozen=True, slots=True)
class AnomalySettings:
    """Thresholds are calls a second."""

    loop_threshold: float = 3000.0
    loop_window_seconds: float = 1.0
    """For how long a rate must be above its threshold, and below it again until the anomaly has ended."""
    watch: tuple[WatchedFunctions, ...] = ()
    baseline: Mapping[str, float] = field(default_factory=dict)
    """Usual calls a second by raw function name; what is not in it, is learned."""
    baseline_seconds: float = 60.0
    """How long the usual rates are learned; 0: not at all."""
    baseline_factor: float = 10.0
    hang_seconds: float = 10.0
    growth_window_seconds: float = 120.0

    def __post_init__(self) -> None:
        for name, low, high in (
            ("loop_threshold", 1.0, _HIGHEST_RATE),
            ("loop_window_seconds", 0.2, _LONGEST_SECONDS),
            ("baseline_seconds", 0.0, _LONGEST_SECONDS),
            ("baseline_factor", 1.0, _HIGHEST_RATE),
            ("hang_seconds", 0.2, _LONGEST_SECONDS),
            ("growth_window_seconds", 2.0, _LONGEST_SECONDS),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise UsageError(f"expected {name} from {low:g} to {high:g}, got {value!r}")
        for each in self.watch:
            if not each.glob:
                raise UsageError("expected a glob to watch, got an empty one")
            if each.rate is not None and not 1 <= each.rate <= _HIGHEST_RATE:
                raise UsageError(f"expected a rate from 1 to {_HIGHEST_RATE:g} for {each.glob!r}, got {each.rate!r}")

    @property
    def window_us(self) -> int:
        return round(self.loop_window_seconds * 1e6)
