"""This process's connections and subscriptions: event in, frames out.

Each client with a connection here has one NATS subscription, each group one per process. An event is parsed and
encoded once, whatever the number of connections that get it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Iterator, Mapping

import structlog
from pydantic import ValidationError
from pydantic_core import from_json

from bus import Bus, Stored, Subscription, subjects
from bus.messages import Event, JobEvent, Message
from quart_app.close_codes import CloseCode
from quart_app.connection import Connection

log = structlog.get_logger(__name__)


class Hub:
    """Routes stored events to connections.

    Args:
        bus: the process's bus.
        events: every event class that a channel of this app handles, by action.
    """

    def __init__(self, bus: Bus, events: Mapping[str, type[Message]]) -> None:
        self._bus = bus
        self._events = events
        self._clients: dict[str, set[Connection]] = {}
        self._groups: dict[str, set[Connection]] = {}
        self._subscriptions: dict[str, Subscription] = {}
        self._departed = asyncio.Event()
        self.dropped = 0
        """Bus messages that were no event this app knows."""

    def __len__(self) -> int:
        return sum(map(len, self._clients.values()))

    def __iter__(self) -> Iterator[Connection]:
        return iter([connection for members in self._clients.values() for connection in members])

    async def start(self, groups: Iterable[str]) -> None:
        """Subscribe once to each group.

        Raises:
            BusUnavailable: NATS does not confirm it.
        """
        for group in groups:
            self._groups.setdefault(group, set())
            await self._bus.subscribe(subjects.group(group), self._on_group_event)
        await self._bus.confirm_subscriptions()

    async def attach(self, connection: Connection) -> None:
        """From now on the connection gets its client's events and those of its channel's groups.

        Raises:
            BusUnavailable: the bus is closed.
        """
        for group in connection.channel.groups:
            self._groups[group].add(connection)
        members = self._clients.setdefault(connection.client_id, set())
        members.add(connection)
        if len(members) == 1:
            subject = subjects.client(connection.client_id)
            self._subscriptions[connection.client_id] = await self._bus.subscribe(subject, self._on_client_event)

    async def detach(self, connection: Connection) -> None:
        """The connection is gone. Safe to call when `attach` failed half-way."""
        for group in connection.channel.groups:
            self._groups[group].discard(connection)
        members = self._clients.get(connection.client_id, set())
        members.discard(connection)
        if not members:
            self._clients.pop(connection.client_id, None)
            self._departed.set()
            subscription = self._subscriptions.pop(connection.client_id, None)
            if subscription is not None:
                await subscription.close()

    def close_all(self, code: CloseCode) -> None:
        """Ask every connection to close."""
        for connection in self:
            connection.close(code)

    async def empty(self) -> None:
        """Return when no connection is left."""
        while self._clients:
            self._departed.clear()
            await self._departed.wait()

    def _on_client_event(self, stored: Stored) -> None:
        address = subjects.parse(stored.subject)
        if address is not None and address.client_id is not None:
            self._deliver(stored, self._clients.get(address.client_id, ()))

    def _on_group_event(self, stored: Stored) -> None:
        address = subjects.parse(stored.subject)
        if address is not None and address.group is not None:
            self._deliver(stored, self._groups.get(address.group, ()))

    def _deliver(self, stored: Stored, connections: Iterable[Connection]) -> None:
        event = self._read(stored)
        if event is not None:
            frame = event.encode()
            for connection in connections:
                connection.deliver(event, frame)

    def _read(self, stored: Stored) -> Event | None:
        address = subjects.parse(stored.subject) or subjects.Address()
        try:
            fields = from_json(stored.data, allow_inf_nan=False)
            kind = self._events.get(fields["action"])
            if kind is None or not issubclass(kind, Event):
                return None  # another program's event, or one that only newer servers know
            if issubclass(kind, JobEvent) != (address.job_id is not None):
                raise ValueError(f"{fields['action']} does not belong on {stored.subject}")
            fields |= {"seq": stored.seq, "group": address.group}
            if address.job_id is not None:
                fields["job_id"] = address.job_id
            return kind.model_validate(fields)
        except (ValueError, KeyError, TypeError, RecursionError, ValidationError) as error:
            self.dropped += 1
            log.warning(
                "dropped a bus message that is no event",
                subject=stored.subject,
                seq=stored.seq,
                error=str(error),
            )
            return None
