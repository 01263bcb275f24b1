"""bus.v1: how a client comes in, and what it missed.

The first frame of the subprotocol is `connect`, its reply `welcome`; then replayed events in stream order, then live
ones. A client proves which one it was by the resume token that it was sent last (see `quart_app.websocket.session`).
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from contextlib import nullcontext

from bus import BusUnavailable, Settings, StreamState
from bus.messages import Welcome, WelcomePayload
from quart_app.channel import CLIENT
from quart_app.client_reads import ClientReads
from quart_app.delivery.missed import Missed
from quart_app.delivery.pipeline import Pipeline
from quart_app.delivery.stream_end import StreamEnd
from quart_app.websocket.connection import Connection
from quart_app.websocket.handshake import Greeting
from quart_app.websocket.session import Session, Sessions

LOOK_AGAIN, MOST_LOOKS = 0.5, 6
"""Seconds after which a stream with replicas is asked again that ends before what a client has seen, and how often."""
MOST_READS = 10
"""How often the stream's end is asked while more live events come than may wait for a replay."""


async def resume(
    connection: Connection,
    greeting: Greeting,
    pipeline: Pipeline,
    sessions: Sessions,
    reads: ClientReads,
    settings: Settings,
) -> StreamState:
    """Welcome an attached connection, replay what it missed, and let live events through.

    Args:
        connection: attached to the hub, and not shown live events yet.
        reads: bounds what is read for the client.

    Returns:
        The state of the stream that the client was welcomed to.

    Raises:
        BusUnavailable: NATS is away; the client should come back.
        TooFast: too much was read for this client already; it should come back later.
    """
    connect, session = greeting.connect, greeting.session
    end, budget, client_id = pipeline.end, pipeline.replay_budget, connection.client_id
    if not pipeline.hub.follows(connection):
        raise BusUnavailable("NATS was away when the client came")
    scopes = (CLIENT, *connection.groups)
    given = connect.payload.cursors.items()
    nothing = (CLIENT, 0) if session.fresh else None  # whose id was made up just now has no events to be read
    asked = {scope: cursor for scope, cursor in given if scope in scopes and (scope, cursor) != nothing}
    with Missed(
        pipeline.bus,
        pipeline.parser,
        budget,
        client_id=client_id,
        shown=connection.channel.events,
        settings=settings,
    ) as missed:
        async with reads.alone(client_id) if asked else nullcontext():
            state = await _covered(connection, end, scopes)
            await budget.turn()  # all who came in the same moment had that answer in the same turn of the event loop
            if pipeline.bus.stream.replicated and session.epoch == state.epoch:
                state = await _no_older(state, max(asked.values(), default=0), connection, end, scopes)
            same = session.known and session.epoch == state.epoch
            seen = {scope: cursor if same or not session.known else 0 for scope, cursor in asked.items()}
            after = {scope: min(cursor, state.last_seq) for scope, cursor in seen.items()}
            for group in after.keys() - {CLIENT}:
                batch = await pipeline.history.missed(group, after=after[group], state=state)
                if batch is not None and missed.share(batch):
                    del after[group]
            await missed.count(after, until=state.last_seq)
            reads.charge(client_id, events=missed.events, size=missed.size)
        recovered = same or not (session.known or session.lost or any(asked.values()))
        if asked:
            # Asked behind the read: what is not gone by now was there to be read.
            now = await end.state()
            await budget.turn()
            if now.epoch != state.epoch:
                raise BusUnavailable("the stream was made anew meanwhile")
            recovered &= not missed.cut and all(_whole(scope, seen[scope], session, now, end.lost) for scope in seen)
        cursors = dict.fromkeys(scopes, state.last_seq)
        welcome = Welcome(
            payload=WelcomePayload(
                client_id=session.client_id,
                resume=sessions.resume_token(session, state),
                epoch=state.epoch,
                recovered=recovered,
                replayed=missed.shown,
                cursors=cursors,
            ),
            ref=connect.ref,
        )
        known = session.known or session.lost or any(asked.values())
        pipeline.metrics.resumes.labels(("recovered" if recovered else "cut") if known else "new").inc()
        pipeline.metrics.replayed.inc(missed.shown)
        await connection.begin(welcome, missed.pieces(), cursors)
    return state


async def _covered(connection: Connection, end: StreamEnd, scopes: Iterable[str]) -> StreamState:
    """The stream's state, up to which a replay brings everything, and from which on live events wait.

    Raises:
        BusUnavailable: NATS is away, or live events come too fast.
    """
    for _ in range(MOST_READS):
        state = await end.state()
        if connection.covered(dict.fromkeys(scopes, state.last_seq)):
            return state
    raise BusUnavailable("live events come faster than a replay can begin; let the client connect again")


async def _no_older(
    state: StreamState, seen: int, connection: Connection, end: StreamEnd, scopes: Iterable[str]
) -> StreamState:
    """The same, or a later state that reaches what the client has seen, if one comes soon.

    A server may have answered that leads the stream no more, and does not know that yet.
    """
    epoch = state.epoch
    for _ in range(MOST_LOOKS):
        if state.last_seq >= seen or state.epoch != epoch:
            break
        await asyncio.sleep(LOOK_AGAIN)
        state = await _covered(connection, end, scopes)
    return state


def _whole(scope: str, cursor: int, session: Session, state: StreamState, lost: int) -> bool:
    """Whether the stream still holds every event after the cursor.

    It says which sequences are gone, not on which subject they were. So one that may have been the client's counts.
    """
    if cursor > state.last_seq or 0 < cursor <= lost:
        return False  # the stream has lost its newest events, and may have others in their place
    if scope == CLIENT and session.fresh:
        return True
    seen = max(cursor, session.born) if scope == CLIENT else cursor
    return seen + 1 >= state.first_seq and seen >= state.last_hole
