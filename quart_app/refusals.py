"""What a client is told when what it asked for is not done, whichever way it asked."""

from __future__ import annotations

import structlog

from bus import BusUnavailable, EventTooLarge, StreamFull
from quart_app.errors import Refused

log = structlog.get_logger(__name__)


def refusal_of(error: Exception, action: str) -> Refused:
    """The type of `quart_app.error_types` and the text for what a handler raised. What nobody foresaw is logged.

    Args:
        action: what the client asked for.
    """
    match error:
        case Refused():
            return error
        case StreamFull():
            return Refused("stream_full", str(error))
        case BusUnavailable():
            return Refused("bus_unavailable", str(error))
        case EventTooLarge():
            return Refused("too_large", str(error))
    log.error("a handler raised", action=action, exc_info=error)
    return Refused("internal_error", "the server failed; nothing is known of the outcome")
