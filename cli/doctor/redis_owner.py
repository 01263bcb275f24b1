"""Whether the Redis database is this system's, and no other's."""

from __future__ import annotations

from bus import Bus, BusError, Settings
from cli.doctor.check import Check, bad
from workers.redis_client import redis_client
from workers.state.redis_state import ERRORS, RedisState

OWNER = "busctl.system"
"""The key that names the system that uses a database, as `workers.redis_owner` has it."""
WITHIN = 0.5


async def check_owner(bus: Bus, settings: Settings, redis: RedisState) -> list[Check]:
    """Says so when the key names the event stream of another system. Where there is none, the database is free."""
    if redis.error is not None:
        return []
    key = f"{settings.redis_prefix}:{OWNER}" if settings.redis_prefix else OWNER
    try:
        async with redis_client(settings.redis_url, WITHIN) as client:
            owner = await client.get(key)
        epoch = (await bus.stream.state()).epoch
    except (BusError, *ERRORS):
        return []  # which another check tells
    if not owner or owner in (epoch, epoch.encode()):
        return []
    return [
        bad(
            "Redis",
            f"the database at {redis.url} belongs to another system: its key {key} names another event stream",
            "use the REDIS_URL of this system, or give each system a BUS_REDIS_PREFIX of its own",
        )
    ]
