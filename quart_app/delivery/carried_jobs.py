"""CarriedJobs: what a replay from the stream's beginning tells of a job that waits, and whose own beginning is cut."""

from __future__ import annotations

from bus import Stored, job_log, subjects


class CarriedJobs:
    """A job that waits for long, for its time say, is carried forward before its `job_queued` is cut (`bus.job_log`).

    A client that has seen nothing yet is told of the job all the same: the first step that is left of it stands for its
    beginning. To be asked of each step in stream order; later, once more, it answers the same.
    """

    __slots__ = ("_first",)

    def __init__(self) -> None:
        self._first: dict[str, int] = {}
        """The first step that there is of each job."""

    def told(self, stored: Stored) -> Stored:
        """The event that stands for a stored one: another one if it is a job's `job_queued` once more, else itself."""
        address = subjects.parse(stored.subject)
        if address is None or address.job_id is None or address.output:
            return stored
        if self._first.setdefault(address.job_id, stored.seq) != stored.seq:
            return stored
        return job_log.beginning(stored) or stored
