"""Listeners: callbacks that fail harm nobody, and a reader that does not read takes no memory without end."""

from __future__ import annotations

import gc
from datetime import UTC, datetime

import pytest
from busctl_client.errors import BusctlError, ClientClosed, EventsDropped, Unauthorized
from busctl_client.events import Event
from busctl_client.listeners import Events, Listeners


def event(number: int, action: str = "x") -> Event:
    return Event(action, number, number, datetime.now(UTC), None, None, {})


def reader(listeners: Listeners, *names: str, most: int = 3, trouble: BusctlError | None = None) -> Events:
    return listeners.read(names, Events(most, lambda: trouble))


async def test_a_reader_that_is_too_slow_is_told_and_reads_on() -> None:
    listeners = Listeners()
    events = reader(listeners)
    for number in range(10):
        listeners.tell_event(event(number))
    with pytest.raises(EventsDropped, match="7 events were dropped"):
        await anext(events)
    assert [(await anext(events)).seq for _ in range(3)] == [7, 8, 9]


async def test_a_reader_has_the_actions_that_it_asked_for() -> None:
    listeners = Listeners()
    some, every = reader(listeners, "x"), reader(listeners)
    listeners.tell_event(event(1, "y"))
    listeners.tell_event(event(2, "x"))
    assert (await anext(some)).seq == 2
    assert (await anext(every)).seq == 1


@pytest.mark.parametrize("action", ["state", "welcome", "job", "*"])
async def test_an_event_with_a_name_of_the_clients_own_is_told_as_any_event(action: str) -> None:
    listeners = Listeners()
    own: list[object] = []
    every: list[object] = []
    listeners.on(action, own.append)
    listeners.on("*", every.append)
    told = event(1, action)
    events = reader(listeners)
    listeners.tell_event(told)
    assert own == ([told] if action == "*" else [])
    assert every == [told] == [await anext(events)]


async def test_a_reader_that_nobody_has_any_more_is_forgotten() -> None:
    listeners = Listeners()
    events = reader(listeners)
    del events
    gc.collect()
    assert len(listeners._readers) == 0


async def test_reading_ends_with_the_client_and_raises_what_else_ended_it() -> None:
    listeners = Listeners()
    assert [each async for each in reader(listeners, trouble=ClientClosed())] == []
    with pytest.raises(Unauthorized, match="sign in"):
        await anext(reader(listeners, trouble=Unauthorized(4401, "sign in")))


async def test_a_callback_that_fails_is_logged_and_harms_nobody(caplog: pytest.LogCaptureFixture) -> None:
    listeners = Listeners()
    heard: list[object] = []
    listeners.on("x", lambda _: 1 / 0)
    off = listeners.on("x", heard.append)
    listeners.tell("x", 1)
    off()
    off()
    listeners.tell("x", 2)
    assert heard == [1]
    assert "a callback for 'x' failed" in caplog.text


def test_a_coroutine_function_is_no_callback() -> None:
    async def nobody_awaits(_: object) -> None: ...

    with pytest.raises(TypeError, match="async for event in client"):
        Listeners().on("x", nobody_awaits)
