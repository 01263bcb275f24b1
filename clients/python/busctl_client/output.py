"""Output: what a job writes while it runs, for any number of readers, each at its own pace."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable

from busctl_client.signal import Signal

OMITTED = "\n[…]\n"
"""Stands where pieces are missing because history was cut."""


class Piece(str):
    """A piece of a job's answer: text that knows whether it goes on from the piece before.

    Args:
        attempt: which attempt wrote it, from 1.
        reset: whether the answer begins again with it, and what came before is void: another attempt has begun, or
            pieces had been missing. The pieces since the last such one, joined, are what the job has written so far,
            and in the end its whole text.
    """

    __slots__ = ("attempt", "reset")
    attempt: int
    reset: bool

    def __new__(cls, text: str, attempt: int, reset: bool) -> Piece:
        piece = super().__new__(cls, text)
        piece.attempt = attempt
        piece.reset = reset
        return piece


class Output:
    """What one job has written. `async for piece in job.output` gives it from the beginning, then as it comes.

    Each piece comes once. Who reads slowly, or begins late, gets several as one, and costs nothing: everybody reads
    what is kept here once, which is no more than the server lets a job write (`BUS_JOB_RESULT_MAX_BYTES`). A job that
    does not stream gives its text as one piece.

    Args:
        changed: fires with every change of the job.
        check: raises why the job will write no more, when it did not end well.
    """

    def __init__(self, changed: Signal, check: Callable[[], None]) -> None:
        self.attempt = 0
        """Of which attempt this is; 0 before the first."""
        self._changed = changed
        self._check = check
        self._parts: list[str] = []
        self._next = 0  # the index of the next piece
        self._beginnings = 0  # how often the answer began again
        self._done = False

    @property
    def text(self) -> str:
        """The answer so far; all of it when the job is done, as JSON where the result is no text."""
        return "".join(self._parts)

    def begin(self, attempt: int) -> None:
        """An attempt begins: what an earlier one has written means nothing any more."""
        if attempt > self.attempt:
            self.attempt = attempt
            self._begin_again()

    def write(self, text: str, attempt: int, index: int) -> None:
        """A piece has arrived."""
        self.begin(attempt)
        if self._done or attempt < self.attempt or index < self._next:
            return
        if index > self._next:
            self._parts.append(OMITTED)
        self._parts.append(text)
        self._next = index + 1

    def end(self, result: object, attempt: int) -> None:
        """The job is done, with this result: all that it wrote, also what never came in pieces."""
        text = result if isinstance(result, str) else json.dumps(result, ensure_ascii=False, indent=2)
        self.begin(attempt)
        written = self.text
        if not text.startswith(written):
            self._begin_again()
            written = ""
        if len(text) > len(written):
            self._parts.append(text[len(written) :])
        self._done = True

    def follow(self, other: Output) -> None:
        """Be where that of the same job is."""
        self._begin_again()
        self.attempt, self._next, self._done = other.attempt, other._next, other._done
        self._parts.extend(other._parts)

    async def __aiter__(self) -> AsyncIterator[Piece]:
        """Every piece, from the beginning on, until the job is done.

        Raises:
            JobFailed, JobCancelled, Refused, JobLost: it does not come to that.
            ConnectionClosed: the client is closed.
        """
        beginning, place = self._beginnings, 0
        void = False
        while True:
            if beginning != self._beginnings:
                void = void or place > 0
                beginning, place = self._beginnings, 0
            if place < len(self._parts):
                text, place = "".join(self._parts[place:]), len(self._parts)
                yield Piece(text, self.attempt, void)
                void = False
            elif self._done:
                return
            else:
                self._check()
                await self._changed.wait()

    def _begin_again(self) -> None:
        self._beginnings += 1
        self._next = 0
        self._parts.clear()
