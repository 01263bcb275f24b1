"""Who runs a job: whoever does answers for it on a NATS subject of the job's own.

NATS tells at once when nobody listens on a subject, and forgets a listener when its connection ends. So a worker that
was killed no longer holds its job, without a lease that must be renewed or a clock that must be right.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from bus import subjects
from bus.client import Bus, Subscription
from bus.errors import BusUnavailable

ASK = b"held?"
CANCEL = b"cancel"
LOOKS = 3
LOOK_INTERVAL = 1.0
"""A holder that lost NATS for a moment is back within these looks, seconds apart."""


async def hold(bus: Bus, job_id: str, on_cancel: Callable[[], None]) -> Subscription:
    """Answer for a job from now on. Begin before the job is started, so that a started job without a holder is dead.

    Args:
        on_cancel: called on the event loop when the job was cancelled.
    """

    def respond(word: bytes) -> bytes:
        if word == CANCEL:
            on_cancel()
        return b"yes"

    return await bus.respond(subjects.holder(job_id), respond)


async def is_held(bus: Bus, job_id: str) -> bool:
    """Whether somebody runs the job. One who listens but is silent (frozen, overloaded) still holds it.

    Raises:
        BusUnavailable: NATS itself is away.
    """
    for look in range(LOOKS):
        if look:
            await asyncio.sleep(LOOK_INTERVAL)
        if await _asked(bus, job_id, ASK):
            return True
    return False


async def tell_cancelled(bus: Bus, job_id: str) -> bool:
    """Tell whoever runs the job that it was cancelled. False when nobody does.

    Raises:
        BusUnavailable: NATS itself is away.
    """
    return await _asked(bus, job_id, CANCEL)


async def _asked(bus: Bus, job_id: str, word: bytes) -> bool:
    try:
        return await bus.request(subjects.holder(job_id), word, timeout=1.0) is not None
    except BusUnavailable as error:
        if error.maybe_done:
            return True
        raise
