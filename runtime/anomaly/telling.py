"""The record of a new anomaly: which function to look at first, and one sentence for people."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from wasmtrace.records import Anomaly, AnomalyKind, FunctionName
from wasmtrace.runtime.anomaly.reading import Finding
from wasmtrace.runtime.anomaly.stacks import Stacks
from wasmtrace.runtime.snapshot import open_calls
from wasmtrace.sites import FunctionNames, SiteTable

_MOST_ALSO = 16
_NAME_LENGTH = 120


class Teller:
    """Knows names and stacks. Names are asked for when the first anomaly is told."""

    def __init__(self, sites: SiteTable, names: Callable[[], FunctionNames], stacks: Stacks) -> None:
        self._sites = sites
        self._names = names
        self._stacks = stacks

    def describe(self, number: int, now_us: int, findings: Sequence[Finding]) -> Anomaly:
        """What has just been found, as a new anomaly."""
        first = max(findings, key=lambda each: each.rate)
        match first.kind:
            case AnomalyKind.NO_PROGRESS:
                return self._no_progress(number, now_us, first, findings)
            case AnomalyKind.CALL_RATE | AnomalyKind.BASELINE:
                outermost = self._stacks.outermost([each.member for each in findings])
                leader = next((each for each in findings if each.member == outermost), first)
                return self._rate(number, now_us, leader, findings)
            case AnomalyKind.HANG:
                return self._hang(number, now_us, first)
            case AnomalyKind.GROWTH:
                return self._growth(number, now_us, first)

    def _no_progress(self, number: int, now_us: int, first: Finding, findings: Sequence[Finding]) -> Anomaly:
        host, looper = first.member, self._stacks.looper()
        others = [each.member for each in findings]
        also = [host, *self._stacks.between(looper, host), *others]
        function = host if looper is None else looper
        caller = "the guest" if looper is None else self.shown(looper)
        message = f"{caller} calls {self.shown(host)} {first.rate:,.0f} times a second, {first.detail}"
        return self._record(number, now_us, first, function, also, self._stacks.latest_with(host), message)

    def _rate(self, number: int, now_us: int, first: Finding, findings: Sequence[Finding]) -> Anomaly:
        function, looper = first.member, self._stacks.looper()
        also = [each.member for each in sorted(findings, key=lambda each: -each.rate)]
        within = looper is not None and looper != function
        if within and looper is not None:
            also.append(looper)
        message = f"{self.shown(function)} is called {first.rate:,.0f} times a second, {first.detail}"
        if len(findings) > 1:
            message += f", and {len(findings) - 1} more with it"
        if within and looper is not None:
            message += f"; the loop is in {self.shown(looper)}"
        return self._record(number, now_us, first, function, also, self._stacks.latest_with(function), message)

    def _hang(self, number: int, now_us: int, first: Finding) -> Anomaly:
        if first.member < 0:
            message = f"the guest has run for {first.detail} without any call"
            return self._record(number, now_us, first, None, (), (), message)
        message = f"{self.shown(first.member)} has called nothing for {first.detail}, and has not returned"
        stack = self._stacks.latest_with(None)
        return self._record(number, now_us, first, first.member, (), stack, message)

    def _growth(self, number: int, now_us: int, first: Finding) -> Anomaly:
        function, *also = first.blamed or (None,)
        message = first.detail
        if first.blamed:
            message += "; grown by " + ", ".join(self.shown(each) for each in first.blamed[:3])
        looper = self._stacks.looper()
        others = [each for each in (*also, looper) if each is not None]
        return self._record(number, now_us, first, function, others, self._stacks.latest_with(function), message)

    def _record(
        self,
        number: int,
        now_us: int,
        first: Finding,
        function: int | None,
        also: Sequence[int],
        frames: Sequence[int],
        message: str,
    ) -> Anomaly:
        names = self._names()
        others = [each for each in dict.fromkeys(also) if each != function][:_MOST_ALSO]
        return Anomaly(
            number=number,
            kind=first.kind,
            function=FunctionName(0, "(unknown)", "(unknown)") if function is None else names[function],
            host=function is not None and function < len(self._sites.host_functions),
            also=tuple(names[each] for each in others),
            stack=open_calls(self._sites, names, frames, now_us),
            rate=first.rate,
            peak_rate=first.rate,
            threshold=first.threshold,
            started_us=now_us,
            ended_us=None,
            message=message,
        )

    def shown(self, funcidx: int) -> str:
        """The name in a sentence; an import by the name under which it is imported."""
        hosts = self._sites.host_functions
        name = hosts[funcidx].name if funcidx < len(hosts) else self._names()[funcidx].name
        return name if len(name) <= _NAME_LENGTH else name[: _NAME_LENGTH - 3] + "..."
