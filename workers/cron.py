"""Cron: the times that a cron expression means in a time zone, as Debian's cron reads it. Pure: it knows no clock.

CronSim reads the expression and finds local times. Of one with fixed minutes and hours it also knows what becomes of
them where clocks change: one that is left out comes with the change, and one that comes twice counts once. Any other
means every moment whose local time matches. Those we look for in the stretches between two changes, in each of which a
local time is a moment and the other way round: across a change CronSim finds some or not, depending on where it begins.
"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import takewhile
from zoneinfo import ZoneInfo

from cronsim import CronSim

DAY = timedelta(days=1)
SECOND = timedelta(seconds=1)
TICK = timedelta(microseconds=1)
STRIDE = timedelta(days=25)
"""How far one looks at once for the next change of clocks; two changes are further apart."""


class Cron:
    """A cron expression in a time zone.

    Args:
        expression: five fields.
        zone: in which its hours are.

    Raises:
        CronSimError: it cannot be read, or never comes.
    """

    def __init__(self, expression: str, zone: ZoneInfo) -> None:
        self._expression = expression
        self._zone = zone
        self._fixed = CronSim(expression, datetime.now(zone)).fixup_tz is not None

    def after(self, time: datetime) -> Iterator[datetime]:
        """The times after one, in UTC, the earliest first.

        Args:
            time: with a time zone.
        """
        return (slot for slot in self._slots(time) if slot > time)

    def latest(self, until: datetime) -> datetime | None:
        """The newest of the times that are not after one, in UTC; None if there was none for 50 years."""
        # Where clocks went back, what is earlier may show a later hour.
        shift = max(timedelta(0), self._offset(until - DAY) - self._offset(until))
        for slot in self._slots(until + shift + SECOND, reverse=True):
            # Backwards, CronSim passes over one that a change of clocks has moved: the way forward counts.
            if found := [*takewhile(lambda one: one <= until, self.after(slot - TICK))]:
                return found[-1]
        return None

    def _slots(self, time: datetime, *, reverse: bool = False) -> Iterator[datetime]:
        if self._fixed:
            return (slot.astimezone(UTC) for slot in CronSim(self._expression, time.astimezone(self._zone), reverse))
        return self._matching(time.astimezone(UTC).replace(microsecond=0), reverse)

    def _matching(self, start: datetime, reverse: bool) -> Iterator[datetime]:
        step = -SECOND if reverse else SECOND
        offset, last = self._offset(start), start
        while True:
            for local in CronSim(self._expression, (start + offset).replace(tzinfo=None), reverse):
                found = local.replace(tzinfo=UTC) - offset
                if self._offset(found) != offset:
                    break
                yield found
                last = found
            else:
                return
            last = self._change(last, found)
            start, offset = last - step, self._offset(last)  # that second itself may match

    def _change(self, near: datetime, far: datetime) -> datetime:
        """On the way from a moment to one with another offset, the first second with another offset."""
        offset, stride = self._offset(near), STRIDE if far > near else -STRIDE
        while abs(far - near) > STRIDE:
            if self._offset(near + stride) != offset:
                far = near + stride
            else:
                near += stride
        while abs(far - near) > SECOND:
            middle = near + (far - near) // (2 * SECOND) * SECOND
            near, far = (middle, far) if self._offset(middle) == offset else (near, middle)
        return far

    def _offset(self, moment: datetime) -> timedelta:
        return moment.astimezone(self._zone).utcoffset() or timedelta(0)
