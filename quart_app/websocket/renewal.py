"""Renewal: a client that stays connected can come back later however old its connection is."""

from __future__ import annotations

import asyncio
import math
from dataclasses import dataclass
from itertools import islice

from bus.messages import ResumeToken, ResumeTokenPayload
from quart_app.websocket.connection import Connection
from quart_app.websocket.session import Session, Sessions

TOKENS_AT_ONCE = 50
"""Tokens signed in one turn of the loop, about 2 ms."""
LONGEST_PAUSE = 0.25
"""Seconds between two turns, when that is enough."""
SHORTEST_PAUSE = 0.01
"""Seconds between two turns when tokens live for no longer."""


@dataclass(frozen=True, slots=True)
class Due:
    """Whose token is to be renewed, and when, in the event loop's time."""

    session: Session
    at: float


class Renewal:
    """Sends each connection a newer resume token when half of the life of its last one is over.

    So a token is good for at least about half of `BUS_RESUME_MAX_AGE` after a connection was lost. One task does it for
    all connections, whose tokens live equally long: who came first is first in line.

    Args:
        sessions: signs the tokens.
        max_age: seconds that a token is good for.
    """

    def __init__(self, sessions: Sessions, max_age: float) -> None:
        self._sessions = sessions
        self._half = max_age / 2
        self._pause = min(LONGEST_PAUSE, max(SHORTEST_PAUSE, max_age / 40))
        self._line: dict[Connection, Due] = {}

    def keep(self, connection: Connection, session: Session) -> None:
        """Renew the token of a connection, which was given one just now, until `drop`."""
        self._line.pop(connection, None)
        self._line[connection] = Due(session, asyncio.get_running_loop().time() + self._half)

    def drop(self, connection: Connection) -> None:
        """The connection is gone. Safe to call for one that was never kept."""
        self._line.pop(connection, None)

    async def run(self) -> None:
        """Renew until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            first = next(iter(self._line.values()), None)
            await asyncio.sleep(self._half if first is None else max(self._pause, first.at - loop.time()))
            self._renew_due(loop.time())

    def _renew_due(self, now: float) -> None:
        # As many as it takes to come to the end of the line within another quarter of a token's life.
        most = max(TOKENS_AT_ONCE, math.ceil(2 * len(self._line) * self._pause / self._half))
        for connection, due in list(islice(self._line.items(), most)):
            if due.at > now:
                return
            token = ResumeToken(payload=ResumeTokenPayload(resume=self._sessions.renewed(due.session)))
            connection.send(token.encode())
            self.keep(connection, due.session)
