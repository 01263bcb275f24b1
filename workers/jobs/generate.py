"""Answer like a chatbot that knows three subjects."""

from workers.registry import JobContext, job

ANSWERS = (
    (
        ("weather",),
        "Clear skies are forecast, with a light breeze in the afternoon: a good day to be outside.",
    ),
    (("food", "eat"), "The little place by the market has a fine lentil soup. Go early, it is gone by one."),
    (
        ("help",),
        "Of course. Tell me what you are trying to do and where it stopped, and we will take it from there.",
    ),
)


@job
def generate(content: str, job: JobContext) -> str:
    """Answer in the manner of an AI."""
    job.pretend_to_work(4)
    question = content.lower()
    answer = next(
        (text for keywords, text in ANSWERS if any(keyword in question for keyword in keywords)),
        f"'{content}' is worth a closer look: start with what is known, then test the part you doubt most.",
    )
    return f"🤖 AI Response to '{content}':\n{answer}"
