"""Subscriptions over one connection after the other, where the connections are told what to do."""

from __future__ import annotations

from typing import Any, cast
from unittest.mock import AsyncMock

import nats.errors
import pytest

from bus.nats_client import NatsClient
from bus.subscriptions import Subscriptions


class Told:
    """Stands for a connection: it numbers subscriptions from 1, as each does."""

    def __init__(self, *, closed: bool = False) -> None:
        self.closed = closed
        self.heard: list[int] = []

    async def hear(self, subject: str, handler: Any) -> int:
        if self.closed:
            raise nats.errors.ConnectionClosedError
        self.heard.append(len(self.heard) + 1)
        return self.heard[-1]

    async def unhear(self, number: int) -> None:
        self.heard.remove(number)


@pytest.fixture
def subscriptions() -> Subscriptions:
    return Subscriptions(lambda: None)


async def ignore(message: object) -> None: ...


async def test_one_that_the_next_connection_does_not_take_ends_none_of_its_own(subscriptions: Subscriptions) -> None:
    first, second = Told(), Told()
    clients = cast("tuple[NatsClient, NatsClient]", (first, second))
    lost = await subscriptions.open("a", clients[0], ignore)
    second.closed = True
    await subscriptions.send(lost, clients[1])
    second.closed = False
    await subscriptions.open("b", clients[1], ignore)
    await lost.unsubscribe()
    assert (first.heard, second.heard) == ([1], [1])


async def test_one_that_cannot_be_sent_is_none(subscriptions: Subscriptions, monkeypatch: pytest.MonkeyPatch) -> None:
    client = Told()
    monkeypatch.setattr(client, "hear", AsyncMock(side_effect=nats.errors.BadSubjectError))
    with pytest.raises(nats.errors.BadSubjectError):
        await subscriptions.open("a", cast(NatsClient, client), ignore)
    monkeypatch.undo()
    await subscriptions.open("b", cast(NatsClient, client), ignore)
    assert [each.subject for each in subscriptions._all] == ["b"]


async def test_one_is_ended_once(subscriptions: Subscriptions) -> None:
    client = Told()
    one = await subscriptions.open("a", cast(NatsClient, client), ignore)
    assert one in subscriptions
    await one.unsubscribe()
    await one.unsubscribe()
    assert client.heard == []
    assert one not in subscriptions
