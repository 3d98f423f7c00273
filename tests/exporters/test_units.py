from __future__ import annotations

from collections.abc import Callable

import pytest

from wasmtrace.exporters import units

CASES: list[tuple[Callable[..., str], tuple[float, ...], str]] = [
    (units.count, (0,), "0"),
    (units.count, (999,), "999"),
    (units.count, (1000,), "1.00 k"),
    (units.count, (12_345,), "12.3 k"),
    (units.count, (999_499,), "999 k"),
    (units.count, (999_500,), "1.00 M"),
    (units.count, (1_230_000_000,), "1.23 G"),
    (units.count, (2**64,), "18.4 E"),
    (units.average, (24, 2), "12"),
    (units.average, (25, 2), "12.5"),
    (units.average, (1_999_999, 2), "1.00 M"),
    (units.signed, (0,), "0"),
    (units.signed, (12_345,), "+12.3 k"),
    (units.signed, (-5,), "-5"),
    (units.growth, (8, 9), "+12.5%"),
    (units.growth, (8, 7), "-12.5%"),
    (units.growth, (10_000, 9_999), "-<0.1%"),
    (units.growth, (2, 21), "+950.0%"),
    (units.growth, (2, 25), "x 12.5"),
    (units.growth, (1, 2_000_000), "x 2.00 M"),
    (units.growth, (5, 0), "-100.0%"),
    (units.growth, (5, 5), "0%"),
    (units.growth, (0, 0), "0%"),
    (units.growth, (0, 5), ""),
    (units.size, (0,), "0 B"),
    (units.size, (1023,), "1023 B"),
    (units.size, (4_404_019,), "4.20 MiB"),
    (units.size, (2**32,), "4.00 GiB"),
    (units.size, (2**64,), "16384 PiB"),
    (units.duration, (0.0,), "0 s"),
    (units.duration, (1e-9,), "1.00 ns"),
    (units.duration, (0.0000123,), "12.3 us"),
    (units.duration, (0.0013,), "1.30 ms"),
    (units.duration, (0.9996,), "1.00 s"),
    (units.duration, (59.94,), "59.9 s"),
    (units.duration, (59.96,), "1 min 00 s"),
    (units.duration, (125.0,), "2 min 05 s"),
    (units.duration, (12_000.0,), "3 h 20 min"),
    (units.duration, (356_400.0,), "4 d 03 h"),
    (units.share, (1, 8), "12.5%"),
    (units.share, (1, 1_000_000), "<0.1%"),
    (units.share, (0, 5), "0.0%"),
    (units.share, (5, 0), ""),
]


@pytest.mark.parametrize(("unit", "arguments", "text"), CASES, ids=[f"{each[0].__name__}{each[1]}" for each in CASES])
def test_units(unit: Callable[..., str], arguments: tuple[float, ...], text: str) -> None:
    assert unit(*arguments) == text
