"""What a client reads of the answers that jobs write: each piece once and in order, and none after the end."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Frame = dict[str, Any]


@dataclass(slots=True)
class _Answer:
    attempt: int
    index: int
    text: str
    connection: int
    """In which its attempt began."""
    torn: bool
    """Whether pieces before the first one were cut from the stream."""


class Answers:
    """The answers that one page shows, while they are made. It believes the server, and sorts nothing."""

    def __init__(self) -> None:
        self._answers: dict[str, _Answer] = {}
        self._ended: set[str] = set()
        self._connection = 0
        self._torn = False
        self.whole = 0
        """How many were read piece by piece to the end."""

    def connected(self, *, torn: bool) -> None:
        """The client is connected again.

        Args:
            torn: it was told that it has lost events.
        """
        self._connection += 1
        if torn:
            self._torn = True
            for answer in self._answers.values():
                answer.torn = True

    @property
    def under_way(self) -> int:
        """How many answers have begun, and not ended."""
        return len(self._answers)

    def read(self, frame: Frame) -> Iterator[str]:
        """Take a frame about a job. Gives what is wrong with it."""
        job_id = frame.get("job_id", "")
        match frame["action"]:
            case "job_output":
                yield from self._piece(job_id, frame)
            case "job_queued":
                self._ended.discard(job_id)  # its key was used again, long after
            case "job_result" | "job_failed" | "job_cancelled":
                yield from self._end(job_id, frame)

    def _piece(self, job_id: str, frame: Frame) -> Iterator[str]:
        if job_id in self._ended:
            yield f"a piece came after the end: {frame}"
        attempt, index, text = frame["attempt"], frame["index"], frame["payload"]
        answer = self._answers.get(job_id)
        if answer is not None and attempt == answer.attempt:
            if index <= answer.index or (index != answer.index + 1 and not answer.torn):
                yield f"piece {index} came after piece {answer.index}: {frame}"
            answer.index, answer.text = index, answer.text + text
            return
        if answer is not None and attempt < answer.attempt:
            yield f"a piece of attempt {attempt} came after one of attempt {answer.attempt}: {frame}"
        if index and not self._torn:
            yield f"the pieces before this one never came: {frame}"
        self._answers[job_id] = _Answer(attempt, index, text, self._connection, torn=index > 0)

    def _end(self, job_id: str, frame: Frame) -> Iterator[str]:
        self._ended.add(job_id)
        answer = self._answers.pop(job_id, None)
        if answer is None or answer.torn or frame["action"] != "job_result" or frame.get("attempt") != answer.attempt:
            return
        here = answer.connection == self._connection  # else the last pieces may be left out for the result
        if answer.text != frame["payload"] and (here or not frame["payload"].startswith(answer.text)):
            yield f"the pieces are {answer.text!r}, and the result is {frame}"
        self.whole += here
