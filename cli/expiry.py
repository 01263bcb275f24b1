"""When an announcement expires: what `--expires` of `busctl notify` says."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from bus import durations, times


def expiry(text: str, *, sent: datetime) -> datetime:
    """The time that a text means: a time, or a duration after the announcement is sent.

    Args:
        text: such as 10m, or 2026-12-01T06:00:00Z.
        sent: when the announcement is sent.

    Raises:
        ValueError: it means neither; the message is for people.
    """
    return _duration_after(sent, text) or _time(text)


def require_time_to_show(text: str, *, sent: datetime) -> None:
    """Make sure that what is sent then is shown at all.

    Raises:
        ValueError: it is over by then, or as for `expiry`; the message is for people.
    """
    if expiry(text, sent=sent) <= sent:
        raise ValueError(f"{text} is over when the announcement is sent; give a later time, or a duration such as 10m")


def _duration_after(sent: datetime, text: str) -> datetime | None:
    try:
        seconds = durations.read(text)
    except ValueError:
        return None
    try:
        return (sent + timedelta(seconds=seconds)).astimezone(UTC)
    except OverflowError:
        raise ValueError(f"{text} is too long; give a time before the year 10000") from None


def _time(text: str) -> datetime:
    try:
        return times.read(text)
    except ValueError:
        raise ValueError(
            f"{text} is neither a duration, such as 90s, 10m or 1h30m, nor a time with a time zone, such as "
            "2026-12-01T06:00:00Z"
        ) from None
