"""Answer like a chatbot that knows three subjects, word by word."""

import re
from collections.abc import Iterator

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


SECONDS = 4
WORD = re.compile(r"\S+\s*|\s+")


@job
def generate(content: str, job: JobContext) -> Iterator[str]:
    """Answer in the manner of an AI."""
    question = content.lower()
    answer = next(
        (text for keywords, text in ANSWERS if any(keyword in question for keyword in keywords)),
        f"'{content}' is worth a closer look: start with what is known, then test the part you doubt most.",
    )
    words = WORD.findall(f"🤖 AI Response to '{content}':\n{answer}")
    for word in words:
        job.pretend_to_work(SECONDS / len(words), steps=1)
        yield word
