"""The two modes of the wire, and which messages each has."""

from __future__ import annotations

from bus.messages import (
    Connect,
    Event,
    EventSkipped,
    Message,
    RefreshToken,
    ResumeToken,
    TokenExpiring,
    TokenRefreshed,
    Welcome,
)
from quart_app.websocket.handshake import SUBPROTOCOL

PLAIN = "plain"
"""Without a subprotocol."""

MODES = (PLAIN, SUBPROTOCOL)

_OF_SUBPROTOCOL = (Connect, Welcome, EventSkipped, ResumeToken, RefreshToken, TokenRefreshed, TokenExpiring)
"""What a connection of the subprotocol sends and takes itself, whatever its channel."""


def modes_of(message: type[Message]) -> tuple[str, ...]:
    """The modes in which clients send it, or are sent it."""
    alone = issubclass(message, _OF_SUBPROTOCOL) or (issubclass(message, Event) and not message.plain)
    return (SUBPROTOCOL,) if alone else MODES
