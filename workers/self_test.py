"""A job that every worker has beside those that people write: it comes back at once, and shows that jobs do."""

from __future__ import annotations

from workers.registry import Job, JobContext

NAME = "busctl-doctor"
"""Its type. No client can ask for it: it is not among the jobs of a web process."""


def _come_back(content: str, job: JobContext) -> str:
    return content


SELF_TEST = Job(_come_back, NAME, "Come back at once.", max_attempts=1, time_limit=10.0)
