"""The rule about hangs: the same innermost call is open, and nothing at all is counted.

A guest whose innermost call is a host call waits, for input or for time: it is idle. At level `calls` there are no
frames to tell; the guest hangs then if it uses the processor, and waits if it does not.
"""

from __future__ import annotations

from wasmtrace.layout import SITE_MASK
from wasmtrace.records import AnomalyKind
from wasmtrace.runtime.anomaly.reading import Finding, Reading

_NO_FUNCTION = -1
_LEAST_CPU_SHARE = 0.1


class HangRule:
    def __init__(self, hang_seconds: float, hosts: int) -> None:
        self._hang_us = round(hang_seconds * 1e6)
        self._hosts = hosts
        self._since: Reading | None = None

    def observe(self, reading: Reading) -> Finding | None:
        since = self._since
        if not reading.running or self._in_host_call(reading):
            self._since = None
            return None
        if since is None or _innermost(since) != _innermost(reading) or since.calls != reading.calls:
            self._since = reading
            return None
        lasted_us = reading.now_us - since.now_us
        if lasted_us < self._hang_us or not self._busy(since, reading):
            return None
        frame = _innermost(reading)
        funcidx = _NO_FUNCTION if frame is None else frame & SITE_MASK
        return Finding(AnomalyKind.HANG, funcidx, 0.0, 0.0, f"{lasted_us / 1e6:.0f} s")

    def _in_host_call(self, reading: Reading) -> bool:
        frame = _innermost(reading)
        return frame is not None and frame & SITE_MASK < self._hosts

    def _busy(self, since: Reading, reading: Reading) -> bool:
        if reading.frames:
            return True
        return reading.cpu_us - since.cpu_us >= _LEAST_CPU_SHARE * (reading.now_us - since.now_us)


def _innermost(reading: Reading) -> int | None:
    return reading.frames[-1] if reading.frames else None
