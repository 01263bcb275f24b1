"""Translate with a dictionary of four entries."""

from workers.registry import JobContext, job

SPANISH = {
    "hello": "hola",
    "world": "mundo",
    "good morning": "buenos días",
    "thank you": "gracias",
}


@job
def translate(content: str, job: JobContext) -> str:
    """Translate into Spanish."""
    job.pretend_to_work(2)
    translation = SPANISH.get(content.strip().lower(), f"[TRANSLATED: {content}]")
    return f"🌍 Translated: '{content}' → '{translation}'"
