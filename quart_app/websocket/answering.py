"""What a channel answers to a frame, and what it shows of an event: its handlers are called here, what they return is
encoded, and what either raises is told."""

from __future__ import annotations

import asyncio

import structlog

from bus.messages import ClientMessage, Error, Event, EventSkipped, Message, RefreshToken
from quart_app.channel import Channel
from quart_app.delivery.prepared import PreparedFrames
from quart_app.errors import BadFrame
from quart_app.finish import uncancelled
from quart_app.metrics import Metrics
from quart_app.operations import Operation
from quart_app.refusals import refusal_of
from quart_app.websocket.authorization import Authorization
from quart_app.websocket.frame_parser import FrameParser, item

log = structlog.get_logger(__name__)

SHOW_TIMEOUT = 5.0
"""Seconds that an event handler gets for one event; those behind it wait, and so does who closes the connection."""


async def answer(
    frame: str | bytes | None, parser: FrameParser, channel: Channel, authorization: Authorization, metrics: Metrics
) -> str | None:
    """The frame that answers a client's; None when the channel has nothing to say to it, now.

    Args:
        frame: as it came.
        parser: knows what the channel takes.
        channel: of this connection.
        authorization: takes a newer token.
        metrics: counts errors.
    """
    try:
        message = parser.parse(frame)
    except BadFrame as bad:
        return _refusal(bad, metrics)
    try:
        reply = await _reply(message, channel, authorization)
        return None if reply is None else reply.encode(ref=message.ref)
    except BadFrame as bad:
        return _refusal(bad, metrics)
    except Exception as error:
        refused = refusal_of(error, message.action)
        metrics.errors.labels(refused.kind).inc()
        told = item(refused.kind, (message.action,), str(refused))
        return Error(payload=(told,), ref=message.ref).encode()


async def shown(event: Event, channel: Channel) -> PreparedFrames | None:
    """What a channel's handler makes of an event for this client; None for nothing, and when that fails."""
    operation = channel.events[event.action]
    try:
        async with asyncio.timeout(SHOW_TIMEOUT):
            message = await _call(operation, channel, event)
        return PreparedFrames(_placed(message, event)) if message is not None else None
    except Exception:
        log.exception("an event handler raised, or was too late; the event is not shown", handler=operation.name)
        return None


async def shown_again(event: Event, channel: Channel) -> PreparedFrames:
    """The same for an event of a replay, of which the client counts the frames: for nothing, one that says so."""
    frames = await shown(event, channel)
    return frames or PreparedFrames(EventSkipped(seq=event.seq or 0, group=event.group).encode())


async def _reply(message: ClientMessage, channel: Channel, authorization: Authorization) -> Message | None:
    if isinstance(message, RefreshToken):
        return await authorization.refresh(message)
    return await _call(channel.receives[message.action], channel, message)


def _placed(message: Message, event: Event) -> str:
    """The frame, with the event's place in the stream where the message has none: that moves the client's cursor."""
    place = {"seq": event.seq, "group": event.group}
    return message.encode(**{key: value for key, value in place.items() if getattr(message, key, None) is None})


def _refusal(bad: BadFrame, metrics: Metrics) -> str:
    metrics.errors.labels("bad_frame").inc()
    return bad.error.encode()


async def _call(operation: Operation, channel: Channel, message: Message) -> Message | None:
    if operation.method is None:
        raise TypeError(f"{operation.name} is passed through and has no method")
    return await uncancelled(operation.method(channel, message))
