"""The ends a job can have: each a verb that appends it once, however often it is repeated."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from typing import Any

from pydantic_core import to_json

from bus import Bus, EventTooLarge, job_log
from bus.job_log import JobState
from workers.errors import Misfit, UnusableOutput
from workers.outcomes import Fail, Retry

LONGEST_REASON = 300
"""Characters of an exception's message that a client is shown."""
TOO_LARGE = "the reason is too large to be stored"

End = Callable[[Bus], Coroutine[Any, Any, JobState]]


def result(state: JobState, value: object, *, job_name: str, max_bytes: int) -> End:
    """The job is done, if what its function returned can be its result; else it has failed.

    Args:
        value: text, or another JSON value as `Signature.dump` makes it.
        job_name: names the function in the reason.
        max_bytes: the largest result that is stored: as text, or as JSON.
    """
    try:
        # Of a subclass only the text: its methods may do anything.
        payload = str.__str__(value) if isinstance(value, str) else value
        size = len(payload.encode() if isinstance(payload, str) else to_json(payload))
    except UnicodeEncodeError:
        return failed(state, f"{job_name} returned text that is not valid Unicode")
    except MemoryError:
        return failed(state, f"{job_name} returned more than fits into memory twice")
    if size > max_bytes:
        return failed(state, f"the result has {size} bytes; at most {max_bytes} are allowed")
    message_id = secrets.token_hex(12)

    async def finish(bus: Bus) -> JobState:
        try:
            return await job_log.finish(bus.stream, state, payload, message_id=message_id)
        except EventTooLarge as error:
            return await _fail(bus, state, f"the result is too large: {error}", message_id)

    return finish


def raised(state: JobState, error: BaseException) -> End:
    """The job's function raised."""
    return failed(state, reason_of(error))


def reason_of(error: BaseException) -> str:
    """Why an attempt failed whose function raised this: in its own words, where it means them for clients."""
    if isinstance(error, (Fail, Retry)):
        return shortened(error.reason)
    if isinstance(error, (Misfit, UnusableOutput)):
        return shortened(str(error))
    name = type(error).__name__
    try:
        told = str(error)
    except Exception:  # a method of the job's own class, which may do anything
        told = ""
    return shortened(f"{name}: {told}" if told else name)


def shortened(reason: str) -> str:
    """A reason as clients are shown it. It may quote anything: it is made short, says so, and encodable."""
    short = reason if len(reason) <= LONGEST_REASON else reason[: LONGEST_REASON - 1] + "…"
    return short.encode("utf-8", "replace").decode()


def failed(state: JobState, reason: str) -> End:
    """The job will not be done."""
    short = shortened(reason)
    message_id = secrets.token_hex(12)

    async def fail(bus: Bus) -> JobState:
        return await _fail(bus, state, short, message_id)

    return fail


def worker_died(state: JobState) -> str:
    """Why a job fails whose worker died in its last attempt, for its client."""
    return f"its worker died in attempt {state.attempt}, the last one allowed"


def cancelled(state: JobState) -> End:
    """The job was called off."""

    async def cancel(bus: Bus) -> JobState:
        return await job_log.cancel(bus.stream, state.client_id, state.job_id)

    return cancel


async def _fail(bus: Bus, state: JobState, reason: str, message_id: str) -> JobState:
    try:
        return await job_log.fail(bus.stream, state, reason, message_id=message_id)
    except EventTooLarge:
        return await job_log.fail(bus.stream, state, TOO_LARGE, message_id=message_id)
