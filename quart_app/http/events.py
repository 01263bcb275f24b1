"""`GET /api/events`: what happens to a client, as Server-Sent Events that go on where they were left."""

from __future__ import annotations

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from quart import Response, request

from bus.messages import Connect, ConnectPayload
from quart_app.channel import Channel
from quart_app.close_codes import COOKIE_RENEWAL, INTERNAL_ERROR
from quart_app.delivery.batch import View
from quart_app.errors import BadFrame, Forbidden, Refused
from quart_app.http.caller import Caller
from quart_app.http.desk import Desk
from quart_app.http.event_socket import KEEP_ALIVE, EventSocket, Send
from quart_app.http.event_stream import EventStream, RawHeaders
from quart_app.http.position import Position
from quart_app.websocket.connection import Connection
from quart_app.websocket.frame_parser import FrameParser, item
from quart_app.websocket.handshake import Greeting
from quart_app.websocket.reception import Reception
from quart_app.websocket.session import Session
from quart_app.websocket.socket import peer_of
from quart_app.websocket.visit import Visit

KEEP_ALIVE_EVERY = 15.0
"""Seconds between two signs of life."""

UNREADABLE = Position({})
"""Of a reader that was told where it stands by another kind of server, so that nobody knows what it missed."""


class Events:
    """Serves the readers of one channel's events.

    Args:
        channel: the channel.
        reception: how connections begin and end.
        desk: says who asks.
    """

    def __init__(self, channel: type[Channel], reception: Reception, desk: Desk) -> None:
        self._reception = reception
        self._desk = desk
        self._view = View(channel, v1=True)
        self._parser = FrameParser({action: one.message for action, one in channel.receives.items()})

    async def open(self) -> Response:
        """The response that has the events.

        Raises:
            Refused: there is no room, or the client asks too often.
            Unauthorized, KeysUnavailable, Forbidden: it may not read.
            BadFrame: where it wants to go on cannot be understood.
            BusUnavailable: NATS is away.
        """
        if request.method == "HEAD":
            return EventStream()
        admission, peer = self._reception.admission, peer_of(request)
        if (refusal := admission.refusal(peer)) is not None:
            reason = (await refusal.get_data(as_text=True)).strip()
            if refusal.status_code == 429:
                raise Refused("too_many_requests", reason)
            raise Refused("no_room", reason)
        with ExitStack() as held:  # from here on, or many that come at once would all find room for one
            held.enter_context(admission)
            held.enter_context(admission.addresses.opened(peer))
            caller = await self._desk.caller(counted=True)
            greeting = _greeting(caller, _position())
            asked = greeting.connect.payload.cursors
            socket = EventSocket(request.scope, request.headers, asked, greeting.session)
            connection = self._reception.connection(socket, self._view, self._parser, caller.identity)
            if not connection.may_connect:
                raise Forbidden
            resume = await self._desk.resume_token(caller)
            # Nothing waits, and so nothing is cancelled, between here and the beginning of what serves the stream.
            stream = EventStream(partial(self._serve, held.pop_all(), socket, connection, greeting, caller.cookie))
        return self._desk.remembering(stream, caller, resume)

    async def _serve(
        self,
        held: ExitStack,
        socket: EventSocket,
        connection: Connection,
        greeting: Greeting,
        renewed: bool,
        send: Send,
        headers: RawHeaders,
    ) -> None:
        with held, Visit(self._reception.metrics, socket.scope) as visit:
            await socket.open(send, headers)
            visit.accepted(connection.protocol)
            visit.known(connection.client_id)
            try:
                await connection.run(self._opened(connection, greeting, renewed=renewed))
            except Exception:
                await socket.close(INTERNAL_ERROR.code, INTERNAL_ERROR.reason)
                raise
            finally:
                await self._reception.detach(connection, visit)

    async def _opened(self, connection: Connection, greeting: Greeting, *, renewed: bool) -> None:
        connection.start(self._stay(connection, renewed=renewed), "keep a reader of events")
        await self._reception.open(connection, greeting)

    async def _stay(self, connection: Connection, *, renewed: bool) -> None:
        """Show that the server is there; and have a client come back before its cookie is too old, if it has one."""
        loop = asyncio.get_running_loop()
        end = loop.time() + self._reception.services.settings.resume_max_age / 2
        while not renewed or loop.time() < end:
            await asyncio.sleep(min(KEEP_ALIVE_EVERY, max(0.0, end - loop.time())) if renewed else KEEP_ALIVE_EVERY)
            connection.send(KEEP_ALIVE)
        connection.close(COOKIE_RENEWAL)


def _position() -> Position | None:
    """Where the reader wants to go on; None when it does not say.

    Raises:
        BadFrame: it is the address that says what cannot be understood: somebody has written that.
    """
    told = request.headers.get("Last-Event-ID")
    if told:
        try:
            return Position.parse(told)
        except ValueError:
            return UNREADABLE
    if (asked := request.args.get("last_event_id")) is None:
        return None
    try:
        return Position.parse(asked)
    except ValueError as error:
        raise BadFrame((item("bad_position", ("query", "last_event_id"), str(error)),)) from error


def _greeting(caller: Caller, position: Position | None) -> Greeting:
    """What a client of `bus.v1` would say first."""
    cursors = dict(position.cursors) if position is not None else {}
    connect = Connect(payload=ConnectPayload(cursors=cursors))
    return Greeting(connect, caller.identity, _session(caller, position))


def _session(caller: Caller, position: Position | None) -> Session:
    """What is known of the client's past. Of which stream its cursors are is said beside them: all tabs of a browser
    have one cookie, and not all have come back to a stream that was made anew."""
    session = caller.session
    if position is UNREADABLE:
        return replace(session, known=False, lost=True)
    if position is None or position.epoch is None:
        return session
    if not session.known and caller.identity.user is None:
        return session
    born = session.born if session.epoch == position.epoch else 0
    return replace(session, epoch=position.epoch, born=born, known=True)
