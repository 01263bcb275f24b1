"""Tea: slow work that people hand in."""

from __future__ import annotations

import time
from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import BaseModel, Field

from busctl import JobContext, job


class Order(BaseModel):
    """What somebody wants."""

    cups: int = Field(ge=1, le=12, description="How many.")
    kind: Literal["green", "black"] = "green"
    extras: Annotated[list[str], Field(max_length=3, description="What goes with it.")] = []


@job
def tea(content: Order, job: JobContext) -> Iterator[str]:
    """Make tea, cup by cup."""
    extras = f" with {' and '.join(content.extras)}" if content.extras else ""
    for cup in range(1, content.cups + 1):
        time.sleep(0.3 * job.delay_scale)  # stands for the slow part
        job.progress(cup / content.cups, f"cup {cup}")
        yield f"Cup {cup} of {content.kind} tea{extras}.\n"
