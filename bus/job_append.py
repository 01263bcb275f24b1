"""Appends of what happens to a job: each follows a step of it, and NATS refuses it when the job has moved on since."""

from __future__ import annotations

from dataclasses import dataclass

from bus.errors import AppendRefused, CorruptJob
from bus.job_state import JobState
from bus.job_step import step_of
from bus.stored import Stored
from bus.stream import EventStream


@dataclass(frozen=True, slots=True)
class Appended:
    """What was stored.

    Args:
        seq: its sequence.
        after: the sequence of the step that it follows: the one that was expected, or that step carried forward.
    """

    seq: int
    after: int


async def append_step(
    stream: EventStream,
    subject: str,
    frame: str,
    *,
    after: int,
    job: JobState | None = None,
    message_id: str | None = None,
    step_subject: str | None = None,
) -> Appended:
    """Store an event of a job that follows its step `after`.

    What another program wrote on the job's subject since `after` does not stop the job, nor does it that its state was
    carried forward; any other step does.

    Args:
        frame: the event as JSON.
        after: the sequence of the job's last step, 0 for none.
        job: the state after that step.
        message_id: as for `EventStream.append`.
        step_subject: where the steps are, when the event is none itself and `subject` is another one.

    Raises:
        AppendRefused: the job has made another step.
        BusUnavailable, EventTooLarge: as for `EventStream.append`.
    """
    expected = after
    while True:
        try:
            seq = await stream.append(
                subject,
                frame.encode(),
                expected_last=expected,
                expected_subject=step_subject,
                message_id=message_id,
            )
            return Appended(seq, expected)
        except AppendRefused:
            since = [stored async for stored in stream.replay(step_subject or subject, after=expected)]
            for stored in since:
                if message_id is not None and stored.message_id == message_id:
                    return Appended(stored.seq, expected)
                if _moves_on(job, stored):
                    raise
            if not since:
                raise
            expected = since[-1].seq


def _moves_on(job: JobState | None, stored: Stored) -> bool:
    """Whether a stored event is a step after which the job is not as it was."""
    try:
        step = step_of(stored)
    except CorruptJob:
        return False
    return job is None or not step.carried or not job.is_where(job.after(step.event, step.seq, step.instance))
