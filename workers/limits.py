"""How long one attempt of a job may take: what the job asks for, and what the worker allows."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from workers.registry import Job

NOTICE_SECONDS = 2.0
"""Seconds that a job over its time has to notice it, before its failure is stored without it."""

KILL_AFTER = 30.0
"""Seconds after which the process of a job that still goes on is killed."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Seconds until a job is told to stop, then until it fails without it, then until its process is killed."""

    soft: float
    grace: float
    last_resort: float
    reason: str
    """Why the job fails, for its client."""

    @classmethod
    def of(cls, job: Job, worker: Sequence[float | None] | None = None) -> Self:
        """The smaller of the job's own limit and the worker's (Celery's `--time-limit`, `--soft-time-limit`)."""
        hard, soft = worker or (None, None)
        allowed = min(limit or float("inf") for limit in (soft, hard))
        if job.time_limit <= allowed:
            reason = f"it took longer than {job.time_limit:g} s"
        else:
            reason = f"it took longer than {allowed:g} s, the time limit of its worker"
        stop = min(job.time_limit, allowed)
        return cls(
            stop, NOTICE_SECONDS, max(0.0, min(KILL_AFTER, (hard or float("inf")) - stop - NOTICE_SECONDS)), reason
        )
