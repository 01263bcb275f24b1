"""The handshake of bus.v1: the first frame of the subprotocol is `connect`, and says who the client is."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from quart import Websocket

from bus import Settings
from bus.messages import Connect
from quart_app.close_codes import BAD_HANDSHAKE, HANDSHAKE_TIMEOUT, TOO_BIG, UNAUTHORIZED
from quart_app.errors import BadFrame, HandshakeFailed, Unauthorized
from quart_app.websocket.connection import longer
from quart_app.websocket.frame_parser import FrameParser
from quart_app.websocket.identity import Identity, Sessions

SUBPROTOCOL = "bus.v1"
CONNECT = FrameParser({"connect": Connect})


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a client said first, and who it is."""

    connect: Connect
    identity: Identity


async def handshake(socket: Websocket, sessions: Sessions, settings: Settings) -> Greeting:
    """Take the first frame of an accepted WebSocket.

    Raises:
        HandshakeFailed: it did not come in time, or is not a `connect`, or its token is not valid.
    """
    try:
        async with asyncio.timeout(settings.handshake_timeout):
            frame: str | bytes | None = await socket.receive()
    except TimeoutError as error:
        raise HandshakeFailed(HANDSHAKE_TIMEOUT) from error
    if frame is not None and longer(frame, settings.max_frame_bytes):
        raise HandshakeFailed(TOO_BIG)
    try:
        connect = CONNECT.parse(frame)
        if not isinstance(connect, Connect):
            raise TypeError("the parser of connect frames returned another message")
        return Greeting(connect, sessions.identify(connect))
    except BadFrame as bad:
        await socket.send(bad.error.encode())
        raise HandshakeFailed(BAD_HANDSHAKE) from bad
    except Unauthorized as error:
        raise HandshakeFailed(UNAUTHORIZED) from error
