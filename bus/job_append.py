"""Appends of what happens to a job: each follows a step of it, and NATS refuses it when the job has moved on since."""

from __future__ import annotations

from dataclasses import dataclass

from bus.errors import AppendRefused, CorruptJob
from bus.job_state import JobState
from bus.job_step import Step, step_of
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
    traceparent: str | None = None,
) -> Appended:
    """Store an event of a job that follows its step `after`.

    What another program wrote on the job's subject since `after` does not stop the job, nor does it that its state was
    carried forward; any other step does, also one that retention may have cut.

    Args:
        frame: the event as JSON.
        after: the sequence of the job's last step, 0 for none.
        job: the state after that step.
        message_id: as for `EventStream.append`.
        traceparent: as for `EventStream.append`.
        step_subject: where the steps are, when the event is none itself and `subject` is another one.

    Raises:
        AppendRefused: the job has made another step, after `after` or after this one.
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
                traceparent=traceparent,
            )
            return Appended(seq, expected)
        except AppendRefused:
            steps_at = step_subject or subject
            known = await stream.reached()  # of what was refused for, a replica may not know yet
            since = [stored async for stored in stream.replay(steps_at, after=expected, known=known)]
            steps = {stored.seq: step for stored in since if (step := _step(stored)) is not None}
            ours = None
            for stored in since:
                step = steps.get(stored.seq)
                if message_id is not None and stored.message_id == message_id:
                    ours = Appended(stored.seq, expected)
                    if job is not None and step is not None:
                        job = job.after(step.event, step.seq, step.instance)
                elif step is not None and _moves_on(job, step):
                    raise
            if ours is not None:
                return ours
            if not since or (expected and not steps and not await _is_stored(stream, steps_at, expected)):
                raise  # the job may have moved on by what is cut
            expected = since[-1].seq


def _step(stored: Stored) -> Step | None:
    try:
        return step_of(stored)
    except CorruptJob:
        return None


def _moves_on(job: JobState | None, step: Step) -> bool:
    """Whether a step is one after which the job is not as it was."""
    return job is None or not step.carried or not job.is_where(job.after(step.event, step.seq, step.instance))


async def _is_stored(stream: EventStream, subject: str, seq: int) -> bool:
    stored = await stream.first(subject, seq=seq)
    return stored is not None and stored.seq == seq
