"""Durations as people write them: 90s, 15m, 2h, 1d, 1h30m."""

from __future__ import annotations

import re

_DURATION = re.compile(
    r"(?:(?P<days>\d{1,9})d)?(?:(?P<hours>\d{1,9})h)?(?:(?P<minutes>\d{1,9})m)?(?:(?P<seconds>\d{1,9}(?:\.\d{1,6})?)s)?",
    re.ASCII,
)
_SECONDS = {"days": 86_400, "hours": 3_600, "minutes": 60, "seconds": 1}


def read(text: str) -> float:
    """The seconds that a text says: days, hours, minutes and seconds, in this order, each once at most.

    Raises:
        ValueError: it is no duration; the message is for people.
    """
    match = _DURATION.fullmatch(text)
    if match is None or not text:
        raise ValueError("is no duration, such as 90s, 15m, 2h, 1d or 1h30m")
    return sum(float(number) * _SECONDS[unit] for unit, number in match.groupdict().items() if number is not None)
