"""The ends a job can have: each a verb that appends it once, however often it is repeated."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from bus import Bus, EventTooLarge, job_log
from bus.job_log import JobState

LONGEST_REASON = 300
"""Characters of an exception's message that a client is shown."""

End = Callable[[Bus], Coroutine[Any, Any, JobState]]


def result(state: JobState, value: object, *, job_name: str, max_bytes: int) -> End:
    """The job is done, if what its function returned can be its result; else it has failed.

    Args:
        job_name: names the function in the reason.
        max_bytes: the largest result that is stored.
    """
    if not isinstance(value, str):
        return failed(state, f"{job_name} returned {type(value).__name__}, not text")
    text = value
    try:
        size = len(text.encode())
    except UnicodeEncodeError:
        return failed(state, f"{job_name} returned text that is no valid Unicode")
    if size > max_bytes:
        return failed(state, f"the result has {size} bytes; at most {max_bytes} are allowed")
    message_id = secrets.token_hex(12)

    async def finish(bus: Bus) -> JobState:
        try:
            return await job_log.finish(bus.stream, state, text, message_id=message_id)
        except EventTooLarge as error:
            return await job_log.fail(bus.stream, state, str(error), message_id=message_id)

    return finish


def failed(state: JobState, reason: str) -> End:
    """The job will not be done. The reason may quote anything: it is made short, printable and encodable."""
    short = reason.encode("utf-8", "replace").decode()[:LONGEST_REASON]
    message_id = secrets.token_hex(12)

    async def fail(bus: Bus) -> JobState:
        return await job_log.fail(bus.stream, state, short, message_id=message_id)

    return fail


def cancelled(state: JobState) -> End:
    """The job was called off."""

    async def cancel(bus: Bus) -> JobState:
        return await job_log.cancel(bus.stream, state.client_id, state.job_id)

    return cancel
