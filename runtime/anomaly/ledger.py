"""From findings to anomalies: one for each cause, with a begin, an end, a peak and the evidence.

Findings of one kind that come up within a window of each other have one cause, and so have all host calls that get
nowhere at the same time. While a more exact anomaly goes on, functions above their usual rate are not told again.
An anomaly ends when none of its members has been found for a window.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

from wasmtrace.records import Anomaly, AnomalyKind
from wasmtrace.runtime.anomaly.reading import Finding

MOST_OPEN = 16
MOST_ENDED = 100
"""Kept for the report, the newest; `Ledger.counts` tells of all."""
_MOST_COUNTED = 1000
_EXACT = frozenset((AnomalyKind.CALL_RATE, AnomalyKind.NO_PROGRESS))
_ORDER = (
    AnomalyKind.HANG,
    AnomalyKind.NO_PROGRESS,
    AnomalyKind.CALL_RATE,
    AnomalyKind.BASELINE,
    AnomalyKind.GROWTH,
)

Describe = Callable[[int, int, Sequence[Finding]], Anomaly]
"""Makes the record of a new anomaly from its number, the time and the findings."""
CountKey = tuple[AnomalyKind, str]
OTHER = "(other)"


@dataclass(slots=True)
class _Case:
    record: Anomaly
    leader: int
    """The member whose rate is told."""
    seen_us: int
    members: set[int] = field(default_factory=set)


class Ledger:
    def __init__(self, window_us: int, describe: Describe) -> None:
        self._window_us = window_us
        self._describe = describe
        self._open: list[_Case] = []
        self._ended: deque[Anomaly] = deque(maxlen=MOST_ENDED)
        self._number = 0
        self.counts: dict[CountKey, int] = {}
        """Anomalies of the whole run by kind and name, those that are kept no more too."""

    @property
    def open(self) -> bool:
        return bool(self._open)

    def anomalies(self) -> tuple[Anomaly, ...]:
        """Oldest first."""
        every = [*self._ended, *(case.record for case in self._open)]
        return tuple(sorted(every, key=lambda each: each.number))

    def take(self, now_us: int, findings: Sequence[Finding]) -> list[Anomaly]:
        """The anomalies that began or ended."""
        fresh: dict[AnomalyKind, list[Finding]] = {}
        for finding in findings:
            case = self._case_of(finding)
            if case is None:
                fresh.setdefault(finding.kind, []).append(finding)
            else:
                _note(case, finding, now_us)
        changed = []
        for kind in _ORDER:
            for group in _groups(kind, fresh.get(kind, [])):
                opened = self._begin(now_us, kind, group)
                if opened is not None:
                    changed.append(opened)
        return changed + self._end(now_us, self._window_us)

    def settle(self, now_us: int) -> list[Anomaly]:
        """The run is over, and what went on has ended with it."""
        return self._end(now_us, -1)

    def _case_of(self, finding: Finding) -> _Case | None:
        for case in self._open:
            if case.record.kind is finding.kind and finding.member in case.members:
                return case
        return None

    def _begin(self, now_us: int, kind: AnomalyKind, group: list[Finding]) -> Anomaly | None:
        for case in self._open:
            if case.record.kind is kind and self._same_cause(case, now_us):
                case.members.update(each.member for each in group)
                case.seen_us = now_us
                return None
        busy = kind is AnomalyKind.BASELINE and any(case.record.kind in _EXACT for case in self._open)
        if busy or len(self._open) >= MOST_OPEN:
            return None
        self._number += 1
        record = self._describe(self._number, now_us, group)
        leader = next((each.member for each in group if each.member == record.function.index), group[0].member)
        case = _Case(record, leader, now_us, {each.member for each in group})
        self._open.append(case)
        key = (kind, record.function.name)
        if key not in self.counts and len(self.counts) >= _MOST_COUNTED:
            key = (kind, OTHER)
        self.counts[key] = self.counts.get(key, 0) + 1
        return record

    def _same_cause(self, case: _Case, now_us: int) -> bool:
        match case.record.kind:
            case AnomalyKind.NO_PROGRESS:
                return True
            case AnomalyKind.CALL_RATE | AnomalyKind.BASELINE:
                return now_us - case.record.started_us <= self._window_us
            case _:
                return False

    def _end(self, now_us: int, after_us: int) -> list[Anomaly]:
        over = [case for case in self._open if now_us - case.seen_us > after_us]
        self._open = [case for case in self._open if case not in over]
        ended = [replace(case.record, rate=0.0, ended_us=now_us) for case in over]
        self._ended.extend(ended)
        return ended


def _note(case: _Case, finding: Finding, now_us: int) -> None:
    case.seen_us = now_us
    if finding.member == case.leader:
        peak = max(case.record.peak_rate, finding.rate)
        case.record = replace(case.record, rate=finding.rate, peak_rate=peak)


def _groups(kind: AnomalyKind, findings: list[Finding]) -> list[list[Finding]]:
    """Each memory is a cause of its own; functions that run wild at once have one."""
    if kind is AnomalyKind.GROWTH:
        return [[each] for each in findings]
    return [findings] if findings else []
