"""Tokens: what proves who this client is, asked for when it is needed, and brought again before it expires."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from typing import TypeAlias

from busctl_client.events import Frame

log = logging.getLogger("busctl_client")

Token: TypeAlias = str | Callable[[], str | Awaitable[str]]
"""A token, or what gives one that is valid now: a function, or a coroutine function."""

REFRESH = "refresh_token"
"""The `ref` of a `refresh_token`."""
WARNING = 60.0
"""Seconds before the end of a token that the server tells of it, whatever the clocks say."""
SHORTEST_PAUSE = 0.5
"""Seconds between two refreshes, however short tokens live."""


class Tokens:
    """Where tokens come from.

    Args:
        source: a token, or a function that gives one; None where the server asks for none.
        within: seconds that the function may take.
    """

    def __init__(self, source: Token | None, within: float) -> None:
        self._source = source
        self._within = within
        self._expires_at: datetime | None = None
        self._wanted = asyncio.Event()

    @property
    def renewable(self) -> bool:
        """Whether another one can be had."""
        return callable(self._source)

    async def get(self) -> str | None:
        """One that is valid now.

        Raises:
            TimeoutError: the function did not give one in time.
            Exception: whatever the function raises.
        """
        self._wanted.clear()
        if not callable(self._source):
            return self._source
        async with asyncio.timeout(self._within):
            given = self._source()
            return await given if inspect.isawaitable(given) else given

    def expiring(self, expires_at: datetime | None) -> None:
        """The server says when the one that it has expires, which is within a minute."""
        self._expires_at = expires_at
        self._wanted.set()

    def refused(self) -> None:
        """The server did not take the newer one."""
        self._wanted.set()

    async def refresh(self, send: Callable[[Frame], Awaitable[None]]) -> None:
        """Bring a newer one each time that the server says that it has to be, until cancelled."""
        while True:
            await self._wanted.wait()
            if not self.renewable:
                log.warning(
                    "the token expires at %s, and there is no other: give a function as `token`", self._expires_at
                )
                self._wanted.clear()
                continue
            await asyncio.sleep(self._pause())
            try:
                token = await self.get()
            except Exception as error:
                log.warning("no newer token could be had: %r", error)
                self._wanted.set()
            else:
                await send({"action": "refresh_token", "payload": {"token": token}, "ref": REFRESH})

    def _pause(self) -> float:
        # Half of what is left: there is time for another attempt, and short lives do not make it ask without end.
        left = 0.0 if self._expires_at is None else (self._expires_at - datetime.now(UTC)).total_seconds()
        return max(SHORTEST_PAUSE, min(left, WARNING) / 2)
