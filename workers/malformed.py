"""Messages that are no tasks: kept in a list of their own for whoever wants to know where they come from."""

from __future__ import annotations

import structlog
from redis import Redis

log = structlog.get_logger(__name__)

MALFORMED = "busctl.malformed"
"""The Redis list of the latest of them, the newest first."""
TOTAL = "busctl.malformed.total"
"""The Redis key that counts all of them."""

KEPT = 100
"""Messages kept."""
LONGEST = 64 * 1024
"""Bytes of one message that are kept."""


def set_aside(client: Redis, prefix: str, raw: bytes, reason: str) -> None:
    """Keep a message, count it, and log that it came, without its content.

    Args:
        prefix: what the keys of this system begin with.
        reason: what is wrong with it, in words that quote nothing of it.

    Raises:
        RedisError, OSError: Redis does not take it.
    """
    key = f"{prefix}{MALFORMED}"
    with client.pipeline() as commands:
        commands.lpush(key, raw[:LONGEST])
        commands.ltrim(key, 0, KEPT - 1)
        commands.incr(f"{prefix}{TOTAL}")
        *_, total = commands.execute()
    log.error("set a malformed message aside", reason=reason, bytes=len(raw), list=key, total=total)
