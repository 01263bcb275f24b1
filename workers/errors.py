"""What can go wrong in workers and on the way to them.

WorkersError
├── JobDefinitionError      a job is written or named in a way that cannot work
├── UnusableOutput          a job wrote, yielded or returned what cannot be part of its text (a `TypeError` too)
├── UnusableResource        a resource of a job cannot be used where it is asked for (a `TypeError` too)
├── Misfit                  a content or a result is not what its job takes or gives
├── UnknownTaskType         no job runs requests of this type
├── JobNotEnded             a job cannot be done again yet
├── NoResult                a job that was waited for ended otherwise
├── BrokerUnavailable       Redis does not answer, or takes no tasks
├── BacklogFull             more jobs wait for Redis than this process may hold
├── TooManyJobs             a client has as many open jobs as it may
├── TooManyBytes            the open jobs of a client take as much of the stream as they may
├── TooFarAhead             a job is to begin later than any may
├── ForeignRedis            the Redis database belongs to another system (a `BusError` too)
└── Malformed               a message in Redis is not what it should be (a `ValueError` too)
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Self

from bus import BusError
from bus.messages import MOST_AHEAD, ErrorItem, JobEvent, as_text

MOST_NAMED = 20
"""Job types that an error names."""


class WorkersError(Exception):
    """Base of everything `workers` raises on purpose."""


class JobDefinitionError(WorkersError):
    """A job is written or named in a way that cannot work; raised when the process starts."""


class UnusableOutput(WorkersError, TypeError):
    """A job wrote, yielded or returned what cannot be part of its text. The message says so to clients."""


class UnusableResource(WorkersError, TypeError):
    """A resource cannot be used where it is asked for; see `JobContext.resource`."""


class Misfit(WorkersError):
    """A content or a result is not what its job takes or gives.

    Args:
        what: "content" or "result".
        items: what is wrong, as pydantic reports it; `loc` begins within the value.
        message: for people; by default made of the items.
    """

    def __init__(self, what: str, items: tuple[ErrorItem, ...], message: str | None = None) -> None:
        self.items = items
        super().__init__(message or f"the {what} does not fit: " + "; ".join(map(_placed, items[:3])))


def _placed(item: ErrorItem) -> str:
    return f"{'.'.join(map(str, item.loc))}: {item.msg}" if item.loc else item.msg


class UnknownTaskType(WorkersError):
    """No job runs requests of this type, and there is no `default`.

    Args:
        task_type: as the client wrote it.
        known: every job type there is.
    """

    def __init__(self, task_type: str, known: Iterable[str]) -> None:
        self.task_type = task_type
        names = sorted(known)
        more = ", and others" if len(names) > MOST_NAMED else ""
        super().__init__(f"there is no job type {task_type!r}; there is {', '.join(names[:MOST_NAMED])}{more}")


class JobNotEnded(WorkersError):
    """A job cannot be done again yet."""

    def __init__(self, job_id: str) -> None:
        self.job_id = job_id
        super().__init__(f"job {job_id} has not ended: wait for its end or cancel it, then retry it")


class NoResult(WorkersError):
    """A job that was waited for failed, or was cancelled.

    Args:
        job_id: which.
        event: its end.
    """

    def __init__(self, job_id: str, event: JobEvent) -> None:
        self.event = event
        reason = getattr(event, "reason", None)
        how = "was cancelled" if event.state == "job_cancelled" else f"failed: {reason or as_text(event.payload)}"
        super().__init__(f"job {job_id} {how}")


class BrokerUnavailable(WorkersError):
    """Redis does not answer, or takes no tasks."""

    @classmethod
    def because(cls, error: Exception) -> Self:
        """What went wrong, in a sentence: whether Redis is away, or there and refuses."""
        # Here, because it takes long, and whoever only reads and stores jobs imports these errors too.
        from redis.exceptions import ResponseError

        answered = isinstance(error.__cause__ or error, ResponseError)
        what = "takes no tasks" if answered else "does not answer"
        return cls(f"Redis {what}: {str(error) or type(error).__name__}")


class BacklogFull(WorkersError):
    """More jobs wait for Redis than this process may hold."""


class TooManyJobs(WorkersError):
    """A client has as many open jobs as it may; nothing was stored.

    Args:
        limit: so many.
    """

    def __init__(self, limit: int) -> None:
        self.limit = limit
        super().__init__(
            f"{limit} jobs of this client have not ended, and it may have no more (BUS_CLIENT_OPEN_JOBS): wait for one "
            "to end, or cancel one; nothing was accepted"
        )


class TooManyBytes(WorkersError):
    """The open jobs of a client take as much of the event stream as they may; nothing was stored.

    Args:
        size: bytes that the refused job would have taken.
        taken: bytes that the open ones take.
        limit: bytes that all of them may take.
    """

    def __init__(self, size: int, taken: int, limit: int) -> None:
        self.size, self.taken, self.limit = size, taken, limit
        super().__init__(
            f"this job needs {size:,} bytes, the jobs of this client that have not ended have {taken:,}, and together "
            f"they may have {limit:,} (BUS_CLIENT_STREAM_SHARE): wait for one to end, or cancel one; nothing was "
            "accepted"
        )


class TooFarAhead(WorkersError):
    """A job is to begin later than any may; nothing was stored."""

    def __init__(self, asked: datetime) -> None:
        text = f"{asked:%Y-%m-%d} is too far ahead: a job may begin {MOST_AHEAD // 86_400} days from now at the latest"
        super().__init__(text)


class ForeignRedis(WorkersError, BusError):
    """The Redis database belongs to another system; nothing was put there.

    Args:
        key: the Redis key that says so.
    """

    def __init__(self, key: str) -> None:
        self.key = key
        super().__init__(
            f"REDIS_URL leads to a database of another system (its key {key} names another event stream); "
            "nothing was put there. Use the REDIS_URL of this system, or give each system a BUS_REDIS_PREFIX of its own"
        )


class Malformed(WorkersError, ValueError):
    """A message is not what it should be. Says where, and nothing of what it holds."""
