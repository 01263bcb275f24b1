"""What a running job writes: pieces of its answer, stored on a subject beside the job's steps.

Each append is fenced by the last step: NATS takes none of an attempt that is over, whoever sends it, however late.
"""

from __future__ import annotations

from bus import subjects
from bus.job_append import Appended, append_step
from bus.job_state import JobState
from bus.messages import JobOutput
from bus.stream import EventStream


async def append_piece(stream: EventStream, job: JobState, text: str, *, index: int, message_id: str) -> Appended:
    """Store a piece of what the running attempt writes.

    The pieces of an attempt are appended one after the other, each once the one before it is acknowledged: so they are
    stored in the order of `index` whatever NATS does meanwhile, and a stream with replicas takes no others.

    Args:
        job: as `job_log.start` returned it.
        index: the piece's place within the attempt, counted from 0.
        message_id: the same one for all repetitions of this piece.

    Raises:
        AppendRefused: the attempt is over: the job has ended, or another attempt has begun.
        BusUnavailable: not stored, or (`maybe_done`) perhaps stored.
        EventTooLarge: it is larger than NATS takes; nothing was stored.
    """
    piece = JobOutput(
        payload=text,
        job_id=job.job_id,
        ref=job.ref,
        task_type=job.request.task_type,
        attempt=job.attempt,
        index=index,
    )
    return await append_step(
        stream,
        subjects.output(job.client_id, job.job_id),
        piece.encode(),
        after=job.seq,
        job=job,
        message_id=message_id,
        step_subject=subjects.job(job.client_id, job.job_id),
    )


async def is_stored(stream: EventStream, job: JobState, message_id: str) -> bool:
    """Whether the last piece that is stored of a job has this message id: NATS forgets ids after some minutes.

    Raises:
        BusUnavailable: NATS is away or silent.
    """
    last = await stream.last(subjects.output(job.client_id, job.job_id))
    return last is not None and last.message_id == message_id
