"""Numbers as people read them: three digits and a unit, in ASCII."""

from __future__ import annotations

_COUNT_UNITS = ("", " k", " M", " G", " T", " P", " E")
_BYTE_UNITS = (" B", " KiB", " MiB", " GiB", " TiB", " PiB")
_SECOND_UNITS = ((1e-9, "ns"), (1e-6, "us"), (1e-3, "ms"), (1.0, "s"))


def _three_digits(value: float) -> str:
    """`value` below 1000 (or a bit more) in three digits: 1.23, 12.3, 123."""
    for limit, digits in ((9.995, 2), (99.95, 1)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:.0f}"


def _scaled(value: int, step: int, units: tuple[str, ...]) -> str:
    if value < step:
        return f"{value}{units[0]}"
    scaled = float(value)
    for unit in units[:-1]:
        if scaled < step - 0.5:
            return _three_digits(scaled) + unit
        scaled /= step
    return _three_digits(scaled) + units[-1]


def count(value: int) -> str:
    """`999`, `12.3 k`, `1.23 G`."""
    return _scaled(value, 1000, _COUNT_UNITS)


def average(total: int, number: int) -> str:
    """`total` for each of `number`, as `count` has it; with a fraction where it is not whole: `12`, `12.5`."""
    whole, rest = divmod(total, number)
    return count(whole) if whole >= 1000 or not rest else _three_digits(total / number)


def signed(value: int) -> str:
    """As `count`, with its sign: `+12.3 k`, `-5`; `0`."""
    sign = "+" if value > 0 else "-" if value < 0 else ""
    return sign + count(abs(value))


def size(value: int) -> str:
    """Bytes: `512 B`, `4.20 MiB`."""
    return _scaled(value, 1024, _BYTE_UNITS)


def duration(seconds: float) -> str:
    """`0 s`, `12.3 us`, `1.30 ms`, `59.0 s`, `2 min 05 s`, `3 h 20 min`, `4 d 03 h`."""
    if seconds < 0.5e-9:
        return "0 s"
    if seconds >= 59.95:
        return _long_duration(round(seconds))
    for scale, unit in _SECOND_UNITS[:-1]:
        if seconds / scale < 999.5:
            return f"{_three_digits(seconds / scale)} {unit}"
    return f"{_three_digits(seconds)} s"


def _long_duration(seconds: int) -> str:
    minutes, second = divmod(seconds, 60)
    hours, minute = divmod(minutes, 60)
    if not hours:
        return f"{minute} min {second:02d} s"
    if hours < 48:
        return f"{hours} h {minute:02d} min"
    return f"{hours // 24} d {hours % 24:02d} h"


def growth(before: int, after: int) -> str:
    """By how many per cent: `+12.5%`, `-<0.1%`, `0%`, or `x 12.5` from eleven times on; empty if from nothing."""
    if before == 0 or before == after:
        return "" if before != after else "0%"
    if after >= 11 * before:
        return f"x {average(after, before)}"
    percent = 100 * abs(after - before) / before
    digits = "<0.1" if percent < 0.05 else f"{percent:.1f}"
    return f"{'+' if after > before else '-'}{digits}%"


def share(part: float, whole: float) -> str:
    """`12.5%`, `<0.1%`; empty where there is no whole."""
    if whole <= 0:
        return ""
    percent = 100 * part / whole
    if 0 < percent < 0.05:
        return "<0.1%"
    return f"{percent:.1f}%"
