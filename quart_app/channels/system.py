"""SystemChannel: submit jobs, see their results and what operators announce. The file to read first."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from bus import CorruptJob, InvalidName, UnknownJob, job_log, subjects, times
from bus.attempts import attempts
from bus.job_log import JobState
from bus.messages import (
    CancelJob,
    ErrorItem,
    GetJob,
    JobAttempt,
    JobCancelled,
    JobFailed,
    JobOutput,
    JobProgress,
    JobQueued,
    JobResult,
    JobRetrying,
    JobStarted,
    JobStatus,
    JobStatusPayload,
    Ping,
    Pong,
    RetryJob,
    SystemMessage,
    SystemNotification,
    as_text,
)
from quart_app.channel import Channel, channel, ws_handler
from quart_app.errors import BadFrame, Refused, TooFast
from workers import submission
from workers.errors import BacklogFull, JobNotEnded, Misfit, TooFarAhead, TooManyBytes, TooManyJobs, UnknownTaskType

MOST_ATTEMPTS = 20
"""Attempts that `job_status` tells of, the latest."""


@channel("/ws/system", name="system")
class SystemChannel(Channel):
    """Background jobs and announcements."""

    groups = ("system",)
    passthrough_events = (
        JobQueued,
        JobStarted,
        JobRetrying,
        JobProgress,
        JobOutput,
        JobResult,
        JobFailed,
        JobCancelled,
        SystemNotification,
    )

    @ws_handler
    async def ping(self, message: Ping) -> Pong:
        """Answer a ping."""
        return Pong()

    @ws_handler(output_type=(JobQueued, JobStatus))
    async def submit(self, message: SystemMessage) -> JobStatus | None:
        """Accept a job.

        It is stored before anything else happens, and `job_queued` reaches the client from the stream like every
        later event of the job; Redis may be away meanwhile. A `key` that was used before changes nothing, and the
        answer is how that job stands. What is wrong with `content` for the job of this type is told as an `error`,
        whose items have a `loc` that begins with `system_message`, `payload`, `content`.
        """
        with _refusing(), _checking_content(message):
            submitted = await submission.submit(
                self.services.bus,
                self.services.jobs,
                message.payload,
                client_id=self.client_id,
                job_id=submission.new_job_id(self.client_id, message.key),
                queue=self.services.enqueuer.place(),
                client_jobs=self.services.client_jobs,
                ref=message.ref,
                not_before=_not_before(message),
                traceparent=message.traceparent,
            )
        return None if submitted.accepted else await self._status(submitted.job)

    @ws_handler(output_type=(JobQueued, JobStatus))
    async def retry(self, message: RetryJob) -> JobStatus | None:
        """Do a job again that has ended: accept a new one with the same request, as `system_message` does."""
        with _refusing():
            submitted = await submission.retry(
                self.services.bus,
                self.services.jobs,
                message.payload.job_id,
                client_id=self.client_id,
                job_id=submission.new_job_id(self.client_id, message.key),
                queue=self.services.enqueuer.place(),
                client_jobs=self.services.client_jobs,
                ref=message.ref,
                traceparent=message.traceparent,
            )
        return None if submitted.accepted else await self._status(submitted.job)

    @ws_handler(output_type=(JobCancelled, JobStatus))
    async def cancel(self, message: CancelJob) -> JobStatus | None:
        """Call a job off, queued or running. The answer is its state when it had ended already."""
        with _refusing():
            done = await submission.cancel(self.services.bus, self.client_id, message.payload.job_id)
        return None if done.cancelled else await self._status(done.job)

    @ws_handler
    async def status(self, message: GetJob) -> JobStatus:
        """Say how a job stands."""
        with _refusing():
            await self.services.client_reads.wait(self.client_id)
            job = await job_log.read(self.services.bus.stream, self.client_id, message.payload.job_id)
        return await self._status(job)

    async def _status(self, job: JobState) -> JobStatus:
        with _refusing():
            await self.services.client_reads.wait(self.client_id)
        subject = subjects.job(self.client_id, job.job_id)
        steps = [step async for step in job_log.steps(self.services.bus.stream, subject)]
        size = sum(len(step.stored.data) for step in steps)
        self.services.client_reads.charge(self.client_id, events=len(steps), size=size)
        told = attempts(steps)
        shown = tuple(
            JobAttempt(attempt=attempt.number, started_at=attempt.started_at, reason=attempt.reason)
            for attempt in told[-MOST_ATTEMPTS:]
        )
        return JobStatus(
            payload=JobStatusPayload(
                job_id=job.job_id,
                state=job.state,
                text=as_text(job.last.payload),
                result=job.last.payload if isinstance(job.last, JobResult) else None,
                reason=job.last.reason if isinstance(job.last, JobFailed | JobRetrying) else None,
                by=job.last.by if isinstance(job.last, JobCancelled) else None,
                attempt=told[-1].number if told else 0,
                attempts=shown,
                not_before=job.request.not_before if job.state == "job_queued" else None,
            )
        )


def _not_before(message: SystemMessage) -> datetime | None:
    if message.delay is not None:
        return datetime.now(UTC) + timedelta(seconds=message.delay)
    return None if message.not_before is None else times.read(message.not_before)


@contextmanager
def _refusing() -> Iterator[None]:
    """Tell the client what cannot be done, and why."""
    try:
        yield
    except BacklogFull as error:
        raise Refused("busy", "too many jobs wait for Redis; nothing was accepted, try again later") from error
    except UnknownTaskType as error:
        raise Refused("unknown_task_type", str(error)) from error
    except Misfit as error:
        raise Refused("unfit_content", str(error)) from error
    except JobNotEnded as error:
        raise Refused("job_not_ended", str(error)) from error
    except TooManyJobs as error:
        raise Refused("too_many_jobs", str(error)) from error
    except TooManyBytes as error:
        raise Refused("too_many_bytes", str(error)) from error
    except TooFarAhead as error:
        raise Refused("too_far_ahead", str(error)) from error
    except TooFast as error:
        raise Refused("too_fast", str(error)) from error
    except (UnknownJob, CorruptJob, InvalidName) as error:
        raise Refused("unknown_job", str(error)) from error


@contextmanager
def _checking_content(message: SystemMessage) -> Iterator[None]:
    """Answer with what is wrong with the content as with anything else that is wrong with a frame."""
    try:
        yield
    except Misfit as error:
        raise BadFrame(tuple(_in_frame(item) for item in error.items), message.ref) from error


def _in_frame(item: ErrorItem) -> ErrorItem:
    return item.model_copy(update={"loc": (SystemMessage.action_name(), "payload", "content", *item.loc)})
