"""Whether a job comes back: submitted like any other, run by a worker, its result read from the stream.

The job is one that every worker has for this (`workers.self_test`), so it needs no job that people wrote. It leaves
three small events. One that does not come back is cancelled.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import suppress

from bus import Bus, BusError, CorruptJob, NotPermitted, Settings, StreamFull, job_log, subjects
from bus.job_log import DEFAULT_QUEUE, JobRequest, JobState
from cli.doctor.check import Check, bad, good, unsure
from workers.hand_in import hand_in
from workers.state.processes import Process

ROUND_TRIP = "a job"
WITHIN = 1.5
"""Seconds for it to come back."""
CLIENT = "cli"
"""Whose job it is: that of the commands, for which a NATS user may lack the permission of another."""


async def check_round_trip(bus: Bus, settings: Settings, workers: list[Process]) -> list[Check]:
    """Submit a job, and wait for its end.

    Args:
        workers: those that answered; without one nothing is submitted.
    """
    from workers.self_test import NAME  # here, because it takes its time, and without a worker nobody needs it

    queues = sorted({queue for worker in workers for queue in worker.queues}, key=lambda name: name != DEFAULT_QUEUE)
    if not queues:
        return [unsure(ROUND_TRIP, "not tried: no worker answers", "start one: busctl worker")]
    trouble: list[str] = []
    began = time.monotonic()
    request = JobRequest(task_type=NAME, job_type=NAME, content="are you there?", queue=queues[0])
    try:
        job = await job_log.create(bus.stream, CLIENT, request, job_id=job_log.new_job_id())
    except NotPermitted as error:
        return [unsure(ROUND_TRIP, f"not tried: {error}", "look as a user that may submit jobs")]
    except StreamFull as error:
        return [bad(ROUND_TRIP, f"not accepted: {error}", "raise BUS_STREAM_MAX_BYTES; busctl jobs --open")]
    except BusError as error:
        return [
            bad(ROUND_TRIP, f"not accepted: {error}", "mend what is wrong with NATS or the stream, then look again")
        ]
    try:
        async with asyncio.timeout(WITHIN):
            await hand_in(bus, settings, job, trouble.append)
            end = await _end(bus, job)
    except (TimeoutError, BusError) as error:
        await _call_off(bus, job)
        return [_lost(workers, queues[0], trouble or [str(error)])]
    if end.state != "job_result":
        return [bad(ROUND_TRIP, f"it ended with {end.state}: {end.last.payload}", "see the log of the worker")]
    milliseconds = 1000 * (time.monotonic() - began)
    return [good(ROUND_TRIP, f"submitted, run by a worker and back in {milliseconds:.0f} ms")]


async def _end(bus: Bus, job: JobState) -> JobState:
    subject = subjects.job(job.client_id, job.job_id)
    async with bus.follow(subject, after=job.seq - 1) as events:
        async for stored in events:
            with suppress(CorruptJob):
                if job_log.step_of(stored).event.ended:
                    return await job_log.read(bus.stream, job.client_id, job.job_id)
    raise AssertionError("a job is followed until it ends")


async def _call_off(bus: Bus, job: JobState) -> None:
    with suppress(BusError):
        await job_log.cancel(bus.stream, job.client_id, job.job_id, by="busctl doctor")


def _lost(workers: list[Process], queue: str, trouble: list[str]) -> Check:
    said = "; ".join(filter(None, trouble))
    taking = [worker for worker in workers if queue in worker.queues]
    if taking and all(len(worker.running) >= worker.concurrency for worker in taking):
        return unsure(
            ROUND_TRIP,
            f"it was not back in {WITHIN:g} s: every worker of the queue {queue} is busy",
            "look again later, or start more workers: busctl worker --concurrency N",
        )
    if said:
        return bad(ROUND_TRIP, f"it did not come back: {said}", "mend that, then look again")
    return bad(
        ROUND_TRIP,
        f"it was accepted, and no worker of the queue {queue} brought it back in {WITHIN:g} s",
        "see whether REDIS_URL is the same here and for the workers, and the log of a worker",
    )
