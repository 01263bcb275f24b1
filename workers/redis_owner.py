"""Whose Redis it is: a key names the system that uses a database, so that a second one notices.

Two systems on one database take each other's tasks. The key holds the epoch of the system's event stream, and expires
unless the system's processes renew it: a Redis that was wiped, or left behind by a system that is gone, is taken over.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import structlog
from celery import Celery
from kombu.exceptions import OperationalError
from redis.exceptions import RedisError

from workers.errors import ForeignRedis

log = structlog.get_logger(__name__)

OWNER = "busctl.system"
"""The Redis key that names a database's system."""
LASTS = 20.0
"""Seconds after which a system that nobody renews counts as gone."""
RENEWED_EVERY = 5.0
REDIS_ERRORS = (OperationalError, RedisError, OSError, ValueError)
"""What a broken or silent Redis raises, through kombu or not. `TimeoutError` is an `OSError`; `ValueError` is what
redis-py makes of an answer that is none."""

HAND_OVER = """
local owner = redis.call('GET', KEYS[1])
if owner and owner ~= ARGV[1] and owner ~= ARGV[2] then return 0 end
if owner ~= ARGV[1] or #ARGV == 3 then redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[3]) end
for index = 4, #ARGV do redis.call('LPUSH', KEYS[2], ARGV[index]) end
return 1
"""


@dataclass(frozen=True)
class Identity:
    """What tells this system from others: the epoch of its event stream, and the one before if that was made anew."""

    current: str
    previous: str = ""

    def now(self, epoch: str) -> Identity:
        """The identity with the epoch that the stream has now."""
        return self if epoch == self.current else Identity(epoch, self.current)


def hand_over(connection: Any, identity: Identity, queue: str = "", messages: Sequence[str] = ()) -> None:
    """Put messages into a queue, in one step with looking whose Redis it is; without messages, renew the claim.

    Args:
        connection: kombu's.
        identity: of this system; it takes over a Redis that is nobody's.

    Raises:
        ForeignRedis: it is another system's; nothing was done.
        OperationalError, RedisError, OSError: Redis is away or takes no writes.
    """
    channel = connection.default_channel
    prefix = channel.global_keyprefix
    script = channel.plain_client().register_script(HAND_OVER)
    arguments = [identity.current, identity.previous, int(LASTS * 1000), *messages]
    if not script(keys=[f"{prefix}{OWNER}", f"{prefix}{queue}"], args=arguments):
        raise ForeignRedis(f"{prefix}{OWNER}")


def settle(celery: Celery, identity: Identity, stopped: Callable[[], object] = lambda: None) -> None:
    """Claim a Redis, waiting at most `LASTS` for one whose system is gone.

    Args:
        stopped: asked between two looks; may raise to give up.

    Raises:
        ForeignRedis: the other system lives: its claim was renewed.
        OperationalError, RedisError, OSError: Redis is away or takes no writes.
    """
    left = None
    while True:
        try:
            with celery.connection_for_write() as connection:
                hand_over(connection, identity)
                return
        except ForeignRedis:
            with celery.connection_for_write() as connection:
                channel = connection.default_channel
                before, left = left, channel.plain_client().pttl(f"{channel.global_keyprefix}{OWNER}")
            if before is not None and left > before:
                raise
            if before is None:
                log.warning("waiting to see whether the system that used this Redis lives", seconds_at_most=LASTS)
        stopped()
        time.sleep(0.3)
