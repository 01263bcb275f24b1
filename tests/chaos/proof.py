"""How a client proves whose it is: with tokens that live for seconds, refreshed on the open connection or not."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator

from websockets.exceptions import ConnectionClosed

from quart_app.close_codes import TOKEN_EXPIRED
from quart_app.identity.token import LEEWAY
from tests.chaos.answers import Frame
from tests.tokens import token

LIVES = 4, 16
"""Least and most seconds for which a token is good, so that some expire on the connection that they opened."""
GROUPS = ["team"]
"""What each token lists: a connection is subscribed to it as it begins, and with each newer token."""
REFRESHES = 0.6
"""How likely a client brings a newer token in time; else it is closed, and comes back with one."""
EARLY = 0.5
"""Seconds by which two clocks may differ in what the time is."""
LONG_LIFE = 600
"""Seconds for which a token is good with which a client comes back to see what is replayed."""
LATE = LEEWAY + 30.0
"""Seconds after the end of its last token within which a connection must be closed, whatever broke meanwhile. A process
that was frozen takes a token that has just expired, and closes the connection at the end of its leeway."""


class Proof:
    """The tokens of one client.

    Args:
        user: who it is: the token's `sub`.
        rng: its own source of chance.
    """

    def __init__(self, user: str, rng: random.Random) -> None:
        self.refreshed = 0
        """How many newer tokens were taken on an open connection."""
        self.expired = 0
        """How many connections were closed because their token had expired."""
        self._user = user
        self._rng = rng
        self._good_until = 0.0
        """When the last token that was surely taken expires."""
        self._sent_until = 0.0
        """When the last token that was sent expires."""
        self._refresh_at: float | None = None

    def begin(self, *, long: bool = False) -> Frame:
        """What a new connection's `connect` has of it: a token that is good for seconds, or for long."""
        self._refresh_at = None
        token = self._new(LONG_LIFE if long else self._rng.randint(*LIVES))
        self._good_until = self._sent_until
        return {"token": token}

    def refresh(self) -> Frame | None:
        """The frame that brings a newer token, when it is time for it."""
        if self._refresh_at is None or time.time() < self._refresh_at:
            return None
        self._refresh_at = None
        return {"action": "refresh_token", "payload": {"token": self._new(self._rng.randint(*LIVES))}}

    def read(self, frame: Frame) -> None:
        """Take a frame about it."""
        match frame["action"]:
            case "token_expiring" if self._rng.random() < REFRESHES:
                self._refresh_at = self._sent_until - self._rng.uniform(0.2, 2.0)
            case "token_refreshed":
                self.refreshed += 1
                self._good_until = self._sent_until

    def closed(self, how: ConnectionClosed) -> Iterator[str]:
        """Its connection was closed. Gives what is wrong with that."""
        if how.rcvd is None or how.rcvd.code != TOKEN_EXPIRED.code:
            return
        self.expired += 1
        if (left := self._good_until - time.time()) > EARLY or how.rcvd.reason != TOKEN_EXPIRED.reason:
            yield f"{self._user} was told {how.rcvd} with a token that is good for {left:.1f} s"

    def overdue(self) -> Iterator[str]:
        """Gives what is wrong with a connection that is still open."""
        if time.time() > self._sent_until + LATE:
            yield f"{self._user} is still connected {time.time() - self._sent_until:.1f} s after its last token expired"

    def _new(self, life: int) -> str:
        self._sent_until = int(time.time()) + life
        return token(sub=self._user, exp=self._sent_until, groups=GROUPS)
