"""A job that does nothing. Installed into the benchmark's workers and web processes by an entry point."""

from __future__ import annotations

from workers.registry import JobContext, job


@job
def noop(content: str, job: JobContext) -> str:
    """Do nothing."""
    return content
