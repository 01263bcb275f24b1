"""A bus message to the event that it is, encoded, or to nothing: anybody may publish anything to NATS."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import cast

from pydantic_core import from_json

from bus import Bus, Stored, subjects
from bus.messages import Event, JobEvent, JobOutput, JobProgress, Message
from bus.tracebacks import described
from quart_app.delivery.batch import Encoded


class EventParser:
    """Parses what the channels of this app can show.

    Args:
        bus: logs and counts what had to be dropped.
        events: every event class that a channel handles, by action.
        on_ended: called with the client and the job of each end that a channel can show.
    """

    def __init__(
        self,
        bus: Bus,
        events: Mapping[str, type[Message]],
        on_ended: Callable[[str, str], None] = lambda client_id, job_id: None,
    ) -> None:
        self._on_ended = on_ended
        self._bus = bus
        self._events = events

    def parse(self, stored: Stored, *, now: datetime | None = None) -> Encoded | None:
        """The event, with what its subject and the stream say of it.

        Args:
            now: the time for which it is asked whether it has expired; by default that of this process's clock, which
                may differ a little from the one by which `expires_at` was written.

        Returns:
            None for another program's action, one that only newer servers know, or an event that has expired. None,
            logged and counted, for what is not an event, is on a subject where it does not belong, or is something that
            its own class fails at.
        """
        try:
            fields = from_json(stored.data, allow_inf_nan=False)
            kind = self._events.get(fields["action"])
            if kind is None or (belongs := _belongs(kind)) is None:
                return None
            if (address := subjects.parse(stored.subject)) is None:
                raise ValueError(f"no events are stored on {stored.subject}")
            if belongs != (address.job_id is not None, address.output, address.progress):
                raise ValueError(f"{fields['action']} does not belong on {stored.subject}")
            fields |= {"seq": stored.seq or None, "at": stored.at, "group": address.group}
            if address.job_id is not None:
                fields["job_id"] = address.job_id
            event = cast(Event, kind.model_validate(fields))
            if isinstance(event, JobEvent) and event.ended and address.client_id and address.job_id:
                self._on_ended(address.client_id, address.job_id)
            return None if event.expired(now or datetime.now(UTC)) else Encoded.of(stored.seq, event)
        except Exception as error:  # classes of one's own may raise anything: that costs nobody another event
            what = "dropped a bus message that is not an event"
            self._bus.drop(what, subject=stored.subject, seq=stored.seq, error=described(error))
            return None

    def expired(self, one: Encoded, now: datetime) -> bool:
        """Whether what was parsed before is not to be shown at this time; an event that cannot say so is dropped."""
        try:
            return one.event.expired(now)
        except Exception as error:
            what = "dropped an event that does not say whether it has expired"
            self._bus.drop(what, seq=one.seq, error=described(error))
            return True


@functools.cache
def _belongs(kind: type[Message]) -> tuple[bool, bool, bool] | None:
    """Whether such events are about a job, are its output, and its progress; None for what is no event."""
    if not issubclass(kind, Event):
        return None
    return issubclass(kind, JobEvent), issubclass(kind, JobOutput), issubclass(kind, JobProgress)
