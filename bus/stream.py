"""The EVENTS stream: declare it, append to it, read it back."""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.js.api import Header

from bus import subjects
from bus.connection import Connection
from bus.declaration import Declaration
from bus.errors import AppendRefused, BusUnavailable, NoStream, UnsupportedServer
from bus.event_limit import LONGEST_HEADERS, EventLimit, header_bytes
from bus.jetstream import MESSAGE_NOT_FOUND, STREAM_NOT_FOUND, ApiError, read_answer
from bus.nats_url import redacted
from bus.replay import Replays
from bus.settings import Settings
from bus.stored import Stored
from bus.stream_config import is_ours

INFO = f"$JS.API.STREAM.INFO.{subjects.STREAM}"
OLDEST_SERVER = (2, 11)
WRONG_LAST_SEQUENCE = 10071
LARGER_THAN_STREAM_TAKES = 10054
UNSETTLED = (10158, 10163, 10164)
"""Refusals of a cluster while another append to the same subject, or this very one, is on its way to the replicas."""
SETTLING = 0.02
"""Seconds until such an append is tried again."""
MOST_HOLES = 10_000
"""Events that are gone from the middle of the stream, up to which NATS is asked which ones."""


@dataclass(frozen=True, slots=True)
class StreamState:
    """What the stream holds: its epoch, and the sequences of its oldest and newest event.

    Of an empty stream `first_seq` is one more than `last_seq`. Another epoch means that the stream was made anew, and
    sequences from before mean nothing. `last_hole` is the largest sequence between the two whose event is gone, however
    that came; 0 when there is none, and `last_seq` when there are too many to tell.
    """

    epoch: str
    first_seq: int
    last_seq: int
    last_hole: int = 0


