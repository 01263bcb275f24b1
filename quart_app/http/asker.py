"""Asker: lets HTTP requests do what frames do, by the same handlers of the channel."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Coroutine
from typing import Any

from quart import Request
from werkzeug.datastructures import Headers

from bus.messages import ErrorItem, Message
from quart_app.channel import Channel
from quart_app.errors import BadFrame, Forbidden, Refused
from quart_app.finish import finished, uncancelled
from quart_app.http.caller import Caller
from quart_app.identity.identity import Identity
from quart_app.services import Services
from quart_app.websocket.frame_parser import FrameParser
from quart_app.websocket.socket import peer_of

NAMED = {"key": ("header", "Idempotency-Key"), "job_id": ("path", "job_id")}
"""Where in a request stands what is called so in a frame."""


class NoMembership:
    """Of a request, which joins nothing."""

    joined: Collection[str] = ()

    async def join(self, group: str, *, most: int) -> None:
        raise Refused("not_allowed", "a request over HTTP joins no groups")

    async def leave(self, group: str) -> bool:
        return False


class RequestConnection:
    """What a channel sees in place of a connection.

    Args:
        request: the HTTP request.
        identity: whose it is.
    """

    def __init__(self, request: Request, identity: Identity) -> None:
        self.identity = identity
        self.client_id = identity.client_id
        self.membership = NoMembership()
        self.peer = peer_of(request)
        self.address = self.peer or ""
        self.headers: Headers = request.headers

    async def drained(self) -> None:
        """Nothing waits."""

    def send(self, text: str) -> None:
        """What a handler sends besides its answer has nobody to go to."""

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """A request has ended when it is answered."""
        work.close()
        return None


class Asker:
    """Asks one channel.

    Args:
        channel: whose handlers do what is asked for.
        services: what they may use.
    """

    def __init__(self, channel: type[Channel], services: Services) -> None:
        self._channel = channel
        self._services = services
        self._parser = FrameParser({action: one.message for action, one in channel.receives.items()})

    async def ask(self, request: Request, caller: Caller, frame: dict[str, Any]) -> Message | None:
        """Do what a frame asks for. Once begun it is finished, though the client leaves.

        Returns:
            What the channel answers; None when events tell.

        Raises:
            BadFrame: the frame cannot be accepted, with items that say where in the request that is.
            Forbidden: the channel does not let the client in.
            Refused, BusUnavailable, EventTooLarge: it is not done.
        """
        try:
            message = self._parser.message(frame)
            instance = self._channel(RequestConnection(request, caller.identity), self._services)
            if not instance.may_connect():
                raise Forbidden
            operation = self._channel.receives[message.action]
            if operation.method is None:
                raise TypeError(f"{operation.name} has no method")
            return await finished(uncancelled(operation.method(instance, message)))
        except BadFrame as bad:
            raise BadFrame(tuple(map(_in_request, bad.error.payload))) from bad


def _in_request(item: ErrorItem) -> ErrorItem:
    """The item with its place in the request, in place of that in a frame."""
    loc = item.loc[1:]
    if loc[:1] == ("payload",):
        loc = loc[1:]
    named = NAMED.get(str(loc[0])) if loc else None
    return item.model_copy(update={"loc": (*named, *loc[1:]) if named else ("body", *loc)})
