"""What runs when a request names no known job type."""

from workers.registry import JobContext, job


@job
def default(content: str, job: JobContext) -> str:
    """Return the text in capitals."""
    job.pretend_to_work(1)
    return f"✅ Processed: {content.upper()}"
