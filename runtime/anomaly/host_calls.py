"""The rule about host calls that get nowhere.

Three ways of it, each judged over a whole window in which the import is called above the threshold:

- every call returns an errno: a retry without back-off. Queries of descriptors (`fd_seek` on a pipe) are excused as
  long as as many reads or writes succeed;
- `clock_time_get` and `sched_yield` take much of the time: a wait that looks at the clock;
- `poll_oneoff` above the threshold waits for nothing, unless reads and writes succeed along with it.

Not seen: which file a call is about, and how many bytes it moved. A read that gives 0 bytes for ever looks like work.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from wasmtrace.layout import ERRNO_COUNT
from wasmtrace.records import AnomalyKind
from wasmtrace.runtime.anomaly.reading import Finding, Reading, Series
from wasmtrace.runtime.anomaly.scan import cells_of
from wasmtrace.runtime.wasi_errno import ERRNO_NAMES
from wasmtrace.sites import HostFunction

_WASI = frozenset(("wasi_snapshot_preview1", "wasi_unstable"))
_MOVES_DATA = frozenset(
    ["fd_read", "fd_write", "fd_pread", "fd_pwrite", "fd_readdir", "sock_accept", "sock_recv", "sock_send"]
)
_WAITS_BUSILY = frozenset(("clock_time_get", "sched_yield"))
_POLL = "poll_oneoff"

_FAILING_SHARE = 0.99
_EXCUSED_SHARE = 0.9
"""Reads and writes that succeed, of the failing queries: one for each, but for where the window begins and ends."""
_BUSY_SHARE = 0.4
"""Of the time, in host calls that wait busily. A program that only stamps its work stays below a tenth."""
_PROGRESS_SHARE = 0.1
"""Reads and writes that succeed, of the polls: as many make a poll one that had something to tell."""
_STEADY_SHARE = 0.75
"""Of the window, in which the rate must be above the threshold: a burst is no loop."""


@dataclass(slots=True)
class _Import:
    """One import and its window."""

    funcidx: int
    host: HostFunction
    calls: Series | None = None
    errors: Series | None = None
    busy: Series | None = None

    def add(self, window_us: int, now_us: int, calls: int, errors: int, self_ns: int) -> None:
        if self.calls is None or self.errors is None or self.busy is None:
            self.calls, self.errors = Series(window_us, now_us, calls), Series(window_us, now_us, errors)
            self.busy = Series(window_us, now_us, self_ns)
            return
        self.calls.add(now_us, calls)
        self.errors.add(now_us, errors)
        self.busy.add(now_us, self_ns)

    def succeeded(self) -> int:
        return 0 if self.calls is None or self.errors is None else self.calls.delta() - self.errors.delta()

    def busy_share(self) -> float:
        return 0.0 if self.busy is None else self.busy.rate() / 1e9


class NoProgressRule:
    """Judges the imports of WASI preview 1, but for those in `others`, which another rule judges."""

    def __init__(self, hosts: Sequence[HostFunction], threshold: float, window_us: int, others: frozenset[int]) -> None:
        self._threshold = threshold
        self._window_us = window_us
        wasi = [_Import(index, host) for index, host in enumerate(hosts) if host.module in _WASI]
        self._imports = wasi
        self._judged = [each for each in wasi if each.funcidx not in others]
        self._host_count = len(hosts)
        self._errnos: list[int] = []

    def observe(self, reading: Reading) -> Iterator[Finding]:
        calls = cells_of(reading.calls[: 8 * self._host_count])
        errnos = cells_of(reading.errnos)
        for each in self._imports:
            ordinal = each.host.errno_ordinal
            errors = 0 if ordinal is None else sum(errnos[ordinal * ERRNO_COUNT : (ordinal + 1) * ERRNO_COUNT])
            self_ns = reading.self_ns.get(each.funcidx, 0)
            each.add(self._window_us, reading.now_us, calls[each.funcidx], errors, self_ns)
        self._errnos = errnos.tolist()
        for each in self._judged:
            found = self._judge(each)
            if found is not None:
                yield found

    def _judge(self, each: _Import) -> Finding | None:
        series = each.calls
        if series is None or not series.full or each.errors is None:
            return None
        rate = series.rate()
        if rate <= self._threshold or series.share_above(self._threshold) < _STEADY_SHARE:
            return None
        detail = self._why(each, series.delta(), each.errors.delta())
        return (detail and Finding(AnomalyKind.NO_PROGRESS, each.funcidx, rate, self._threshold, detail)) or None

    def _why(self, each: _Import, calls: int, errors: int) -> str:
        """Why the calls get nowhere; empty if they may get somewhere."""
        moved = sum(other.succeeded() for other in self._imports if other.host.name in _MOVES_DATA)
        if errors >= _FAILING_SHARE * calls:
            query = each.host.name.startswith("fd_") and each.host.name not in _MOVES_DATA
            excused = query and moved >= _EXCUSED_SHARE * errors
            return "" if excused else f"and each call fails with {self._usual_errno(each)}"
        if each.host.name == _POLL and moved < _PROGRESS_SHARE * calls:
            return "and it waits for nothing"
        if each.host.name in _WAITS_BUSILY:
            busy = sum(other.busy_share() for other in self._imports if other.host.name in _WAITS_BUSILY)
            if busy >= _BUSY_SHARE:
                return f"and spends {busy:.0%} of its time so: it waits without sleeping"
        return ""

    def _usual_errno(self, each: _Import) -> str:
        ordinal = each.host.errno_ordinal
        assert ordinal is not None
        counts = self._errnos[ordinal * ERRNO_COUNT : (ordinal + 1) * ERRNO_COUNT]
        return ERRNO_NAMES[max(range(len(counts)), key=counts.__getitem__)]
