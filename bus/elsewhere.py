"""Looks whether another server would do, while the one in use does not.

In a cluster that fell apart a server that is cut off takes connections and stores nothing. Nobody leaves a server that
answers before another one is known to do, or all would be on the move whenever the cluster chooses a leader.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import nats.errors
from nats.aio.msg import Msg

from bus.ending import end_task
from bus.nats_client import NatsClient
from bus.nats_url import NatsServer

MOST_ASKED = 5
"""Servers that are asked at the same time, by chance."""
PATIENCE = 1.5
"""Seconds for one to be reached and to answer. One that would do takes milliseconds; the others are asked again."""
SILENT = 1.0
"""Seconds after which a server that has not answered a protocol ping is taken to be silent."""


@dataclass(frozen=True, slots=True)
class Question:
    """What tells whether a server would do.

    Args:
        subject: of the request.
        accepts: whether an answer means that it would.
    """

    subject: str
    accepts: Callable[[bytes], bool]


async def find(
    servers: Sequence[NatsServer],
    question: Question | None,
    inbox_prefix: str,
    connect: Callable[[NatsServer], NatsClient],
) -> NatsServer | None:
    """The first of these servers that would do, or None.

    Args:
        question: by whose answer; without one any server would do that takes a connection.
        inbox_prefix: below which this user may hear answers.
        connect: makes a client of a server, which is closed again.
    """
    asking = {
        asyncio.create_task(_would_do(connect(server), question, inbox_prefix), name=f"ask {server.url}"): server
        for server in servers[:MOST_ASKED]
    }
    try:
        waiting = set(asking)
        while waiting:
            done, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                if task.result():
                    return asking[task]
        return None
    finally:
        for task in asking:
            await end_task(task)


async def is_silent(client: NatsClient) -> bool:
    """Whether a server does not even answer a protocol ping: it is frozen, or the way to it is cut."""
    try:
        await client.settle(SILENT)
    except (nats.errors.Error, OSError, TimeoutError):
        return True
    return False


async def _would_do(client: NatsClient, question: Question | None, inbox_prefix: str) -> bool:
    answered: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()
    inbox = f"{inbox_prefix}.{secrets.token_hex(11)}"

    async def on_answer(message: Msg) -> None:
        if not answered.done():
            answered.set_result(message.data)

    try:
        async with asyncio.timeout(PATIENCE):
            await client.open()
            if question is None:
                return True
            await client.hear(inbox, on_answer)
            await client.publish(question.subject, reply=inbox)
            return question.accepts(await answered)
    except (OSError, TimeoutError, nats.errors.Error):
        return False
    finally:
        await client.leave()
