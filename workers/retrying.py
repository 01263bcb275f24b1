"""Whether a job is tried again after what its function raised, and when."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Self

from bus import Bus, EventTooLarge, job_log
from bus.backoff import Backoff
from bus.job_log import JobState
from workers import ends
from workers.errors import Misfit
from workers.outcomes import Fail, Retry
from workers.registry import Job

LONGEST_BACKOFF = 600.0
"""Seconds past which the pauses between attempts do not grow, however many there are."""
JITTER = 0.25
"""By which part a pause is longer or shorter, so that jobs that failed together are not all tried again together."""


@dataclass(frozen=True, slots=True)
class NextAttempt:
    """That a job is tried again.

    Args:
        reason: why the attempt failed, for its client.
        pause: seconds until the next one.
    """

    reason: str
    pause: float

    @classmethod
    def after(cls, error: BaseException, job: Job, state: JobState) -> Self | None:
        """What follows the attempt in which the job's function raised this; None when it was the job's last."""
        again = isinstance(error, (Retry, *job.retry_on)) and not isinstance(error, (Fail, Misfit))
        if not again or state.attempt >= job.max_attempts:
            return None
        pause = error.after if isinstance(error, Retry) else None
        if pause is None:
            pause = Backoff(job.backoff, LONGEST_BACKOFF, jitter=JITTER).pause_after(state.attempt)
        return cls(ends.reason_of(error), pause)

    def note(self, state: JobState) -> Callable[[Bus], Coroutine[Any, Any, JobState]]:
        """A verb that appends `job_retrying` once, however often it is repeated."""
        next_at = datetime.now(UTC) + timedelta(seconds=self.pause)
        message_id = secrets.token_hex(12)

        async def retry(bus: Bus) -> JobState:
            try:
                return await job_log.retry(bus.stream, state, self.reason, next_at=next_at, message_id=message_id)
            except EventTooLarge:
                return await job_log.retry(bus.stream, state, ends.TOO_LARGE, next_at=next_at, message_id=message_id)

        return retry
