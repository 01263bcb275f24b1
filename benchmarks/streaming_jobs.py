"""Jobs that write their answer while they run. Installed into the benchmark's workers and web processes."""

from __future__ import annotations

import time
from collections.abc import Iterator

from workers.registry import JobContext, job

WORD = "word "


@job
def first(content: str, job: JobContext) -> Iterator[str]:
    """Write when it was written, on the clock of all processes, after so many seconds."""
    time.sleep(float(content))
    yield repr(time.monotonic())


@job
def paced(content: str, job: JobContext) -> Iterator[str]:
    """Write so many words, so many a second."""
    words, rate = map(int, content.split())
    begun = time.monotonic()
    for number in range(words):
        time.sleep(max(0.0, begun + number / rate - time.monotonic()))
        yield WORD


@job
def tiny(content: str, job: JobContext) -> Iterator[str]:
    """Write so many pieces of two characters."""
    for _ in range(int(content)):
        yield "x "


@job
def whole(content: str, job: JobContext) -> str:
    """Return the same text at once."""
    return "x " * int(content)
