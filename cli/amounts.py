"""Sizes, times and numbers as people read them."""

from __future__ import annotations


def span(seconds: float) -> str:
    """A time that has passed, in its largest unit, such as `3.2s` or `5h`."""
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    for unit, length in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * length:
            return f"{seconds // length:.0f}{unit}"
    return f"{seconds:.0f}s"


def size(number: float) -> str:
    """A number of bytes, such as `1.5 MiB`."""
    units = ["B", "KiB", "MiB", "GiB", "TiB"]
    while number >= 1000 and len(units) > 1:
        number /= 1024
        del units[0]
    whole = number >= 10 or number == int(number)
    return f"{number:.0f} {units[0]}" if whole else f"{number:.1f} {units[0]}"


def count(number: int, what: str) -> str:
    """So many of something, such as `1 job` or `2,000 jobs`; `what` is one of them."""
    plural = what + ("es" if what.endswith("s") else "s")
    return f"{number:,} {what if number == 1 else plural}"
