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


class Limited(Told):
    """One that takes so many and no more, and is silent when it is asked for the nth time whether it did."""

    def __init__(self, subscriptions: Subscriptions, most: int, silent: int = 0) -> None:
        super().__init__()
        self.subjects: dict[int, str] = {}
        self.asked = self._sent = 0
        self._subscriptions, self._most, self._silent = subscriptions, most, silent

    async def hear(self, subject: str, handler: Any) -> int:
        self._sent += 1
        if len(self.subjects) < self._most:
            self.subjects[self._sent] = subject
        else:
            self._subscriptions.overflow()
        return self._sent

    async def unhear(self, number: int) -> None:
        self.subjects.pop(number, None)

    async def settle(self, timeout: float) -> None:
        self.asked += 1
        if self.asked == self._silent:
            raise nats.errors.FlushTimeoutError


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


async def test_at_a_limit_the_server_is_asked_a_few_times_which_of_many_are_too_many(
    subscriptions: Subscriptions,
) -> None:
    client = Limited(subscriptions, 600)
    many = [subscriptions.add(f"s{number}", ignore) for number in range(1000)]
    await subscriptions.send_all(cast(NatsClient, client))
    assert len(client.subjects) == 600
    assert {each.subject for each in many if each.refused is None} == set(client.subjects.values())
    assert client.asked < 50


async def test_what_stays_refused_is_told_once_and_taken_when_there_is_room(subscriptions: Subscriptions) -> None:
    client = Limited(subscriptions, 2)
    told: list[str] = []
    many = [subscriptions.add(f"s{number}", ignore) for number in range(5)]
    for each in many:
        each.on_refused = lambda error: told.append(str(error))
    await subscriptions.send_all(cast(NatsClient, client))
    assert not await subscriptions.mend(cast(NatsClient, client))
    assert len(told) == 3
    client._most = 4
    assert await subscriptions.mend(cast(NatsClient, client))
    assert len(client.subjects) == 4
    client._most = 5
    assert await subscriptions.mend(cast(NatsClient, client))
    assert not subscriptions.troubled
    assert len(told) == 3


@pytest.mark.parametrize("silent", range(2, 8))
async def test_whatever_the_server_leaves_open_is_asked_again(subscriptions: Subscriptions, silent: int) -> None:
    client = Limited(subscriptions, 13, silent)
    told: set[str] = set()
    many = [subscriptions.add(f"s{number}", ignore) for number in range(30)]
    for each in many:
        each.on_refused = lambda error: told.add(str(error).split('"')[1])
    with pytest.raises(nats.errors.FlushTimeoutError):
        await subscriptions.send_all(cast(NatsClient, client))
    assert subscriptions.in_doubt
    subscriptions.answered(subscriptions.begin())
    await subscriptions.confirm(cast(NatsClient, client))
    heard = set(client.subjects.values())
    assert len(heard) == 13
    assert {each.subject for each in many if each.refused is not None} == {each.subject for each in many} - heard
    assert told >= {each.subject for each in many} - heard
