"""What differences between samples mean: ratios of paired rounds, their intervals, and a verdict.

Two variants that run in turn make one pair a round, so what else the machine does meets both alike. The ratio is the
Hodges-Lehmann estimate on the logarithms of the pairs' ratios (the median of all means of two), its interval that of
Wilcoxon's signed-rank test: exact for any number of rounds, without a normal distribution, and nothing is drawn by
chance, so the same samples give the same verdict.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import combinations_with_replacement
from statistics import geometric_mean, median, quantiles

TOLERANCE = 0.01
"""A difference below this is none: code that moves by a cache line makes as much."""


class Verdict(Enum):
    SLOWER = "slower"
    FASTER = "faster"
    NO_DIFFERENCE = "no difference"
    UNCLEAR = "unclear"
    """So much noise that a difference of ten times the tolerance could be hidden in it."""


@dataclass(frozen=True, slots=True)
class Ratio:
    """How many times as long the second takes, and between which bounds that lies."""

    value: float
    low: float
    high: float

    def verdict(self, tolerance: float = TOLERANCE) -> Verdict:
        if self.low > 1 + tolerance:
            return Verdict.SLOWER
        if self.high < 1 / (1 + tolerance):
            return Verdict.FASTER
        if self.low < 1 / (1 + 10 * tolerance) or self.high > 1 + 10 * tolerance:
            return Verdict.UNCLEAR
        return Verdict.NO_DIFFERENCE

    def __str__(self) -> str:
        verdict = self.verdict()
        bounds = f"({_percent(self.low)} to {_percent(self.high)})"
        if verdict in (Verdict.SLOWER, Verdict.FASTER):
            return f"{verdict.value} by {abs(self.value - 1) * 100:.1f} % {bounds}"
        return f"{verdict.value} {bounds}"


def _percent(ratio: float) -> str:
    return f"{(ratio - 1) * 100:+.1f} %"


def signed_rank_bound(count: int, alpha: float) -> int:
    """How many means of two, from either end, an interval of confidence 1 - alpha over `count` pairs leaves out.

    The largest k with P(W <= k) <= alpha / 2, where W is Wilcoxon's statistic without a difference. Where the pairs are
    too few for that confidence it is 0, too: the interval is then all that was seen.
    """
    ways = [1]
    for rank in range(1, count + 1):
        longer = ways + [0] * rank
        for place, number in enumerate(ways):
            longer[place + rank] += number
        ways = longer
    seen, k = 0, -1
    for number in ways:
        seen += number
        if seen / 2**count > alpha / 2:
            break
        k += 1
    return max(0, k)


def paired_ratio(base: Sequence[float], present: Sequence[float], *, confidence: float = 0.95) -> Ratio:
    """The ratio of two variants from their samples by round. Raises ValueError without a pair."""
    logs = [math.log(new / old) for old, new in zip(base, present, strict=True)]
    if not logs:
        raise ValueError("expected one round or more, got none")
    means = sorted((one + other) / 2 for one, other in combinations_with_replacement(logs, 2))
    left_out = signed_rank_bound(len(logs), 1 - confidence)
    low, high = means[left_out], means[-1 - left_out]
    return Ratio(math.exp(median(means)), math.exp(low), math.exp(high))


Pairs = Mapping[str, tuple[Sequence[float], Sequence[float]]]
"""By program: the samples of the base and of the present, by round."""


@dataclass(frozen=True, slots=True)
class Comparison:
    """Verdicts for each program and for all together."""

    programs: Mapping[str, Ratio]
    total: Ratio

    @property
    def slower(self) -> list[str]:
        """Which programs are slower, and "all together" if they are as a whole."""
        found = [name for name, ratio in self.programs.items() if ratio.verdict() is Verdict.SLOWER]
        return [*found, "all together"] if self.total.verdict() is Verdict.SLOWER else found


def compare(pairs: Pairs, *, confidence: float = 0.95) -> Comparison:
    """All programs must have the same number of rounds.

    The confidence is that of all programs' verdicts together: one of twenty would else be wrong by chance alone.
    The total is of each round's geometric mean over the programs.
    """
    single = 1 - (1 - confidence) / len(pairs)
    ratios = {name: paired_ratio(old, new, confidence=single) for name, (old, new) in pairs.items()}
    rounds = min(len(old) for old, _ in pairs.values())
    olds = [geometric_mean(old[at] for old, _ in pairs.values()) for at in range(rounds)]
    news = [geometric_mean(new[at] for _, new in pairs.values()) for at in range(rounds)]
    return Comparison(ratios, paired_ratio(olds, news, confidence=confidence))


@dataclass(frozen=True, slots=True)
class Spread:
    """The middle of some samples, and the middle half of them."""

    median: float
    low: float
    high: float

    @property
    def share(self) -> float:
        """The interquartile range as a part of the median."""
        return (self.high - self.low) / self.median


def spread(samples: Sequence[float]) -> Spread:
    if len(samples) == 1:
        return Spread(samples[0], samples[0], samples[0])
    low, _, high = quantiles(samples, n=4, method="inclusive")
    return Spread(median(samples), low, high)
