"""What a job's function may raise to say how its attempt ends.

    raise Fail("the order is closed")
    raise Retry(after=30, reason="the printer is busy")

Any other exception fails the job with its message, unless the job's `retry_on` lists it.
"""

from __future__ import annotations

LONGEST_WAIT = 3600.0
"""Seconds that a job may ask to wait before its next attempt: its worker waits with it, and runs nothing else."""


class Fail(Exception):
    """The job will not be done, whatever attempts are left.

    Args:
        reason: why, as clients are shown it.
    """

    def __init__(self, reason: str) -> None:
        self.reason = str(reason)
        super().__init__(self.reason)


class Retry(Exception):
    """This attempt has failed, and the job is to be tried again.

    It counts as an attempt: after the last of `max_attempts` the job fails with this reason.

    Args:
        after: seconds until the next attempt, at most `LONGEST_WAIT`; by default the job's own `backoff`.
        reason: why, as clients are shown it.

    Raises:
        ValueError: nobody can wait for so long, or so short.
    """

    def __init__(self, *, after: float | None = None, reason: str = "it asked to be tried again") -> None:
        if after is not None and not 0 <= after <= LONGEST_WAIT:
            raise ValueError(f"Retry(after=...) is seconds from 0 to {LONGEST_WAIT:g}, not {after!r}")
        self.after = after
        self.reason = str(reason)
        super().__init__(self.reason)
