"""Options about anomalies: what counts as one, and what happens then."""

from __future__ import annotations

import argparse
import json
import math
import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from wasmtrace.cli import complain
from wasmtrace.errors import UsageError
from wasmtrace.records import Anomaly
from wasmtrace.runtime.anomaly.settings import AnomalySettings, WatchedFunctions

KILL_EXIT = 137
_DEFAULTS = AnomalySettings()
_WATCHED = re.compile(r"(.*)=([\w.+-]+)", re.DOTALL)
_LEAST_BASELINE_SECONDS = 1.0
_MOST_LINES = 100
_SAME_AGAIN_US = 60_000_000


def add_anomaly_options(group: argparse._ArgumentGroup) -> None:
    group.add_argument(
        "--watch",
        action="append",
        default=[],
        type=_watched,
        metavar="GLOB[=RATE]",
        help="tell when a function of this name is called more often than RATE times a second",
    )
    group.add_argument(
        "--loop-threshold",
        type=_number("calls a second", 1, 1e12),
        default=_DEFAULTS.loop_threshold,
        metavar="RATE",
        help=f"calls a second from which on a loop is a bad one (default {_DEFAULTS.loop_threshold:g})",
    )
    group.add_argument(
        "--loop-window",
        type=_number("seconds", 0.2, 1e6),
        default=_DEFAULTS.loop_window_seconds,
        metavar="SECONDS",
        help=f"for how long (default {_DEFAULTS.loop_window_seconds:g})",
    )
    group.add_argument(
        "--baseline", metavar="REPORT", help="a report of an earlier run: what is usual for each function"
    )
    group.add_argument(
        "--baseline-period",
        type=_number("seconds", 0, 1e6),
        default=_DEFAULTS.baseline_seconds,
        metavar="SECONDS",
        help=f"without a report, learn it for so long; 0: do not (default {_DEFAULTS.baseline_seconds:g})",
    )
    group.add_argument(
        "--hang-after",
        type=_number("seconds", 0.2, 1e6),
        default=_DEFAULTS.hang_seconds,
        metavar="SECONDS",
        help=f"a guest hangs that calls nothing for so long (default {_DEFAULTS.hang_seconds:g})",
    )
    group.add_argument(
        "--growth-window",
        type=_number("seconds", 2, 1e6),
        default=_DEFAULTS.growth_window_seconds,
        metavar="SECONDS",
        help=f"memory that grows steadily for so long is a leak (default {_DEFAULTS.growth_window_seconds:g})",
    )
    group.add_argument(
        "--on-anomaly",
        choices=("report", "kill"),
        default="report",
        help=f"kill: end the run with exit code {KILL_EXIT} (default report)",
    )
    group.add_argument("--no-anomalies", action="store_true", help="look for no anomalies")


def _number(what: str, low: float, high: float) -> Callable[[str], float]:
    def parse(text: str) -> float:
        value = _float(text)
        if not low <= value <= high:
            raise argparse.ArgumentTypeError(f"expected {what} from {low:g} to {high:g}, got {text!r}")
        return value

    return parse


def _float(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def _watched(text: str) -> WatchedFunctions:
    """`=` belongs to the name where nothing follows it that could be meant as a rate: `operator==`."""
    found = _WATCHED.fullmatch(text)
    glob, rate = (text, None) if found is None else (found[1], _float(found[2]))
    if not glob:
        raise argparse.ArgumentTypeError(f"expected GLOB or GLOB=RATE, got {text!r}")
    if rate is not None and not 1 <= rate <= 1e12:
        raise argparse.ArgumentTypeError(f"expected a rate from 1 to 1e12 calls a second after =, got {text!r}")
    return WatchedFunctions(glob, rate)


def read_baseline(path: str) -> dict[str, float]:
    """Calls a second by raw function name, from a report. Raises UsageError."""
    try:
        report: Any = json.loads(Path(path).read_bytes())
        seconds = float(report["wall_seconds"])
        rates: dict[str, float] = {}
        for each in report["functions"]:
            name = str(each["raw_name"])
            rates[name] = rates.get(name, 0.0) + int(each["calls"]) / seconds
    except OSError as error:
        raise UsageError(f"cannot read the baseline {path!r}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, ArithmeticError, RecursionError):
        raise UsageError(f"the baseline {path!r} is not a report of a run") from None
    if not math.isfinite(seconds) or seconds < _LEAST_BASELINE_SECONDS:
        raise UsageError(f"the baseline {path!r} is of a run of {seconds:g} s: too short to tell what is usual")
    return rates


class AnomalyNotices:
    """Says on stderr when an anomaly begins, and notes the one that is to end the run."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self._kills = arguments.on_anomaly == "kill"
        self._settings = None if arguments.no_anomalies else _settings(arguments)
        if self._kills and self._settings is None:
            raise UsageError("--on-anomaly kill and --no-anomalies contradict each other")
        self._said: dict[tuple[str, str], int] = {}
        self._lines = 0
        self._fatal = threading.Event()
        self.fatal: Anomaly | None = None
        """The anomaly for which the run must end."""

    def config(self) -> dict[str, Any]:
        """For `RuntimeConfig`."""
        return {"anomalies": self._settings, "on_anomaly": self._note}

    def or_fatal(self, wait: Callable[[float | None], bool]) -> Callable[[float], bool]:
        """A wait that is over, too, when the run must end."""

        def done(seconds: float) -> bool:
            return wait(seconds) or self._fatal.is_set()

        return done

    def _note(self, anomaly: Anomaly) -> None:
        if anomaly.ended_us is not None:
            return
        if self._kills and self.fatal is None:
            self.fatal = anomaly
        self._say(anomaly)
        if self.fatal is not None:
            self._fatal.set()

    def _say(self, anomaly: Anomaly) -> None:
        """What comes again and again is said once a minute, and no more than so many lines in all."""
        key = (anomaly.kind.value, anomaly.function.name)
        again = anomaly.started_us - self._said.get(key, -_SAME_AGAIN_US) < _SAME_AGAIN_US
        if again or self._lines > _MOST_LINES:
            return
        self._said[key] = anomaly.started_us
        self._lines += 1
        if self._lines > _MOST_LINES:
            complain("more anomalies than can be said here: they are in metrics and report")
        else:
            complain(f"anomaly ({anomaly.kind.value}): {anomaly.message}")


def _settings(arguments: argparse.Namespace) -> AnomalySettings:
    return AnomalySettings(
        loop_threshold=arguments.loop_threshold,
        loop_window_seconds=arguments.loop_window,
        watch=tuple(arguments.watch),
        baseline={} if arguments.baseline is None else read_baseline(arguments.baseline),
        baseline_seconds=arguments.baseline_period,
        hang_seconds=arguments.hang_after,
        growth_window_seconds=arguments.growth_window,
    )
