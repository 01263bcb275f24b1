"""The handshake of bus.v1: the first frame of the subprotocol is `connect`, and says who the client is."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

from bus import Settings
from bus.messages import Connect
from quart_app.close_codes import BAD_HANDSHAKE, HANDSHAKE_TIMEOUT, KEYS_AWAY, TOO_BIG
from quart_app.errors import BadFrame, HandshakeFailed, KeysUnavailable, Unauthorized
from quart_app.identity.authenticator import Authenticator
from quart_app.identity.identity import Identity
from quart_app.websocket.frame_parser import FrameParser, longer
from quart_app.websocket.session import Session, Sessions
from quart_app.websocket.socket import Socket

SUBPROTOCOL = "bus.v1"
CONNECT = FrameParser({"connect": Connect})


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a client said first, who it is, and what is known of its past."""

    connect: Connect
    identity: Identity
    session: Session


async def handshake(
    socket: Socket,
    turn: Callable[[], Awaitable[None]],
    authenticator: Authenticator,
    sessions: Sessions,
    settings: Settings,
    *,
    proved: Identity | None = None,
    cookie: str | None = None,
) -> Greeting:
    """Take the first frame of an accepted WebSocket.

    Args:
        turn: waited for before the frame is looked at: after a redeploy thousands come in the same moment.
        proved: who the client proved to be in a header; what the frame proves comes before that.
        cookie: the token that a cookie brought, for a client that proves nothing otherwise.

    Raises:
        HandshakeFailed: it did not come in time, or is not a `connect`, or its token is not valid.
    """
    try:
        async with asyncio.timeout(settings.handshake_timeout):
            frame: str | bytes | None = await socket.receive()
    except TimeoutError as error:
        raise HandshakeFailed(HANDSHAKE_TIMEOUT) from error
    await turn()
    if frame is not None and longer(frame, settings.max_frame_bytes):
        raise HandshakeFailed(TOO_BIG)
    try:
        connect = CONNECT.parse(frame)
        if not isinstance(connect, Connect):
            raise TypeError("the parser of connect frames returned another message")
        token = connect.payload.token
        if token is not None or proved is None:
            proved = await authenticator.identify(cookie if token is None else token)
    except BadFrame as bad:
        await socket.send(bad.error.encode())
        raise HandshakeFailed(BAD_HANDSHAKE) from bad
    except Unauthorized as error:
        raise HandshakeFailed(error.code) from error
    except KeysUnavailable as error:
        raise HandshakeFailed(KEYS_AWAY) from error
    session = sessions.session(proved, connect.payload.resume)
    return Greeting(connect, replace(proved, client_id=session.client_id), session)
