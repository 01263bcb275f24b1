"""Asking all who respond on a subject, of whom nobody knows how many there are."""

from __future__ import annotations

import asyncio
from contextlib import suppress

import nats.errors
from nats.aio.msg import Msg

from bus.connection import Connection


async def gather(
    connection: Connection, subject: str, data: bytes = b"", *, within: float, quiet: float, most: int
) -> list[bytes]:
    """The answers of all who respond on a subject, in the order in which they come.

    Args:
        within: seconds for all of it.
        quiet: seconds after an answer when no other one is waited for.
        most: answers that are taken.

    Raises:
        BusUnavailable: NATS is away, or went away meanwhile.
        NotPermitted: the user may not publish there, or not hear answers.
    """
    loop = asyncio.get_running_loop()
    end = loop.time() + within
    try:
        # First an answer alone: only a request is told that nobody is there, or that the user may not ask.
        await connection.request(subject, data, within)
    except (nats.errors.Error, TimeoutError):
        return []
    answers: list[bytes] = []
    enough = asyncio.Event()
    silence = asyncio.timeout_at(end)

    def on_message(message: Msg) -> None:
        if enough.is_set() or silence.expired():
            return
        answers.append(message.data)
        silence.reschedule(min(end, loop.time() + quiet))
        if len(answers) >= most:
            enough.set()

    with connection.hear_answers(on_message) as inbox, suppress(TimeoutError):
        async with silence:
            await connection.publish(subject, data, reply=inbox)
            await enough.wait()
    return answers
