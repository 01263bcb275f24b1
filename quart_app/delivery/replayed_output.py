"""Which of the pieces that jobs wrote belong into a replay: those that no later event of the same replay replaces."""

from __future__ import annotations

from bus.messages import JobEvent


class ReplayedOutput:
    """A result says all that its job wrote, and a new attempt begins again: the pieces before either are left out.

    Those of a job that runs, failed or was cancelled are not: there is nothing else to read of it.

    The steps of all jobs are noted first, then it is asked of each piece whether it is in. What is kept after that are
    the jobs with a piece that is, and no others.
    """

    __slots__ = ("_begun", "_first", "_replaced")

    def __init__(self) -> None:
        self._replaced: dict[str, int] = {}
        """Up to which sequence the pieces of a job are left out."""
        self._begun: dict[str, int] = {}
        """Where the last attempt of a job began that has no result."""
        self._first: dict[str, int] = {}
        """The first piece that is in, of each job with one."""

    @property
    def begin(self) -> int | None:
        """Before this sequence no job whose beginning was noted has a piece that is in; None when none has any."""
        return min(self._begun.values(), default=None)

    def note(self, step: JobEvent, seq: int) -> None:
        """A job has come so far."""
        if step.job_id is None or not step.replaces_output:
            return
        self._replaced[step.job_id] = seq
        if step.ended:
            self._begun.pop(step.job_id, None)
        else:
            self._begun[step.job_id] = seq

    def take(self, job_id: str, seq: int) -> bool:
        """Whether a piece is in. To be asked of each, in stream order, once all steps are noted."""
        if seq <= self._replaced.get(job_id, 0):
            return False
        self._first.setdefault(job_id, seq)
        return True

    def settle(self) -> None:
        """All pieces were asked for."""
        self._replaced.clear()
        self._begun.clear()

    def has(self, job_id: str, seq: int) -> bool:
        """What `take` said of a piece."""
        first = self._first.get(job_id)
        return first is not None and seq >= first
