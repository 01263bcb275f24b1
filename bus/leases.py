"""Leases: keys in a NATS key-value bucket that expire unless they are renewed (NATS architecture, ADR-8).

They are read and written by plain requests to JetStream, from the leader, so that what is read is never an old copy.
"""

from __future__ import annotations

import base64
import json
from typing import Any

from bus import subjects
from bus.append import WRONG_LAST_SEQUENCE
from bus.client import Bus
from bus.errors import BusUnavailable, NoLease, StreamConflict
from bus.jetstream import STREAM_NOT_FOUND

AGE = 10.0
"""Seconds after its last renewal when a lease is gone."""
LEASE_TIMEOUT = 2.0
"""Deadline in seconds for one answer of NATS; less than the time between two renewals."""
LARGEST_BUCKET = 8 * 1024 * 1024
"""Bytes: room for about 40,000 leases."""

_ESSENTIAL = {
    "subjects": [subjects.ALL_LEASES],
    "max_age": int(AGE * 1e9),
    "max_msgs_per_subject": 1,
}
_BUCKET = _ESSENTIAL | {
    "name": subjects.LEASES,
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
}


async def declare(bus: Bus) -> None:
    """Make sure that the bucket exists; safe to call from many processes at once.

    Raises:
        StreamConflict: a bucket of that name is not of this system. It is not touched.
        NoLease: NATS refuses, or says nothing.
        BusUnavailable: NATS is away.
    """
    found = await _api(bus, "STREAM.INFO")
    if found.get("error", {}).get("err_code") == STREAM_NOT_FOUND:
        bucket = _BUCKET | {"num_replicas": bus.settings.stream_replicas}
        found = await _api(bus, "STREAM.CREATE", bucket)
        if "error" in found:  # this account may have no memory
            found = await _api(bus, "STREAM.CREATE", bucket | {"storage": "file"})
    _check(found)


async def put(bus: Bus, instance: str, holder: bytes) -> None:
    """Take or renew the lease of an instance, in a bucket that was declared.

    Raises:
        NoLease: NATS refuses, or says nothing.
        BusUnavailable: NATS is away.
    """
    subject = subjects.lease(instance)
    answer = await _request(bus, subject, holder)
    ack = {} if answer is None else _read(answer)
    if error := ack.get("error"):
        raise NoLease(f"NATS did not store its lease: {error.get('description')}")
    if ack.get("stream") != subjects.LEASES:
        raise NoLease(f"no bucket {subjects.LEASES} took its lease")


async def give_up(bus: Bus, instance: str) -> None:
    """Say that an instance is gone, by itself or by who saw it die. The mark itself expires.

    Raises: as `put`.
    """
    await _request(bus, subjects.lease(instance), b"", {"KV-Operation": "DEL"})


async def put_after(bus: Bus, name: str, holder: bytes, revision: int) -> int | None:
    """Take or renew a lease that several want, in a bucket that was declared.

    Args:
        revision: of the entry that it replaces, 0 for none.

    Returns:
        The new entry's revision, or None when it would have replaced another one.

    Raises: as `put`.
    """
    headers = {"Nats-Expected-Last-Subject-Sequence": str(revision)}
    answer = await _request(bus, subjects.lease(name), holder, headers)
    ack = {} if answer is None else _read(answer)
    if error := ack.get("error"):
        if error.get("err_code") == WRONG_LAST_SEQUENCE:
            return None
        raise NoLease(f"NATS did not store the lease {name}: {error.get('description')}")
    if ack.get("stream") != subjects.LEASES or not isinstance(stored := ack.get("seq"), int):
        raise NoLease(f"no bucket {subjects.LEASES} took the lease {name}")
    return stored


async def get(bus: Bus, name: str) -> tuple[int, bytes | None]:
    """The revision of a lease's entry, and its holder; None when it was given up, and 0 when there is no entry.

    Raises:
        BusUnavailable: NATS is away or silent.
    """
    answer = await _api(bus, "STREAM.MSG.GET", {"last_by_subj": subjects.lease(name)})
    message = answer.get("message", {})
    given_up = b"KV-Operation:" in base64.b64decode(message.get("hdrs", ""))
    return message.get("seq", 0), None if given_up or not message else base64.b64decode(message.get("data", ""))


async def was_given_up(bus: Bus, instance: str) -> bool:
    """Whether an instance was lately said to be gone. False for one that lives and for one whose lease expired.

    Raises:
        BusUnavailable: NATS is away or silent.
    """
    answer = await _api(bus, "STREAM.MSG.GET", {"last_by_subj": subjects.lease(instance)})
    headers = base64.b64decode(answer.get("message", {}).get("hdrs", ""))
    return b"KV-Operation:" in headers


async def made(bus: Bus) -> str:
    """When the bucket was made; empty when there is none.

    Raises: as `declare`.
    """
    answer = await _api(bus, "STREAM.INFO")
    if answer.get("error", {}).get("err_code") == STREAM_NOT_FOUND:
        return ""
    _check(answer)
    return str(answer["created"])


async def read_all(bus: Bus) -> tuple[str, set[str]]:
    """When the bucket was made, and every instance that has a lease or lately gave it up.

    Raises: as `declare`.
    """
    found: set[str] = set()
    while True:
        answer = await _api(bus, "STREAM.INFO", {"subjects_filter": subjects.ALL_LEASES, "offset": len(found)})
        if answer.get("error", {}).get("err_code") == STREAM_NOT_FOUND:
            return "", set()
        _check(answer)
        page = answer["state"].get("subjects") or {}
        found.update(subject.rpartition(".")[2] for subject in page)
        if not page or len(found) >= answer.get("total", 0):
            return str(answer["created"]), found


def _check(answer: dict[str, Any]) -> None:
    if error := answer.get("error"):
        raise NoLease(f"NATS refuses the bucket {subjects.LEASES}: {error.get('description')}")
    has = answer["config"]
    wrong = [
        f"{key} is {has.get(key)}, needed is {value}" for key, value in _ESSENTIAL.items() if has.get(key) != value
    ]
    if wrong:
        raise StreamConflict(
            f"the stream {subjects.LEASES} is not this system's key-value bucket of leases: {'; '.join(wrong)}. "
            "It is not touched. Move it away, or give this system an account of its own"
        )


async def _api(bus: Bus, verb: str, request: dict[str, Any] | None = None) -> dict[str, Any]:
    subject = f"$JS.API.{verb}.{subjects.LEASES}"
    answer = await _request(bus, subject, b"" if request is None else json.dumps(request).encode())
    if answer is None:
        raise BusUnavailable("JetStream does not answer; see whether NATS is started with -js, and is ready")
    return _read(answer)


async def _request(bus: Bus, subject: str, data: bytes, headers: dict[str, str] | None = None) -> bytes | None:
    try:
        return await bus.request(subject, data, timeout=LEASE_TIMEOUT, headers=headers)
    except BusUnavailable as error:
        if not error.maybe_done and not bus.connected:
            raise
        raise NoLease(str(error), publish=subject) from error


def _read(answer: bytes) -> dict[str, Any]:
    try:
        read = json.loads(answer)
    except ValueError as error:
        raise BusUnavailable("what NATS answered is no JSON; see what else answers on its API subjects") from error
    return read if isinstance(read, dict) else {}
