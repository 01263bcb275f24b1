"""SystemChannel: hand in jobs, see their results and what operators announce. The file to read first."""

from __future__ import annotations

from bus import job_log
from bus.job_log import JobRequest
from bus.messages import (
    JobCancelled,
    JobFailed,
    JobQueued,
    JobResult,
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
    passthrough_events = (JobQueued, JobResult, JobFailed, JobCancelled, SystemNotification)

    @ws_handler
    async def ping(self, message: Ping) -> Pong:
        """Answer a ping."""
        return Pong()

    @ws_handler(output_type=JobQueued)
    async def submit(self, message: SystemMessage) -> None:
        """Accept a job.

        It is stored before anything else happens, and `job_queued` reaches the client from the stream like every
        later event of the job; Redis may be away meanwhile.
        """
        if self.services.enqueuer.full:
            raise Refused("busy", "too many jobs wait for Redis; nothing was accepted, try again later")
        asked = message.payload
        job = resolve(self.services.jobs, asked.task_type)
        request = JobRequest(task_type=asked.task_type, job_type=job.name, content=asked.content)
        accepted = await job_log.create(
            self.services.bus.stream, self.client_id, request, job_id=job_log.new_job_id(), ref=message.ref
        )
        self.services.enqueuer.put(accepted)