class EventStream:
    """The EVENTS stream over one NATS connection."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings
        self._limit = EventLimit(connection, settings)
        self._replays = Replays(connection, settings)
        self._holes = ("", 0, 0)
        """For what state `_last_hole` is known: events go and do not come back, so the same ones are gone in it."""
        self._last_hole = 0

    async def declare(self, *, update: bool, within: float | None = None) -> None:
        """Make sure that the stream exists and keeps the guarantees; safe to call from many processes at once.

        A stream that exists is looked at first, and one that is not ours is not touched. On ours, what the guarantees
        rest on is corrected, and everything else stays as it was edited (`bus.stream_config`).

        Args:
            update: apply settings that were changed since they were last applied. Processes that run the system pass
                True; a command line with other defaults passes False.
            within: seconds that JetStream may take, which may have no leader yet; by default twice
                `append_timeout`, but at most half of `connect_timeout`.

        Raises:
            UnsupportedServer: the server is older than NATS 2.11, or it or the account has no JetStream.
            StreamConflict: the stream of that name is not ours, or NATS refuses to create or to correct it.
            BusUnavailable: JetStream could not answer in time.
        """
        version = self._connection.connected_server_version
        if (version.major, version.minor) < OLDEST_SERVER:
            raise UnsupportedServer(
                f"the NATS server at {self._where()} is {version.major}.{version.minor}.{version.patch}; "
                "2.11 or newer is needed (batched direct get): upgrade it"
            )
        if within is None:
            within = min(2 * self._settings.append_timeout, self._settings.connect_timeout / 2)
        config = await Declaration(self._connection, self._settings, self._where()).run(update=update, within=within)
        self._limit.max_msg_size = config.get("max_msg_size", -1)

    @property
    def room(self) -> int:
        """Most bytes that an event may have to be appended now, with the longest headers that an append can need.

        What the server (`max_payload`) and the stream (`max_msg_size`) take can change, so `append` may refuse an
        event all the same.
        """
        return self._limit.room

    def require_room(self, size: int) -> None:
        """Make sure that an event of `size` bytes can be appended now, whatever its headers.

        Raises:
            EventTooLarge: it cannot.
        """
        self._limit.require(size, LONGEST_HEADERS)
        self._limit.require_of_stream(size + LONGEST_HEADERS)

    async def append(
        self, subject: str, data: bytes, *, expected_last: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one event and wait until the stream has acknowledged it.

        Args:
            subject: a `bus.` subject.
            data: the event as UTF-8 JSON.
            expected_last: sequence of the subject's last event, 0 for none. NATS refuses the append when it is
                another one (header `Nats-Expected-Last-Subject-Sequence`).
            message_id: pass the same one, of at most 64 characters, when you repeat an append whose outcome is
                unknown, and it is stored once (header `Nats-Msg-Id`): within the stream's duplicate window, or, with
                `expected_last`, for as long as it is the subject's last event.

        Returns:
            The event's sequence in the stream.

        Raises:
            AppendRefused: the subject has moved on since `expected_last`.
            EventTooLarge: more bytes, headers included, than the server or the stream takes; nothing was stored.
            NoStream: there is no stream to store it.
            BusUnavailable: NATS is away, or silent past `append_timeout`; then `maybe_done` is True.
        """
        self._require_connection()
        headers = {
            Header.MSG_ID.value: message_id or secrets.token_hex(12),
            Header.EXPECTED_STREAM.value: subjects.STREAM,
        }
        if expected_last is not None:
            headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value] = str(expected_last)
        self._limit.require(len(data), header_size := header_bytes(headers))
        try:
            return await self._send(subject, data, headers, expected_last, message_id)
        except ApiError as error:
            if error.code == LARGER_THAN_STREAM_TAKES:
                await self._learn_limit()
                self._limit.require_of_stream(len(data) + header_size)
            raise BusUnavailable(f"NATS did not store the event: {error}") from error
        except nats.errors.NoRespondersError as error:
            raise await self._why_nobody_stores(subject) from error
        except ValueError as error:
            text = f"somebody else than the stream answered an append to {subject}; look for who responds there"
            raise BusUnavailable(text, maybe_done=True) from error
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(self._silent("an append"), maybe_done=True) from error

    async def last(self, subject: str) -> Stored | None:
        """The newest stored event of a subject, or None.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`.
        """
        return await self._get({"last_by_subj": subject})

    async def first(self, subject: str, *, seq: int = 1) -> Stored | None:
        """The oldest stored event of a subject (wildcards allowed) at sequence `seq` or later, or None.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`.
        """
        return await self._get({"seq": seq, "next_by_subj": subject})

    async def state(self) -> StreamState:
        """What the stream holds now.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`.
        """
        answer = await self._info(b"")
        holes = _holes(answer)
        if 0 < holes[2] <= MOST_HOLES and holes != self._holes:
            answer = await self._info(b'{"deleted_details":true}')
            self._holes = _holes(answer)
            self._last_hole = max(answer["state"].get("deleted") or [answer["state"]["last_seq"]])
        state = answer["state"]
        last_hole = 0 if not holes[2] else self._last_hole if holes[2] <= MOST_HOLES else state["last_seq"]
        return StreamState(answer["created"], state["first_seq"] or state["last_seq"] + 1, state["last_seq"], last_hole)

    async def _info(self, request: bytes) -> dict[str, Any]:
        try:
            return await self._request(INFO, request)
        except ApiError as error:
            raise BusUnavailable(f"the stream {subjects.STREAM} cannot be read: {error}") from error

    def replay(self, subject: str, *, after: int, events: int | None = None) -> AsyncGenerator[Stored, None]:
        """Every stored event of a subject (wildcards allowed) with a sequence larger than `after`, in order.

        Events that are stored meanwhile may be included. See `bus.replay`.

        Args:
            events: how many at most; None for all.

        Raises:
            BusUnavailable: NATS went away, or was silent past `append_timeout`.
        """
        return self._replays.read(subject, after=after, events=events)

    async def _send(
        self, subject: str, data: bytes, headers: dict[str, str], expected_last: int | None, message_id: str | None
    ) -> int:
        """Append until the answer is final. The message id stays, so it is stored once.

        Raises:
            AppendRefused: as `append`.
            ApiError: NATS refused it otherwise.
            TimeoutError: nothing was settled within `append_timeout`.
            ValueError: the answer is none of the stream's.
        """
        loop, patience = asyncio.get_running_loop(), self._settings.append_timeout
        deadline = loop.time() + patience
        while True:
            answer = await self._connection.request(subject, data, patience, headers=headers)
            try:
                ack = read_answer(answer.data)
            except ApiError as error:
                if error.code == WRONG_LAST_SEQUENCE and expected_last is not None:
                    # NATS looks at the expected sequence before it looks for duplicates, so ours may be that last one.
                    last = message_id and await self.last(subject)
                    if last and last.message_id == message_id:
                        return last.seq
                    raise AppendRefused(subject, expected_last) from error
                if error.code not in UNSETTLED:
                    raise
                if expected_last is not None:
                    last = await self.last(subject)
                    if last and last.message_id == headers[Header.MSG_ID.value]:
                        return last.seq
                    if expected_last != (last.seq if last else 0):
                        raise AppendRefused(subject, expected_last) from error
                if loop.time() > deadline:
                    raise TimeoutError from error
                await asyncio.sleep(SETTLING)
            else:
                if ack.get("stream") != subjects.STREAM or not isinstance(seq := ack.get("seq"), int):
                    raise ValueError("no acknowledgement of the stream")
                return seq

    async def _learn_limit(self) -> None:
        with suppress(ApiError, BusUnavailable):
            self._limit.max_msg_size = (await self._request(INFO))["config"].get("max_msg_size", -1)

    async def _why_nobody_stores(self, subject: str) -> BusUnavailable:
        try:
            config = (await self._request(INFO))["config"]
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                return BusUnavailable(f"the stream {subjects.STREAM} cannot be used: {error}")
        except BusUnavailable as error:
            return NoStream(f"nothing stores {subject}, and NATS does not say why ({error})")
        else:
            if is_ours(config):
                text = (
                    f"the stream {subjects.STREAM} has no leader at the moment; try again, or start its other servers"
                )
                return BusUnavailable(text)
        return NoStream(
            f"no stream stores {subject}: the stream {subjects.STREAM} was removed, or belongs to another application; "
            "a web process or a worker declares it within seconds, or says why not"
        )

    async def _request(self, subject: str, data: bytes = b"") -> dict[str, Any]:
        """The answer of `$JS.API`; an `ApiError` when it is a refusal."""
        self._require_connection()
        try:
            return read_answer((await self._connection.request(subject, data, self._settings.append_timeout)).data)
        except nats.errors.NoRespondersError as error:
            text = f"nobody answers for the stream {subjects.STREAM} at {self._where()}: see whether JetStream is on"
            raise BusUnavailable(text) from error
        except (nats.errors.Error, TimeoutError, ValueError) as error:
            raise BusUnavailable(self._silent("a read")) from error

    async def _get(self, request: dict[str, object]) -> Stored | None:
        # The leader answers this one; a direct get may be answered by a replica that lags behind.
        try:
            answer = await self._request(f"$JS.API.STREAM.MSG.GET.{subjects.STREAM}", json.dumps(request).encode())
        except ApiError as error:
            if error.code == MESSAGE_NOT_FOUND:
                return None
            raise BusUnavailable(f"NATS refused a read of the stream {subjects.STREAM}: {error}") from error
        return _stored(answer["message"])

    def _require_connection(self) -> None:
        if not self._connection.is_connected:
            raise BusUnavailable(f"NATS at {self._where()} is away; try again when it is back")

    def _where(self) -> str:
        return redacted(self._settings.nats_url)

    def _silent(self, what: str) -> str:
        return (
            f"NATS at {self._where()} did not answer {what} within {self._settings.append_timeout:g} s; "
            "see whether it is up and not overloaded, then try again"
        )


def _holes(answer: dict[str, Any]) -> tuple[str, int, int]:
    """Which stream, its first event, and how many are gone between that and the last one."""
    state = answer["state"]
    first, count = state["first_seq"], state["messages"]
    return answer["created"], first, state["last_seq"] - first + 1 - count if count else 0


def _stored(message: dict[str, Any]) -> Stored:
    """An event as a read from the leader answers it."""
    headers = base64.b64decode(message.get("hdrs", "")).decode(errors="replace").split("\r\n")
    message_id = next(
        (line.partition(": ")[2] for line in headers if line.startswith(f"{Header.MSG_ID.value}: ")), None
    )
    data = base64.b64decode(message.get("data", ""))
    return Stored(message["seq"], message["subject"], data, message_id, timestamp=message["time"])
