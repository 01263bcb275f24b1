"""What is remembered of each schedule: the slot that was handled last, and the one that comes next.

A slot is one of the times at which a schedule begins a job. Each schedule has one key in a NATS key-value bucket, which
is written by the worker that reconciles and may be read by everybody.
"""

from __future__ import annotations

import asyncio
from datetime import datetime

import structlog
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError, field_serializer

from bus import job_log, subjects, times
from bus.bucket import Bucket, Entry
from bus.client import Bus
from bus.errors import BusUnavailable
from bus.tracebacks import described

LARGEST_BUCKET = 1024 * 1024
"""Bytes: room for about 2,000 schedules."""
READ_AT_ONCE = 32

log = structlog.get_logger(__name__)


def _refusal(why: str, subject: str | None) -> BusUnavailable:
    hint = f"; see whether this NATS user may publish to {subject}" if subject else ""
    return BusUnavailable(f"{why}{hint}")


BUCKET = Bucket(
    stream=subjects.SCHEDULES,
    holds="schedules",
    essential={
        "subjects": [subjects.ALL_SCHEDULES],
        "max_age": 0,
        "max_msgs_per_subject": 1,
        "storage": "file",
    },
    others={
        "description": "Which slots of busctl schedules were handled",
        "retention": "limits",
        "discard": "new",
        "max_msgs": -1,
        "max_bytes": LARGEST_BUCKET,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
    },
    refusal=_refusal,
)


class Remembered(BaseModel):
    """What is remembered of one schedule.

    Args:
        name: the job type that it runs.
        definition: when, as its code says; for people, and to notice a change.
        last: the last slot of which there is a job, or None.
        next: the next slot to be handled. It may have passed: then an earlier job still runs, or no worker was there.
        gone: since when the workers have no such schedule; None as long as they have.
        revision: of this entry; None to replace any.
    """

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str = Field("", exclude=True)
    definition: str
    last: AwareDatetime | None = None
    next: AwareDatetime
    gone: AwareDatetime | None = None
    revision: int | None = Field(None, exclude=True)

    @field_serializer("last", "next", "gone")
    def _written(self, time: datetime | None) -> str | None:
        return None if time is None else times.written(time)


def job_id(name: str, slot: datetime) -> str:
    """The id of the job of a slot: whoever makes it, there is one."""
    return job_log.job_id_of_key(subjects.SCHEDULES_CLIENT, f"{name} {times.written(slot)}")


async def declare(bus: Bus) -> None:
    """Make sure that the bucket exists, for whoever writes there. Raises as `read_all`."""
    await BUCKET.declare(bus)


async def read_all(bus: Bus) -> list[Remembered]:
    """What is remembered, by name; nothing while no worker has had a schedule.

    Raises:
        StreamConflict: a bucket of that name is not of this system.
        BusUnavailable: NATS is away, silent, or refuses.
    """
    _, keys = await BUCKET.subjects(bus)
    limit = asyncio.Semaphore(READ_AT_ONCE)

    async def read(subject: str) -> Remembered | None:
        async with limit:
            return _remembered(subject.rpartition(".")[2], await BUCKET.get(bus, subject))

    found = await asyncio.gather(*map(read, sorted(keys)))
    return [one for one in found if one is not None]


async def remember(bus: Bus, what: Remembered) -> Remembered | None:
    """Store what is remembered of a schedule, in place of the entry of its `revision`, in a bucket that was declared.

    Returns:
        It, with its new revision; None when another process was first.

    Raises: as `read_all`.
    """
    value = what.model_dump_json(exclude_none=True).encode()
    revision = await BUCKET.put(bus, subjects.schedule(what.name), value, after=what.revision)
    return None if revision is None else what.model_copy(update={"revision": revision})


async def forget(bus: Bus, name: str) -> None:
    """Remember nothing of a schedule any more. Raises as `read_all`."""
    await BUCKET.remove(bus, subjects.schedule(name))


def _remembered(name: str, entry: Entry) -> Remembered | None:
    if entry.value is None:
        return None
    try:
        told = Remembered.model_validate_json(entry.value)
    except ValidationError as error:
        log.warning("passed over what another program remembers of a schedule", schedule=name, error=described(error))
        return None
    return told.model_copy(update={"name": name, "revision": entry.revision})
