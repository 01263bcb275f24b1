"""The attempts at a job, as its steps tell them: when a worker began, and why that brought no result."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace

from bus.job_step import LOST, Step
from bus.messages import JobFailed, JobRequeued, JobRetrying, JobStarted


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt.

    Args:
        number: counted from 1.
        started_at: when a worker began: RFC 3339, in UTC.
        reason: why it brought no result; None for one that did, was cancelled, or goes on.
    """

    number: int
    started_at: str
    reason: str | None = None


def attempts(steps: Iterable[Step]) -> list[Attempt]:
    """The attempts at a job, in order.

    Args:
        steps: of one job, in order.
    """
    found: list[Attempt] = []
    for step in steps:
        if step.carried and found:
            continue
        match step.event:
            case JobStarted(attempt=number):
                _explain(found, LOST)  # the one before, if nothing was said of how it ended
                found.append(Attempt(number, step.stored.at or ""))
            case JobRetrying(reason=reason):
                _explain(found, reason)
            case JobRequeued():  # as older versions noted a worker that was lost
                _explain(found, LOST)
            case JobFailed(reason=reason, payload=text):
                _explain(found, reason or text)
    return found


def _explain(found: list[Attempt], reason: str) -> None:
    if found and found[-1].reason is None:
        found[-1] = replace(found[-1], reason=reason)
