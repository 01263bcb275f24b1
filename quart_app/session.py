"""bus.v1: who a client is, and what it missed.

The first frame of the subprotocol is `connect`, its reply `welcome`; then replayed events in stream order, then live
ones. A client proves who it is by the resume token of its last welcome, a JWT (RFC 7519) signed with `BUS_SECRET`.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from dataclasses import dataclass
from typing import Any

import jwt
import structlog
from quart import Websocket

from bus import BusUnavailable, InvalidName, Settings, StreamState, subjects
from bus.messages import Connect, Welcome, WelcomePayload
from quart_app.close_codes import BAD_HANDSHAKE, HANDSHAKE_TIMEOUT, TOO_BIG, UNAUTHORIZED, CloseCode
from quart_app.connection import Connection, longer
from quart_app.frames import BadFrame, FrameParser
from quart_app.hub import CLIENT, Hub
from quart_app.missed import COUNTING_BYTES, Missed

log = structlog.get_logger(__name__)

SUBPROTOCOL = "bus.v1"
ALGORITHM = "HS256"
MOST_LOOKS = 10
"""How often the stream's end is asked while live events come faster than they can be held."""
CONNECT = FrameParser({"connect": Connect})


class Unauthorized(Exception):
    """A `token` was given that proves nothing; close code 4401."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a client is.

    Args:
        client_id: its id.
        epoch: the stream's epoch at its first welcome; empty for a client that was never welcomed.
        born: the stream's last sequence when the client was made: it has no event up to there.
        known: whether it proved to be the client it was.
        lost: whether it claimed to be somebody and could not prove it, so that its history is out of reach.
        fresh: whether its id was made up just now, so that it has no history.
    """

    client_id: str
    epoch: str = ""
    born: int = 0
    known: bool = False
    lost: bool = False
    fresh: bool = False


class Sessions:
    """Signs and checks resume tokens.

    Args:
        settings: `secret` and `resume_max_age`.
    """

    def __init__(self, settings: Settings) -> None:
        self._max_age = settings.resume_max_age
        if settings.secret is None:
            log.warning("BUS_SECRET is not set: clients can resume at this process only, until it ends")
            self._key = secrets.token_hex(32)
        else:
            self._key = settings.secret.get_secret_value()

    def identify(self, connect: Connect) -> Identity:
        """Who sends this frame: the client its tokens name, else a new one.

        Raises:
            Unauthorized: a `token` was given and does not hold.
        """
        asked = connect.payload
        resumed = self._read(asked.resume, "resume") if asked.resume is not None else None
        lost = asked.resume is not None and resumed is None
        client_id = secrets.token_urlsafe(16)
        if asked.token is not None:
            named = self._read(asked.token, "token")
            if named is None:
                raise Unauthorized
            client_id = named["sub"]
            if resumed is not None and resumed["sub"] != client_id:
                resumed, lost = None, True
        if resumed is None:
            return Identity(client_id, lost=lost, fresh=asked.token is None)
        return Identity(resumed["sub"], resumed["epoch"], resumed["born"], known=True)

    def resume_token(self, identity: Identity, state: StreamState) -> str:
        """A token by which the client can come back to the stream of this `state`."""
        born = identity.born if identity.epoch == state.epoch else state.last_seq
        return self._sign("resume", sub=identity.client_id, epoch=state.epoch, born=born)

    def identity_token(self, client_id: str) -> str:
        """A token that says: its bearer is this client.

        Raises:
            InvalidName: `client_id` is no subject token.
        """
        return self._sign("token", sub=subjects.token("client id", client_id))

    def _sign(self, audience: str, **claims: object) -> str:
        expires = int(time.time() + self._max_age)
        return jwt.encode({"aud": audience, "exp": expires, **claims}, self._key, algorithm=ALGORITHM)

    def _read(self, token: str, audience: str) -> dict[str, Any] | None:
        needed = ["sub", "epoch", "born"] if audience == "resume" else ["sub"]
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                self._key,
                algorithms=[ALGORITHM],
                audience=audience,
                options={"require": ["exp", *needed]},
            )
            subjects.token("client id", claims["sub"])
        except (jwt.InvalidTokenError, InvalidName) as error:
            log.info("a token does not hold", audience=audience, error=str(error))
            return None
        return claims


@dataclass(frozen=True, slots=True)
class Greeting:
    """What a client said first, and who it is."""

    connect: Connect
    identity: Identity


class HandshakeFailed(Exception):
    """A client's first frame was not what it must be; `code` is what to close with."""

    def __init__(self, code: CloseCode) -> None:
        self.code = code
        super().__init__(code.reason)


async def handshake(socket: Websocket, sessions: Sessions, settings: Settings) -> Greeting:
    """Take the first frame of an accepted WebSocket.

    Raises:
        HandshakeFailed: it did not come in time, or is no `connect`, or its token does not hold.
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


async def resume(connection: Connection, greeting: Greeting, hub: Hub, sessions: Sessions, settings: Settings) -> None:
    """Welcome an attached connection, replay what it missed, and let live events through.

    Args:
        connection: attached to the hub, and holding back live events.

    Raises:
        BusUnavailable: NATS is away; the client should come back.
    """
    connect, identity = greeting.connect, greeting.identity
    if not hub.follows(connection):
        raise BusUnavailable("NATS was away when the client came")
    asked = {scope: cursor for scope, cursor in connect.payload.cursors.items() if scope in hub.scopes(connection)}
    state = await hub.end.state()
    for _ in range(MOST_LOOKS):
        if connection.covered(dict.fromkeys(hub.scopes(connection), state.last_seq)):
            break
        state = await hub.end.state()
    else:
        raise BusUnavailable("more is announced than this process can hold for a client that comes")
    same = identity.known and identity.epoch == state.epoch
    recovered = same or not (identity.known or identity.lost or any(asked.values()))
    seen = {scope: cursor if same or not identity.known else 0 for scope, cursor in asked.items()}
    with Missed(hub, connection, settings) as missed:
        async with hub.replay_memory.hold(COUNTING_BYTES):
            await missed.count({scope: min(cursor, state.last_seq) for scope, cursor in seen.items()})
        if asked:
            # Asked behind the read: what is not gone by now was there to be read.
            now = await hub.end.state()
            if now.epoch != state.epoch:
                raise BusUnavailable("the stream was made anew meanwhile")
            recovered &= not missed.cut and all(_whole(scope, seen[scope], identity, now) for scope in seen)
        cursors = {scope: max(state.last_seq, missed.last.get(scope, 0)) for scope in hub.scopes(connection)}
        welcome = Welcome(
            payload=WelcomePayload(
                client_id=identity.client_id,
                resume=sessions.resume_token(identity, state),
                epoch=state.epoch,
                recovered=recovered,
                replayed=missed.shown,
                cursors=cursors,
            ),
            ref=connect.ref,
        )
        await connection.begin(welcome, missed.pieces(), cursors)


def _whole(scope: str, cursor: int, identity: Identity, state: StreamState) -> bool:
    """Whether the stream still holds every event after the cursor.

    It says which sequences are gone, not on which subject they were. So one that may have been the client's counts.
    """
    if cursor > state.last_seq:
        return False  # the stream has lost its newest events
    if scope == CLIENT and identity.fresh:
        return True
    seen = max(cursor, identity.born) if scope == CLIENT else cursor
    return seen + 1 >= state.first_seq and seen >= state.last_hole
