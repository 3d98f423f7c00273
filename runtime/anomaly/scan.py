"""Finds, among very many counters, the few that grew by at least their limit since the last look.

512 counters are one Python integer: `now - before + bias` has the top bit of a counter's lane set if and only if it
grew by its limit or more, since `bias` holds `2**63 - limit` in each lane. Blocks that are equal to what they were,
and blocks in which nobody has a limit, cost a comparison or nothing. `benchmarks/bench_anomalies.py`: 50,000 counters
of which one in each 10 moved take 0.4 ms; cell by cell it was 2.2 ms.

A counter that went down (a spoiled memory) borrows from its neighbours' lanes: a wrong candidate, which whoever asked
will judge by itself. Nothing raises.
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Mapping

from wasmtrace.layout import CELL_BYTES

BLOCK_CELLS = 512
_BLOCK_BYTES = BLOCK_CELLS * CELL_BYTES
_TOP = 1 << 63
_NEVER = _TOP - 1
_MASK = int.from_bytes(_TOP.to_bytes(CELL_BYTES, "little") * BLOCK_CELLS, "little")


def cells_of(raw: bytes) -> array[int]:
    """The counters as numbers."""
    values = array("Q", raw)
    if sys.byteorder == "big":
        values.byteswap()
    return values


class CounterScan:
    """Compares each reading with the one before it."""

    def __init__(self, limits: Mapping[int, int]) -> None:
        """`limits`: least growth between two looks that is of interest, by counter index."""
        by_block: dict[int, dict[int, int]] = {}
        for index, limit in limits.items():
            by_block.setdefault(index // BLOCK_CELLS, {})[index % BLOCK_CELLS] = min(max(limit, 1), _NEVER)
        self._blocks = [(block, _bias(lanes)) for block, lanes in sorted(by_block.items())]
        self._before: dict[int, tuple[bytes, int]] = {}

    def look(self, raw: bytes, *, wanted: bool = True) -> list[tuple[int, int]]:
        """Which counters grew by their limit, and by how much. The first look finds nothing, nor one whose findings
        are not `wanted`: unrolling thousands of them is what costs."""
        found: list[tuple[int, int]] = []
        for block, bias in self._blocks:
            start = block * _BLOCK_BYTES
            now = raw[start : start + _BLOCK_BYTES]
            before = self._before.get(block)
            if before is not None and before[0] == now:
                continue
            number = int.from_bytes(now, "little")
            self._before[block] = (now, number)
            if wanted and before is not None:
                flags = (number - before[1] + bias) & _MASK
                if flags:
                    found += _flagged(flags, block, now, before[0])
        return found


def _bias(lanes: Mapping[int, int]) -> int:
    limits = array("Q", [_TOP - _NEVER]) * BLOCK_CELLS
    for lane, limit in lanes.items():
        limits[lane] = _TOP - limit
    if sys.byteorder == "big":
        limits.byteswap()
    return int.from_bytes(limits.tobytes(), "little")


def _flagged(flags: int, block: int, now: bytes, before: bytes) -> list[tuple[int, int]]:
    bits = flags.to_bytes(_BLOCK_BYTES, "little")
    new, old = cells_of(now), cells_of(before)
    found = []
    place = bits.find(b"\x80")
    while place >= 0:
        lane = place // CELL_BYTES
        if lane < len(new) and new[lane] > old[lane]:
            found.append((block * BLOCK_CELLS + lane, new[lane] - old[lane]))
        place = bits.find(b"\x80", place + 1)
    return found
