"""Words for numbers: how long, how much, how many, and when."""

import time
from typing import Final

__all__ = ["clock", "count", "lasting", "size"]

_DAY: Final = 86400.0
_UNITS: Final = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def lasting(seconds: float) -> str:
    """Return a duration, as exact as a reader wants it: ``0.4 s``, ``12 s``, ``1 min 40 s``, ``2 h 5 min``."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _two(whole, 60, "min", "s") if whole < 600 else f"{whole // 60} min"
    minutes = whole // 60
    return _two(minutes, 60, "h", "min") if whole < _DAY else _two(minutes // 60, 24, "d", "h")


def _two(amount: int, base: int, large: str, small: str) -> str:
    rest = amount % base
    return f"{amount // base} {large}" + (f" {rest} {small}" if rest else "")


def size(amount: float) -> str:
    """Return an amount of memory: ``512 MiB``, ``1.5 GiB``."""
    for unit in _UNITS:
        if abs(amount) < 1024 or unit == _UNITS[-1]:
            break
        amount /= 1024
    return f"{round(amount, 1) if amount < 100 else round(amount):g} {unit}"


def count(number: int, noun: str) -> str:
    """Return a number of things: ``1 worker``, ``2 workers``."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def clock(at: float, now: float) -> str:
    """Return a time of day, with the day if it is not within this one: ``14:02``, ``Mon 14:02``, ``2031-05-04 14:02``."""
    moment, today = time.localtime(at), time.localtime(now)
    if moment[:3] == today[:3]:
        return time.strftime("%H:%M", moment)
    return time.strftime("%a %H:%M" if abs(at - now) < 6 * _DAY else "%Y-%m-%d %H:%M", moment)
