"""Times as they are written: RFC 3339, in UTC, with microseconds, so that later ones are larger texts too."""

from __future__ import annotations

from datetime import UTC, datetime

LAST = 253_402_300_799
"""The last second of the year 9999."""


def written(time: datetime) -> str:
    """A time with a time zone, as it is written."""
    return time.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")


def of_epoch(seconds: float) -> str:
    """A time that is told in seconds since 1970, as it is written. What is past the year 9999 is written as its end."""
    return written(datetime.fromtimestamp(min(max(seconds, 0), LAST), UTC))


def read(text: str) -> datetime:
    """The time that a text says, in UTC.

    Raises:
        ValueError: it is no date and time, or names no time zone; the message is for people.
    """
    try:
        time = datetime.fromisoformat(text)
        if "T" in text.upper() and time.tzinfo is not None:
            return time.astimezone(UTC)
    except (ValueError, OverflowError):
        pass
    raise ValueError("is no time with a time zone, such as 2026-12-01T06:00:00Z or 2026-12-01T06:00:00+01:00")
