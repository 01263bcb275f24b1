"""ConsoleChannel: what operators see and do at /console/."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Literal

from bus import InvalidName, UnknownJob, client_ids, subjects
from bus.job_log import DEFAULT_QUEUE
from bus.messages import Message, Ping, Pong, SystemNotification
from bus.messages.from_operators import (
    Announce,
    CancelJobs,
    GetConnections,
    GetSystem,
    JobFilter,
    ListJobs,
    NamedJob,
    RetryJobs,
    StopActing,
    UnwatchJob,
    WatchJob,
    WhichJobs,
)
from bus.messages.to_operators import (
    Announced,
    AnnouncedPayload,
    Connections,
    JobEvents,
    JobsActed,
    JobsPage,
    SystemStateReply,
)
from quart_app.channel import Channel, channel, ws_handler
from quart_app.channels.system import SystemChannel
from quart_app.console.access import is_local
from quart_app.console.audit import Audit
from quart_app.console.job_actions import JobActions
from quart_app.console.job_list import JobList
from quart_app.console.job_view import JobView
from quart_app.console.job_watch import JobWatch
from quart_app.errors import Refused
from workers.state.redis_state import look_at_redis
from workers.state.system import WITHIN, look

EVERYBODY = "system"
"""The group in which every connection of the page is."""
LISTED_WITHIN = 5.0
"""Seconds that are waited for the list of all jobs, when something is to be done with all that fit a filter."""
SHOWN = {action: operation.message for action, operation in SystemChannel.events.items()}
"""What clients are shown of a job."""


@channel("/ws/console", name="console")
class ConsoleChannel(Channel):
    """All jobs, processes and connections, for operators. What one does is written to the log."""

    groups = (EVERYBODY,)
    passthrough_events = (SystemNotification,)

    def __init__(self, *of: Any) -> None:
        super().__init__(*of)
        self._audit = Audit(self.connection)
        self._list: JobList | None = None
        self._watching: asyncio.Task[None] | None = None
        self._acting: JobActions | None = None
        self._draining = asyncio.Lock()

    def may_connect(self) -> bool:
        """Operators may; with `BUS_CONSOLE=local` also everybody on this machine."""
        local = self.services.settings.console == "local"
        return self.identity.operator or (local and is_local(self.connection.peer, self.connection.headers))

    @ws_handler
    async def ping(self, message: Ping) -> Pong:
        """Answer a ping."""
        return Pong()

    @ws_handler
    async def list_jobs(self, message: ListJobs) -> JobsPage:
        """Show a part of the list of all jobs from now on."""
        if self._list is None:
            self._list = JobList(self.services.index_reader)
            self.start(self._tell_list(self._list), "tell of jobs")
        return await self._list.show(message.payload)

    @ws_handler(output_type=JobEvents)
    async def watch(self, message: WatchJob) -> None:
        """Tell everything about one job from now on."""
        await self._stop_watching()
        watch = JobWatch(self.services.bus, SHOWN, message.payload)
        with _refusing():
            await watch.require()
        self._audit.note("watch_job", "done", message.payload.client_id, job_id=message.payload.job_id)
        self._watching = self.start(watch.run(self._teller(message.ref), self._drained), "tell of a job")

    @ws_handler
    async def unwatch(self, message: UnwatchJob) -> None:
        """Tell no more about it."""
        await self._stop_watching()

    @ws_handler(output_type=JobsActed)
    async def cancel(self, message: CancelJobs) -> None:
        """Call jobs off."""
        await self._act("cancel", message.payload, message.ref)

    @ws_handler(output_type=JobsActed)
    async def retry(self, message: RetryJobs) -> None:
        """Do jobs again that have ended."""
        await self._act("retry", message.payload, message.ref)

    @ws_handler
    async def stop(self, message: StopActing) -> None:
        """Leave those as they are that were not come to."""
        if self._acting is not None:
            self._acting.stop()

    @ws_handler
    async def system(self, message: GetSystem) -> SystemStateReply:
        """Say how NATS, Redis, workers and web processes stand."""
        settings = self.services.settings
        redis = asyncio.create_task(look_at_redis(settings, [DEFAULT_QUEUE], WITHIN), name="look at Redis")
        return SystemStateReply(payload=(await look(self.services.bus, settings, redis, fresh=False)).record())

    @ws_handler
    async def connections(self, message: GetConnections) -> Connections:
        """Tell of the connections of a web process, which is asked for them."""
        asked = message.payload
        request = {"after": asked.after} | ({} if asked.client_id is None else {"client_id": asked.client_id})
        with _refusing():
            subject = subjects.connections(asked.web)
        answer = await self.services.bus.request(subject, json.dumps(request).encode(), timeout=WITHIN)
        if answer is None:
            raise Refused("gone", "this web process is not there any more")
        try:
            page = json.loads(answer)
            told = {"web": asked.web, "connections": list(page["connections"]), "more": bool(page["more"])}
        except (ValueError, KeyError, TypeError) as error:
            raise Refused("gone", "what this web process answers is of another version") from error
        return Connections(payload=told)

    @ws_handler
    async def announce(self, message: Announce) -> Announced:
        """Tell everybody something, or a group, one client or one user."""
        said, bus = message.payload, self.services.bus
        event = SystemNotification(payload=said.text, level=said.level, expires_at=said.expires_at)
        told: dict[str, str | None]
        with _refusing():
            if said.client_id is not None or said.user is not None:
                client_id = said.client_id or client_ids.of_user(said.user or "")
                told = {"of_client": client_id}
                seq = await bus.send_event(event, client_id)
            else:
                told = {"group": said.group or EVERYBODY}
                [seq] = await bus.broadcast_event(event, [said.group or EVERYBODY])
        self._audit.note("announce", "done", seq=seq, level=said.level, text=said.text, **told)
        return Announced(payload=AnnouncedPayload(seq=seq))

    async def _tell_list(self, jobs: JobList) -> None:
        try:
            await jobs.run(self.send, self._drained)
        finally:
            await jobs.close()

    async def _stop_watching(self) -> None:
        watching, self._watching = self._watching, None
        if watching is not None:
            watching.cancel()
            await asyncio.wait({watching})

    async def _act(self, verb: Literal["cancel", "retry"], which: WhichJobs, ref: str | None) -> None:
        if self._acting is not None:
            raise Refused(
                "acting_already", "jobs are being cancelled or retried already: wait until that is over, or stop it"
            )
        jobs = which.jobs if which.jobs is not None else await self._fitting(verb, which)
        self._audit.note(f"{verb}_jobs", "begun", jobs=len(jobs), filter=which.filter and which.filter.model_dump())
        self._acting = JobActions(self.services, self._audit, verb, list(jobs))
        self.send(self._acting.told(), ref=ref)
        self.start(self._do(self._acting), f"{verb} jobs")

    async def _do(self, acting: JobActions) -> None:
        try:
            await acting.run(self.send)
        finally:
            self._acting = None

    async def _fitting(self, verb: Literal["cancel", "retry"], which: WhichJobs) -> list[NamedJob]:
        """The jobs that fit the filter now, and with which it can be done.

        Raises:
            Refused: they are not about as many as the operator was told.
        """
        view = JobView(which.filter or JobFilter())
        reader = self.services.index_reader
        async with reader.looking():
            try:
                async with asyncio.timeout(LISTED_WITHIN):
                    await reader.whole()
                await view.fill(reader.index)
            except TimeoutError:
                raise Refused("not_listed", "not all jobs are listed yet: wait until they are") from None
            finally:
                reader.index.viewers.discard(view)
        found = [job for job in view.jobs if job.ended == (verb == "retry")]
        expected = which.expected or 0
        if abs(len(found) - expected) > max(1, expected // 20):
            raise Refused("changed", f"there are {len(found)} such jobs now, and were {expected}: look again")
        return [NamedJob(client_id=job.client_id, job_id=job.job_id) for job in found]

    def _teller(self, ref: str | None) -> Any:
        """Sends messages, the first of which answers a frame."""
        refs = iter([ref])

        def tell(message: Message) -> None:
            self.send(message, ref=next(refs, None))

        return tell

    async def _drained(self) -> None:
        async with self._draining:
            await self.connection.drained()


@contextmanager
def _refusing() -> Iterator[None]:
    try:
        yield
    except UnknownJob as error:
        raise Refused("unknown_job", str(error)) from error
    except (InvalidName, UnicodeEncodeError) as error:
        raise Refused("bad_name", str(error)) from error
