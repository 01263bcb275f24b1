"""Leases: keys in a NATS key-value bucket that expire unless they are renewed."""

from __future__ import annotations

from bus import subjects
from bus.bucket import TIMEOUT, Bucket
from bus.client import Bus
from bus.errors import NoLease

AGE = 10.0
"""Seconds after its last renewal when a lease is gone."""
LEASE_TIMEOUT = TIMEOUT
"""Deadline in seconds for one answer of NATS; less than the time between two renewals."""
LARGEST_BUCKET = 8 * 1024 * 1024
"""Bytes: room for about 40,000 leases."""

BUCKET = Bucket(
    stream=subjects.LEASES,
    holds="leases",
    essential={
        "subjects": [subjects.ALL_LEASES],
        "max_age": int(AGE * 1e9),
        "max_msgs_per_subject": 1,
    },
    others={
        "description": "Which busctl workers live",
        "retention": "limits",
        "storage": "memory",
        "discard": "new",
        "max_msgs": -1,
        "max_bytes": LARGEST_BUCKET,
        "duplicate_window": int(AGE * 1e9),
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
    },
    refusal=lambda why, subject: NoLease(why, publish=subject),
)


async def declare(bus: Bus) -> None:
    """Make sure that the bucket exists; safe to call from many processes at once.

    Raises:
        StreamConflict: a bucket of that name is not of this system. It is not touched.
        NoLease: NATS refuses, or says nothing.
        BusUnavailable: NATS is away.
    """
    await BUCKET.declare(bus)


async def put(bus: Bus, instance: str, holder: bytes) -> None:
    """Take or renew the lease of an instance, in a bucket that was declared.

    Raises:
        NoLease: NATS refuses, or says nothing.
        BusUnavailable: NATS is away.
    """
    await BUCKET.put(bus, subjects.lease(instance), holder)


async def give_up(bus: Bus, instance: str) -> None:
    """Say that an instance is gone, by itself or by who saw it die. The mark itself expires.

    Raises: as `put`.
    """
    await BUCKET.remove(bus, subjects.lease(instance))


async def put_after(bus: Bus, name: str, holder: bytes, revision: int) -> int | None:
    """Take or renew a lease that several want, in a bucket that was declared.

    Args:
        revision: of the entry that it replaces, 0 for none.

    Returns:
        The new entry's revision, or None when it would have replaced another one.

    Raises: as `put`.
    """
    return await BUCKET.put(bus, subjects.lease(name), holder, after=revision)


async def get(bus: Bus, name: str) -> tuple[int, bytes | None]:
    """The revision of a lease's entry, and its holder; None when it was given up, and 0 when there is no entry.

    Raises: as `Bucket.get`.
    """
    entry = await BUCKET.get(bus, subjects.lease(name))
    return entry.revision, entry.value


async def was_given_up(bus: Bus, instance: str) -> bool:
    """Whether an instance was lately said to be gone. False for one that lives and for one whose lease expired.

    Raises: as `Bucket.get`.
    """
    return (await BUCKET.get(bus, subjects.lease(instance))).removed


async def made(bus: Bus) -> str:
    """When the bucket was made; empty when there is none.

    Raises: as `declare`.
    """
    return await BUCKET.made(bus)


async def read_all(bus: Bus) -> tuple[str, set[str]]:
    """When the bucket was made, and every instance that has a lease or lately gave it up.

    Raises: as `declare`.
    """
    made, found = await BUCKET.subjects(bus)
    return made, {subject.rpartition(".")[2] for subject in found}
