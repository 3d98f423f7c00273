"""The stacks of the last window: which function holds the loop, and through whom it calls."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from wasmtrace.layout import SITE_MASK
from wasmtrace.runtime.anomaly.reading import TICK_US


class Stacks:
    """Frames are `stamp | function`: two of equal value at the same depth are the same call."""

    def __init__(self, window_us: int, hosts: int) -> None:
        self._samples: deque[Sequence[int]] = deque(maxlen=max(2, window_us // TICK_US))
        self._hosts = hosts

    def add(self, frames: Sequence[int]) -> None:
        self._samples.append(frames)

    def looper(self) -> int | None:
        """The innermost function of the guest that was open for the last half of the window: the one that loops.

        A loop is told when it fills most of a window: what came before it must not make its caller look guilty.
        """
        samples = list(self._samples)[-max(2, (self._samples.maxlen or 0) // 2) :]
        if not samples:
            return None
        found = None
        for column in zip(*samples, strict=False):
            if column.count(column[0]) != len(column):
                break
            if column[0] & SITE_MASK >= self._hosts:
                found = column[0] & SITE_MASK
        return found

    def latest_with(self, funcidx: int | None) -> Sequence[int]:
        """The newest stack in which that function was open, up to it; without one, the newest."""
        for frames in reversed(self._samples):
            for depth, frame in enumerate(frames):
                if frame & SITE_MASK == funcidx:
                    return frames[: depth + 1]
        return next((frames for frames in reversed(self._samples) if frames), ())

    def between(self, outer: int | None, inner: int) -> list[int]:
        """The functions that `outer` reached `inner` through, outermost first; empty if it was never seen so."""
        found = [frame & SITE_MASK for frame in self.latest_with(inner)]
        if not found or found[-1] != inner:
            return []
        start = max((at for at, each in enumerate(found) if each == outer), default=-1)
        return list(dict.fromkeys(found[start + 1 : -1]))

    def outermost(self, funcidxs: Sequence[int]) -> int | None:
        """The one of these that was seen nearest to the host."""
        wanted = set(funcidxs)
        seen = [
            (depth, frame & SITE_MASK)
            for frames in self._samples
            for depth, frame in enumerate(frames)
            if frame & SITE_MASK in wanted
        ]
        return min(seen)[1] if seen else None
