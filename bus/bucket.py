"""Bucket: a NATS key-value bucket (NATS architecture, ADR-8), read and written by plain requests to JetStream.

They go to the leader of the bucket's stream, so that what is read is never an old copy.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from bus.append import WRONG_LAST_SEQUENCE
from bus.client import Bus
from bus.errors import BusError, BusUnavailable, StreamConflict
from bus.jetstream import MESSAGE_NOT_FOUND, STREAM_NOT_FOUND
from bus.quorum import lacking

TIMEOUT = 2.0
"""Deadline in seconds for one answer of NATS."""

Answer = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Entry:
    """What a key has.

    Args:
        revision: a number that grows with each entry of the bucket; 0 when the key has none.
        value: what was put; None when there is nothing, or it was taken away.
        removed: whether it was taken away.
    """

    revision: int = 0
    value: bytes | None = None
    removed: bool = False


@dataclass(frozen=True, slots=True)
class Bucket:
    """One bucket.

    Args:
        stream: the name of its stream.
        holds: what is in it, in a word for messages.
        essential: fields of its stream by which it is known as ours, and without which it does not work.
        others: the other fields with which it is made.
        refusal: makes the error that is raised when NATS refuses, or says nothing; of why, and of the subject to which
            this NATS user may lack the permission to publish, if that may be it.
    """

    stream: str
    holds: str
    essential: Answer
    others: Answer
    refusal: Callable[[str, str | None], BusError]

    async def declare(self, bus: Bus) -> None:
        """Make sure that it exists; safe to call from many processes at once.

        Raises:
            StreamConflict: a stream of that name is not of this system. It is not touched.
            BusError: as `refusal` makes it.
            BusUnavailable: NATS is away.
        """
        found = await self._api(bus, "STREAM.INFO")
        if _is_missing(found):
            config = self.essential | self.others
            config |= {"name": self.stream, "num_replicas": bus.settings.stream_replicas}
            if config["num_replicas"] > 1:
                # In memory a server that was restarted knows nothing and does not count until it has caught up: lose
                # another one meanwhile, and the bucket has no leader for minutes.
                config["storage"] = "file"
            found = await self._api(bus, "STREAM.CREATE", config)
            if "error" in found and config["storage"] == "memory":  # of which this account may have none
                found = await self._api(bus, "STREAM.CREATE", config | {"storage": "file"})
        self._check(found)

    async def made(self, bus: Bus) -> str:
        """When it was made; empty when there is none. Raises as `declare`."""
        answer = await self._api(bus, "STREAM.INFO")
        if _is_missing(answer):
            return ""
        self._check(answer)
        return str(answer["created"])

    async def subjects(self, bus: Bus) -> tuple[str, set[str]]:
        """When it was made, and the subject of every key that has an entry, also one that was taken away.

        Raises: as `declare`.
        """
        found: set[str] = set()
        (every,) = self.essential["subjects"]
        while True:
            answer = await self._api(bus, "STREAM.INFO", {"subjects_filter": every, "offset": len(found)})
            if _is_missing(answer):
                return "", set()
            self._check(answer)
            page = answer["state"].get("subjects") or {}
            found.update(page)
            if not page or len(found) >= answer.get("total", 0):
                return str(answer["created"]), found

    async def get(self, bus: Bus, subject: str) -> Entry:
        """The latest entry of a key; one without a value when there is none, or no bucket.

        Raises:
            BusUnavailable: NATS is away, or cannot say it now, as while the bucket gets another leader.
            BusError: as `refusal` makes it.
        """
        answer = await self._api(bus, "STREAM.MSG.GET", {"last_by_subj": subject})
        if (error := answer.get("error")) and error.get("err_code") not in (MESSAGE_NOT_FOUND, STREAM_NOT_FOUND):
            raise BusUnavailable(f"NATS refused a read of the bucket {self.stream}: {error.get('description')}")
        if not (message := answer.get("message")):
            return Entry()
        removed = b"KV-Operation:" in base64.b64decode(message.get("hdrs", ""))
        value = None if removed else base64.b64decode(message.get("data", ""))
        return Entry(message.get("seq", 0), value, removed)

    async def put(self, bus: Bus, subject: str, value: bytes, *, after: int | None = None) -> int | None:
        """Give a key a new entry, in a bucket that was declared.

        Args:
            after: the revision of the entry that it replaces, 0 for none; by default it replaces any.

        Returns:
            The entry's revision, or None when it would have replaced another one.

        Raises:
            BusUnavailable: NATS is away.
            BusError: as `refusal` makes it.
        """
        headers = None if after is None else {"Nats-Expected-Last-Subject-Sequence": str(after)}
        answer = await self._request(bus, subject, value, headers)
        ack = {} if answer is None else _read(answer)
        if error := ack.get("error"):
            if error.get("err_code") == WRONG_LAST_SEQUENCE:
                return None
            raise self.refusal(f"NATS did not store {subject}: {error.get('description')}", None)
        if ack.get("stream") != self.stream or not isinstance(revision := ack.get("seq"), int):
            raise self.refusal(f"no bucket {self.stream} took {subject}: it has no leader, or is gone", None)
        return revision

    async def remove(self, bus: Bus, subject: str) -> None:
        """Mark a key as taken away. Raises as `put`."""
        await self._request(bus, subject, b"", {"KV-Operation": "DEL"})

    def _check(self, answer: Answer) -> None:
        if error := answer.get("error"):
            raise self.refusal(f"NATS refuses the bucket {self.stream}: {error.get('description')}", None)
        if (lack := lacking(answer)) is not None:
            raise self.refusal(f"the bucket {self.stream} {lack}", None)
        has = answer["config"]
        wrong = [
            f"{key} is {has.get(key)}, needed is {value}"
            for key, value in self.essential.items()
            if has.get(key) != value
        ]
        if wrong:
            raise StreamConflict(
                f"the stream {self.stream} is not this system's key-value bucket of {self.holds}: {'; '.join(wrong)}. "
                "It is not touched. Move it away, or give this system an account of its own"
            )

    async def _api(self, bus: Bus, verb: str, request: Answer | None = None) -> Answer:
        subject = f"$JS.API.{verb}.{self.stream}"
        answer = await self._request(bus, subject, b"" if request is None else json.dumps(request).encode())
        if answer is None:
            raise BusUnavailable("JetStream does not answer; see whether NATS is started with -js, and is ready")
        return _read(answer)

    async def _request(
        self, bus: Bus, subject: str, data: bytes, headers: dict[str, str] | None = None
    ) -> bytes | None:
        try:
            return await bus.request(subject, data, timeout=TIMEOUT, headers=headers)
        except BusUnavailable as error:
            if not error.maybe_done and not bus.connected:
                raise
            raise self.refusal(str(error), subject) from error


def _is_missing(answer: Answer) -> bool:
    return bool(answer.get("error", {}).get("err_code") == STREAM_NOT_FOUND)


def _read(answer: bytes) -> Answer:
    try:
        read = json.loads(answer)
    except ValueError as error:
        raise BusUnavailable("what NATS answered is no JSON; see what else answers on its API subjects") from error
    return read if isinstance(read, dict) else {}
