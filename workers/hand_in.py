"""Hand a stored job to Redis for a program that submits now and then, and say so when Redis does not take it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bus import Bus, BusUnavailable, Settings
from bus.job_log import JobState


async def hand_in(bus: Bus, settings: Settings, job: JobState, say: Callable[[str], None]) -> None:
    """Hand over one job that is stored. It is accepted, whatever comes of this: a worker enqueues it again.

    Args:
        say: called with a sentence when Redis did not take it.
    """
    # Here, because it imports Celery.
    from workers.enqueue import enqueue_once
    from workers.errors import BrokerUnavailable, ForeignRedis
    from workers.redis_owner import Identity

    try:
        identity = Identity((await bus.stream.state()).epoch)
        await asyncio.to_thread(enqueue_once, settings, job, identity)
    except ForeignRedis as error:
        say(f"{error} (the job is stored as queued; a worker of its own system runs it)")
    except BrokerUnavailable as error:
        say(f"{error} (the job is stored as queued; a worker runs it when Redis is back)")
    except BusUnavailable as error:
        say(f"{error} (the job is stored as queued; a worker enqueues it soon)")
