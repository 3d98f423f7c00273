"""All rules over the readings of one instance. Pure: `observe` depends on the readings alone."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from fnmatch import translate

from wasmtrace.layout import SITE_MASK
from wasmtrace.records import Anomaly, AnomalyKind
from wasmtrace.runtime.anomaly.baseline import BaselineLearner, limits_of
from wasmtrace.runtime.anomaly.growth import GrowthRule
from wasmtrace.runtime.anomaly.hang import HangRule
from wasmtrace.runtime.anomaly.host_calls import NoProgressRule
from wasmtrace.runtime.anomaly.ledger import Ledger
from wasmtrace.runtime.anomaly.rates import ExportRule, RateLimit, RateRule
from wasmtrace.runtime.anomaly.reading import TICK_US, Finding, Reading
from wasmtrace.runtime.anomaly.settings import AnomalySettings
from wasmtrace.runtime.anomaly.stacks import Stacks
from wasmtrace.runtime.anomaly.telling import Teller
from wasmtrace.sites import FunctionNames, SiteTable


class Detector:
    """Takes readings, oldest first, and gives the anomalies that began or ended with each."""

    def __init__(self, settings: AnomalySettings, sites: SiteTable, names: Callable[[], FunctionNames]) -> None:
        hosts = len(sites.host_functions)
        window_us = settings.window_us
        self._settings = settings
        self._stacks = Stacks(window_us, hosts)
        self._rates = RateRule()
        watched = watched_limits(settings, sites, names) if settings.watch else {}
        self._rates.add(watched)
        self._rates.add(_given_limits(settings, sites, names))
        learns = settings.baseline_seconds > 0 and not settings.baseline
        self._learner = BaselineLearner(settings.baseline_seconds, hosts) if learns else None
        self._exports = ExportRule(settings.loop_threshold, window_us)
        others = frozenset(index for index in watched if index < hosts)
        self._no_progress = NoProgressRule(sites.host_functions, settings.loop_threshold, window_us, others)
        self._hang = HangRule(settings.hang_seconds, hosts)
        self._growth = GrowthRule(settings.growth_window_seconds, sites.memories, sites.grow_sites)
        self._ledger = Ledger(window_us, Teller(sites, names, self._stacks).describe)

    @property
    def quiet(self) -> bool:
        """Whether nothing goes on, and nothing is about to."""
        return not self._ledger.open and not self._rates.tracking

    def observe(self, reading: Reading) -> list[Anomaly]:
        """The anomalies that began or ended."""
        self._stacks.add(_valid(reading))
        findings: list[Finding] = [*self._rates.observe(reading), *self._no_progress.observe(reading)]
        findings += [each for each in self._exports.observe(reading) if not self._rates.judges(each.member)]
        hang = self._hang.observe(reading)
        if hang is not None:
            findings.append(hang)
        findings += self._growth.observe(reading)
        self._learn(reading)
        return self._ledger.take(reading.now_us, findings)

    def settle(self, now_us: int) -> list[Anomaly]:
        """The run is over: the anomalies that have ended by that."""
        return self._ledger.settle(now_us)

    def anomalies(self) -> tuple[Anomaly, ...]:
        """All of the run that are kept, oldest first, as they stand."""
        return self._ledger.anomalies()

    def counts(self) -> Mapping[tuple[AnomalyKind, str], int]:
        return dict(self._ledger.counts)

    def _learn(self, reading: Reading) -> None:
        learner, settings = self._learner, self._settings
        if learner is not None and learner.add(reading):
            self._learner = None
            limits = limits_of(learner.usual(), settings.baseline_factor, settings.loop_threshold)
            self._rates.add({index: _baseline_limit(settings, rate) for index, rate in limits.items()})


def _valid(reading: Reading) -> list[int]:
    """The frames that name a function: a spoiled stack must not spoil more."""
    count = len(reading.calls) // 8
    return [frame for frame in reading.frames if frame & SITE_MASK < count]


def watched_limits(
    settings: AnomalySettings, sites: SiteTable, names: Callable[[], FunctionNames]
) -> dict[int, RateLimit]:
    """Limits of the watched functions. The first glob that matches decides; imports match by their own name too."""
    globs = [(re.compile(translate(each.glob)), each.rate or settings.loop_threshold) for each in settings.watch]
    table, hosts = names(), sites.host_functions
    limits = {}
    for index in range(sites.function_count):
        name = table[index]
        forms = {name.name, name.raw_name}
        if index < len(hosts):
            forms |= {hosts[index].name, f"{hosts[index].module}.{hosts[index].name}"}
        for pattern, rate in globs:
            if any(map(pattern.match, forms)):
                detail = f"above its threshold of {rate:,.0f}"
                limits[index] = RateLimit(AnomalyKind.CALL_RATE, rate, settings.window_us, detail)
                break
    return limits


def _given_limits(
    settings: AnomalySettings, sites: SiteTable, names: Callable[[], FunctionNames]
) -> dict[int, RateLimit]:
    if not settings.baseline:
        return {}
    table = names()
    limits = {}
    for index in range(len(sites.host_functions), sites.function_count):
        usual = settings.baseline.get(table[index].raw_name)
        if usual:
            limits[index] = max(settings.baseline_factor * usual, settings.loop_threshold)
    return {index: _baseline_limit(settings, rate) for index, rate in limits.items()}


def _baseline_limit(settings: AnomalySettings, rate: float) -> RateLimit:
    # Two ticks more than the other rules: where one of them finds the cause, this one stays silent.
    return RateLimit(AnomalyKind.BASELINE, rate, settings.window_us + 2 * TICK_US, "far above what is usual for it")
