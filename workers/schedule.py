"""Schedule: at which times a job begins by itself. Pure: it knows no clock and no server.

    Schedule("cleanup", every="15m").next(now)
    Schedule("report", cron="0 6 * * *", timezone="Europe/Berlin", content="daily").latest(now)

Each of these times is a slot. Every process that has the same definition has the same slots: `every` counts from
1970-01-01 00:00 UTC, and `cron` is read as Debian's cron reads it, also on the days when clocks change.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSimError

from bus import durations
from workers.cron import Cron

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LEAST, MOST = timedelta(seconds=1), timedelta(days=366)
"""How often a job may begin, with `every`."""
MOST_WAITING = 1000
"""Slots that wait at a time; finding so many takes less than a tenth of a second."""
FIELDS = 5
LONGEST_CRON = 256
TICK = timedelta(microseconds=1)
DAY = timedelta(days=1)


@dataclass(frozen=True)
class Schedule:
    """The times at which a job begins by itself. Either `every` or `cron` is given.

    Args:
        name: the job type.
        every: a duration, such as "15m" or "1h30m".
        cron: five fields: minute, hour, day of the month, month, day of the week.
        timezone: in which `cron` is meant, an IANA name; by default UTC.
        content: what each job works on, as JSON has it.

    Raises:
        ValueError: it has no times; the message is for people.
    """

    name: str
    every: str | None = None
    cron: str | None = None
    timezone: str | None = None
    content: Any = field(default=None, hash=False)

    def __post_init__(self) -> None:
        if self.every is not None and self.cron is not None:
            raise ValueError("has both every and cron: give one of them")
        if self.every is not None:
            if self.timezone is not None:
                raise ValueError("has a timezone, which only cron has; every counts from midnight UTC")
            _ = self._period
        elif self.cron is not None:
            _ = self._zone
            self._require_slots(self.cron)
        else:
            raise ValueError("has a schedule without every or cron")

    @property
    def definition(self) -> str:
        """In words; another definition is another text."""
        if self.cron is None:
            return f"every {self.every}"
        return f"cron {' '.join(self.cron.split())} {self._zone.key}"

    def next(self, after: datetime) -> datetime:
        """The first slot after a time, in UTC.

        Args:
            after: with a time zone.

        Raises:
            OverflowError, StopIteration: there is none, before the year 10000 and within 50 years.
        """
        if self.cron is None:
            return EPOCH + ((after - EPOCH) // self._period + 1) * self._period
        return next(self._cron.after(after))

    def latest(self, until: datetime) -> datetime | None:
        """The newest slot that is not after a time, in UTC; None if there was none for 50 years.

        Args:
            until: with a time zone.
        """
        if self.cron is None:
            return EPOCH + (until - EPOCH) // self._period * self._period
        return self._cron.latest(until)

    def waiting(self, first: datetime, now: datetime) -> list[datetime]:
        """The slots that are due: this first one, and those after it. The newest comes first; of more than
        `MOST_WAITING` older ones are left out."""
        found: list[datetime] = []
        slot = self.latest(now)
        while slot is not None and slot > first and len(found) < MOST_WAITING - 1:
            found.append(slot)
            slot = self.latest(slot - TICK)
        return [*found, first]

    @cached_property
    def _period(self) -> timedelta:
        every = self.every
        try:
            period = timedelta(seconds=durations.read(every)) if isinstance(every, str) else None
        except (ValueError, OverflowError):
            period = None
        if period is None:
            raise ValueError(f"has every={every!r}, which is no duration, such as 90s, 15m, 2h, 1d or 1h30m")
        if not LEAST <= period <= MOST:
            raise ValueError(f"has every={every!r}: it is to be at least 1s and at most {MOST.days}d")
        return period

    @cached_property
    def _zone(self) -> ZoneInfo:
        try:
            return ZoneInfo("UTC" if self.timezone is None else self.timezone)
        except Exception as error:  # of an unknown name, or of what is none, it raises several kinds
            raise ValueError(
                f"has timezone={self.timezone!r}, which is no IANA time zone, such as Europe/Berlin"
            ) from error

    @cached_property
    def _cron(self) -> Cron:
        return Cron(self.cron or "", self._zone)

    def _require_slots(self, cron: str) -> None:
        if not isinstance(cron, str) or len(cron) > LONGEST_CRON or len(cron.split()) != FIELDS:
            raise ValueError(
                f"has cron={cron!r}, which has not five fields: minute hour day-of-month month day-of-week, "
                'such as "0 6 * * *"'
            )
        try:
            self.next(EPOCH.replace(year=2000))
        except CronSimError as error:
            raise ValueError(f"has cron={cron!r}, which never comes, or cannot be read: {error}") from error
        except StopIteration:
            raise ValueError(f"has cron={cron!r}, which never comes") from None
