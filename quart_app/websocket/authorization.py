"""Authorization: what one connection has proved, for how long that holds, and in which groups that lets it be."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Protocol

from bus import BusUnavailable, times
from bus.messages import RefreshToken, TokenExpiring, TokenLifePayload, TokenRefreshed
from quart_app.channel import CLIENT, Channel
from quart_app.close_codes import FORBIDDEN, INTERNAL_ERROR, TOKEN_EXPIRED, CloseCode
from quart_app.errors import KeysUnavailable, Refused, Unauthorized
from quart_app.identity.authenticator import Authenticator
from quart_app.identity.identity import Identity
from quart_app.identity.token import LEEWAY
from quart_app.sparse_log import SparseLog
from quart_app.websocket.membership import Membership

too_many_groups = SparseLog("a token lists more groups than its connection may join; see most_groups")

WARNING = 60.0
"""Seconds before a token expires that its connection is told."""


class Authorized(Protocol):
    """A connection, as its authorization sees it."""

    membership: Membership

    @property
    def v1(self) -> bool:
        """Whether it speaks `bus.v1`, and so is told."""

    def send(self, text: str) -> None:
        """Send a message."""

    def close(self, code: CloseCode) -> None:
        """Close it."""


class Authorization:
    """Watches over the token of one connection: tells before it expires, takes a newer one, else closes with 4401.

    Args:
        connection: whose it is.
        channel: decides which groups that lets it be in.
        authenticator: verifies a newer token.
        identity: what was proved so far.
    """

    __slots__ = ("_authenticator", "_channel", "_connection", "_end", "_warning", "identity")

    def __init__(
        self, connection: Authorized, channel: Channel, authenticator: Authenticator, identity: Identity
    ) -> None:
        self.identity = identity
        self._connection = connection
        self._channel = channel
        self._authenticator = authenticator
        self._end: asyncio.TimerHandle | None = None
        self._warning: asyncio.TimerHandle | None = None

    def begin(self) -> None:
        """Close the connection when its token expires; one that was in its leeway, when that is over."""
        expires_at = self.identity.expires_at
        if expires_at is not None:
            end = expires_at if expires_at > time.time() else expires_at + LEEWAY
            self._end = _at(end, lambda: self._connection.close(TOKEN_EXPIRED))

    def warn(self) -> None:
        """Tell the client a minute before its token expires, or at once when that is sooner."""
        expires_at = self.identity.expires_at
        if expires_at is not None and self._connection.v1:
            told = TokenExpiring(payload=_life(expires_at)).encode()
            self._warning = _at(expires_at - WARNING, lambda: self._connection.send(told))

    def end(self) -> None:
        """The connection is gone."""
        for timer in (self._end, self._warning):
            if timer is not None:
                timer.cancel()
        self._end = self._warning = None

    async def join_groups(self) -> None:
        """Join the groups that the token lists, in its order, as far as the channel lets its bearer and there is room.

        Raises:
            BusUnavailable: NATS is away.
        """
        for group in self.identity.groups:
            if group == CLIENT or not self._channel.may_join(self.identity, group):
                continue
            try:
                await self._connection.membership.join(group, most=self._channel.most_groups)
            except Refused:
                listed, most = len(self.identity.groups), self._channel.most_groups
                too_many_groups.warn(client_id=self.identity.client_id, listed=listed, most_groups=most)
                return

    async def refresh(self, message: RefreshToken) -> TokenRefreshed:
        """Take a newer token of the same user, with what it says now.

        Raises:
            Refused: it is not valid, or another user's; nothing has changed.
            BusUnavailable: NATS is away, so that a group that it lists could not be joined. The token is taken.
            Exception: the channel failed to say what it lets its bearer do. The connection is closed.
        """
        try:
            identity = await self._authenticator.identify(message.payload.token)
        except Unauthorized as error:
            raise Refused("token_refused", str(error)) from error
        except KeysUnavailable as error:
            raise Refused("keys_unavailable", str(error)) from error
        if identity.user != self.identity.user or identity.expires_at is None:
            raise Refused("token_refused", "the token is another user's; connect again to be somebody else")
        self.end()
        self.identity = identity
        self.begin()
        self.warn()
        try:
            await self._apply(identity)
        except BusUnavailable:
            raise
        except Exception:
            self._connection.close(INTERNAL_ERROR)
            raise
        return TokenRefreshed(payload=_life(identity.expires_at))

    async def _apply(self, identity: Identity) -> None:
        if not self._channel.may_connect():
            self._connection.close(FORBIDDEN)
        membership = self._connection.membership
        for group in membership.joined:
            if not self._channel.may_join(identity, group):
                await membership.leave(group)
        await self.join_groups()


def _life(expires_at: float) -> TokenLifePayload:
    return TokenLifePayload(expires_at=times.of_epoch(expires_at))


def _at(moment: float, action: Callable[[], None]) -> asyncio.TimerHandle:
    return asyncio.get_running_loop().call_later(max(0.0, moment - time.time()), action)
