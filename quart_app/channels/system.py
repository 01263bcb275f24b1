"""SystemChannel: hand in jobs, see their results and what operators announce. The file to read first."""

from __future__ import annotations

from bus import AppendRefused, InvalidName, UnknownJob, job_log, liveness
from bus.job_log import CorruptJob, JobRequest, JobState
from bus.messages import (
    CancelJob,
    GetJob,
    JobCancelled,
    JobFailed,
    JobProgress,
    JobQueued,
    JobResult,
    JobStarted,
    JobStatus,
    JobStatusPayload,
    Ping,
    Pong,
    SystemMessage,
    SystemNotification,
)
from quart_app.channel import Channel, channel, ws_handler
from quart_app.connection import Refused
from workers.registry import resolve


@channel("/ws/system", name="system")
class SystemChannel(Channel):
    """Background jobs and announcements."""

    groups = ("system",)
    passthrough_events = (
        JobQueued,
        JobStarted,
        JobProgress,
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
        answer is how that job stands.
        """
        if self.services.enqueuer.full:
            raise Refused("busy", "too many jobs wait for Redis; nothing was accepted, try again later")
        asked = message.payload
        job = resolve(self.services.jobs, asked.task_type)
        request = JobRequest(task_type=asked.task_type, job_type=job.name, content=asked.content)
        job_id = job_log.new_job_id() if message.key is None else job_log.job_id_of_key(self.client_id, message.key)
        stream = self.services.bus.stream
        try:
            accepted = await job_log.create(stream, self.client_id, request, job_id=job_id, ref=message.ref)
        except AppendRefused:
            return _status(await job_log.read(stream, self.client_id, job_id))
        self.services.enqueuer.put(accepted)
        return None

    @ws_handler(output_type=(JobCancelled, JobStatus))
    async def cancel(self, message: CancelJob) -> JobStatus | None:
        """Call a job off, queued or running. The answer is its state when it had ended already."""
        before = await self._read(message.payload.job_id)
        if before.ended:
            return _status(before)
        after = await job_log.cancel(self.services.bus.stream, self.client_id, before.job_id)
        if not isinstance(after.last, JobCancelled):
            return _status(after)
        await liveness.tell_cancelled(self.services.bus, after.instance, before.job_id)
        return None

    @ws_handler
    async def status(self, message: GetJob) -> JobStatus:
        """Say how a job stands."""
        return _status(await self._read(message.payload.job_id))

    async def _read(self, job_id: str) -> JobState:
        try:
            return await job_log.read(self.services.bus.stream, self.client_id, job_id)
        except (UnknownJob, CorruptJob, InvalidName) as error:
            raise Refused("unknown_job", str(error)) from error


def _status(job: JobState) -> JobStatus:
    return JobStatus(payload=JobStatusPayload(job_id=job.job_id, state=job.state, text=job.last.payload))
