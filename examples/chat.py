"""A chat whose answers come word by word, as those of a language model do.

    BUS_JOBS=examples.chat busctl dev

`Model` stands where the client of your provider will: it is opened once for a worker process, and gives an answer in
pieces. It is no language model. It turns a sentence round and asks back, as the first chat programs did, which needs
neither a key nor a network.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from busctl import JobContext, job

Text = Annotated[str, Field(min_length=1, max_length=2000)]
SECONDS_FOR_A_WORD = 0.05
OTHER_WAY_ROUND = {"i": "you", "me": "you", "my": "your", "mine": "yours", "am": "are", "was": "were"} | {
    "you": "I",
    "your": "my",
    "yours": "mine",
    "are": "am",
}
ANSWERS = (
    (r"\bi (?:need|want) (.*)", "What would it change if you had {}?"),
    (r"\bi(?: am|'m) (.*)", "How long have you been {}?"),
    (r"\bbecause (.*)", "Is that the only reason, or is there another one besides that {}?"),
    (r"\b(?:can|could|will) you (.*)", "Suppose that I could {}. What would you do next?"),
    (r"\b(?:hello|hi|good morning)\b", "Hello. What is on your mind?"),
    (r"(.*)\?$", "What do you think yourself: {}?"),
    (r"(.*)", "You say that {}. Tell me more about it."),
)
"""What is looked for in a sentence, and what is answered. The first that fits counts."""


class Turn(BaseModel):
    """What one of the two has said."""

    role: Literal["user", "assistant"]
    text: Text


class Chat(BaseModel):
    """A message, and what was said before it."""

    model_config = ConfigDict(extra="forbid")

    message: Text = Field(description="What you say.", examples=["I want a faster laptop."])
    history: list[Turn] = Field(default=[], max_length=50, description="What was said before, the oldest first.")


class Model:
    """Stands for the client of a language model."""

    async def answer(self, turns: list[Turn]) -> AsyncIterator[str]:
        """The pieces of an answer to what was said last."""
        said = turns[-1].text.strip()
        before = [turn.text.strip() for turn in turns[:-1] if turn.role == "user"]
        text = "You have said that before. What has changed since?" if said in before else reply(said)
        for piece in re.findall(r"\S+\s*", text):
            await asyncio.sleep(SECONDS_FOR_A_WORD)
            yield piece

    async def close(self) -> None:
        """Give back what it holds: here nothing, elsewhere a pool of connections."""


@asynccontextmanager
async def model() -> AsyncIterator[Model]:
    """The model of a worker process."""
    opened = Model()
    try:
        yield opened
    finally:
        await opened.close()


@job(time_limit=120)
async def chat(content: Chat, job: JobContext) -> AsyncIterator[str]:
    """Answer a message, word by word."""
    turns = [*content.history, Turn(role="user", text=content.message)]
    async for piece in (await job.resource(model)).answer(turns):
        yield piece


def reply(said: str) -> str:
    """What is answered to a sentence."""
    for pattern, answer in ANSWERS:
        if found := re.search(pattern, said, re.IGNORECASE | re.DOTALL):
            return answer.format(*(_turned_round(group) for group in found.groups()))
    raise AssertionError("the last pattern fits to every text")


def _turned_round(text: str) -> str:
    words = re.findall(r"[\w']+|\W+", text.strip(" .!?"))
    return "".join(OTHER_WAY_ROUND.get(word.lower(), word) for word in words)
