"""Announcements: what was announced while a test ran."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pydantic import ValidationError

from bus import Bus, Settings, Stored, SyncBus, SystemNotification, subjects


@dataclass(frozen=True, slots=True)
class Announcement:
    """One announcement.

    Args:
        text: what it says.
        level: how much it matters; None where that was not said.
        group: to which group it goes; None for one to a client.
        client: to which client it goes; None for one to a group.
    """

    text: str
    level: str | None
    group: str | None
    client: str | None


class Announcements:
    """Reads what was announced since it was made. Made by `from_now_on`."""

    def __init__(self, bus: SyncBus, after: int) -> None:
        self._bus = bus
        self._after = after

    @classmethod
    @contextmanager
    def from_now_on(cls, settings: Settings) -> Iterator[Announcements]:
        """A block in which announcements are captured."""
        with SyncBus(settings, name="busctl testing", declare=False) as bus:
            yield cls(bus, bus.call(lambda bus: bus.stream.state()).last_seq)

    def all(self) -> list[Announcement]:
        """Those that are stored by now, in order. Whoever announces returns when it is stored."""
        found = [_announcement(stored) for stored in self._bus.call(self._read)]
        return [announcement for announcement in found if announcement is not None]

    @property
    def texts(self) -> list[str]:
        """What they say."""
        return [announcement.text for announcement in self.all()]

    async def _read(self, bus: Bus) -> list[Stored]:
        return [stored async for stored in bus.stream.replay(subjects.STREAM_SUBJECTS, after=self._after)]


def _announcement(stored: Stored) -> Announcement | None:
    address = subjects.parse(stored.subject)
    try:
        said = SystemNotification.model_validate_json(stored.data)
    except ValidationError:
        return None
    if address is None:
        return None
    return Announcement(said.payload, said.level, address.group, address.client_id)
