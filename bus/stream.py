"""The EVENTS stream: declare it, append to it, read it back."""

from __future__ import annotations

import base64
import json
import secrets
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import nats.errors
from nats.js.api import Header
from nats.js.client import JetStreamContext
from nats.js.errors import APIError, NoStreamResponseError, ServiceUnavailableError

from bus import subjects
from bus.connection import Connection
from bus.errors import AppendRefused, BusUnavailable, EventTooLarge, NoStream, StreamConflict, UnsupportedServer
from bus.nats_url import redacted
from bus.replay import Replays
from bus.settings import Settings
from bus.stored import Stored
from bus.stream_config import differences, stream_config

WRONG_LAST_SEQUENCE = 10071
STREAM_NAME_IN_USE = 10058
OLDEST_SERVER = (2, 11)
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
        self._jetstream: JetStreamContext = JetStreamContext(connection, timeout=settings.append_timeout)  # type: ignore[arg-type]
        self._replays = Replays(connection, settings)
        self._holes = ("", 0, 0)
        """For what state `_last_hole` is known: events go and do not come back, so the same ones are gone in it."""
        self._last_hole = 0

    async def declare(self, *, update: bool) -> None:
        """Make sure that the stream exists and keeps the guarantees; safe to call from many processes at once.

        Args:
            update: change an existing stream to these settings. Processes that run the system pass True; a
                command line with other defaults passes False and only checks what the guarantees rest on.

        Raises:
            UnsupportedServer: the server is older than NATS 2.11 or has no JetStream.
            StreamConflict: a stream of other settings is in the way and NATS will not change it.
            BusUnavailable: no answer within `append_timeout`.
        """
        version = self._connection.connected_server_version
        if (version.major, version.minor) < OLDEST_SERVER:
            raise UnsupportedServer(
                f"the NATS server at {self._where()} is {version.major}.{version.minor}.{version.patch}; "
                "2.11 or newer is needed (batched direct get): upgrade it"
            )
        wanted = stream_config(self._settings)
        try:
            try:
                info = await self._jetstream.add_stream(wanted)
            except APIError as error:
                if error.err_code != STREAM_NAME_IN_USE:
                    raise
                info = await self._jetstream.stream_info(subjects.STREAM)
                if update or differences(info.config, wanted):
                    info = await self._jetstream.update_stream(wanted)
        except ServiceUnavailableError as error:
            raise UnsupportedServer(
                f"the NATS server at {self._where()} runs without JetStream: "
                "start it with -js, or 'jetstream {}' in its configuration"
            ) from error
        except APIError as error:
            raise StreamConflict(
                f"the stream {subjects.STREAM} cannot be declared: {error.description} (NATS error "
                f"{error.err_code}). Settle it with 'nats stream edit {subjects.STREAM}' or move it away; "
                "its events are untouched"
            ) from error
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(self._silent("declaring the stream")) from error
        if wrong := differences(info.config, wanted):
            raise StreamConflict(
                f"the stream {subjects.STREAM} has other settings than this system needs: {'; '.join(wrong)}. "
                f"Change them with 'nats stream edit {subjects.STREAM}', or move the stream away"
            )

    async def append(
        self, subject: str, data: bytes, *, expected_last: int | None = None, message_id: str | None = None
    ) -> int:
        """Store one event and wait until the stream has acknowledged it.

        Args:
            subject: a `bus.` subject.
            data: the event as UTF-8 JSON.
            expected_last: sequence of the subject's last event, 0 for none. NATS refuses the append when it is
                another one (header `Nats-Expected-Last-Subject-Sequence`).
            message_id: pass the same one when you repeat an append whose outcome is unknown, and it is stored
                once (header `Nats-Msg-Id`): within the stream's duplicate window, or, with `expected_last`, for
                as long as it is the subject's last event.

        Returns:
            The event's sequence in the stream.

        Raises:
            AppendRefused: the subject has moved on since `expected_last`.
            EventTooLarge: more bytes than the server's `max_payload`.
            NoStream: there is no stream to store it.
            BusUnavailable: NATS is away, or silent past `append_timeout`; then `maybe_done` is True.
        """
        self._require_connection()
        headers: dict[str, str] = {
            Header.MSG_ID: message_id or secrets.token_hex(12),
            Header.EXPECTED_STREAM: subjects.STREAM,
        }
        if expected_last is not None:
            headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE] = str(expected_last)
        size = len(data) + sum(len(key) + len(value) + 4 for key, value in headers.items()) + len("NATS/1.0\r\n\r\n")
        if size > self._connection.max_payload:
            raise EventTooLarge(size, self._connection.max_payload)
        try:
            ack = await self._jetstream.publish(subject, data, headers=headers)
        except APIError as error:
            if error.err_code == WRONG_LAST_SEQUENCE and expected_last is not None:
                # NATS looks at the expected sequence before it looks for duplicates, so ours may be that last one.
                last = message_id and await self.last(subject)
                if last and last.message_id == message_id:
                    return last.seq
                raise AppendRefused(subject, expected_last) from error
            raise BusUnavailable(f"NATS did not store the event: {error.description}") from error
        except NoStreamResponseError as error:
            raise NoStream(
                f"no stream stores {subject}: there is no stream {subjects.STREAM}; a web process or a worker declares "
                "it within seconds, so see whether one runs"
            ) from error
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(self._silent("an append"), maybe_done=True) from error
        return ack.seq

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
        answer = await self._request(f"$JS.API.STREAM.INFO.{subjects.STREAM}", request)
        if error := answer.get("error"):
            raise BusUnavailable(f"the stream {subjects.STREAM} cannot be read: {error.get('description')}")
        return answer

    def replay(self, subject: str, *, after: int, events: int | None = None) -> AsyncIterator[Stored]:
        """Every stored event of a subject (wildcards allowed) with a sequence larger than `after`, in order.

        Events that are stored meanwhile may be included. See `bus.replay`.

        Args:
            events: how many at most; None for all.

        Raises:
            BusUnavailable: NATS went away, or was silent past `append_timeout`.
        """
        return self._replays.read(subject, after=after, events=events)

    async def _request(self, subject: str, data: bytes) -> dict[str, Any]:
        self._require_connection()
        try:
            answer = await self._connection.request(subject, data, timeout=self._settings.append_timeout)
        except (nats.errors.Error, TimeoutError) as error:
            raise BusUnavailable(self._silent("a read")) from error
        read: dict[str, Any] = json.loads(answer.data)
        return read

    async def _get(self, request: dict[str, object]) -> Stored | None:
        # The leader answers this one; a direct get may be answered by a replica that lags behind.
        return _stored(await self._request(f"$JS.API.STREAM.MSG.GET.{subjects.STREAM}", json.dumps(request).encode()))

    def _require_connection(self) -> None:
        if not self._connection.is_connected:
            raise BusUnavailable(f"NATS at {self._where()} is away; try again when it is back")

    def _where(self) -> str:
        return without_credentials(self._settings.nats_url)

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


def without_credentials(url: str) -> str:
    """A NATS URL, or several, as may be shown: without user, password or token."""
    return redacted(url)


def _stored(answer: dict[str, Any]) -> Stored | None:
    if error := answer.get("error"):
        if error.get("code") == 404:
            return None
        raise BusUnavailable(f"NATS refused a read of the stream {subjects.STREAM}: {error.get('description')}")
    message = answer["message"]
    headers = base64.b64decode(message.get("hdrs", "")).decode(errors="replace").split("\r\n")
    message_id = next(
        (line.partition(": ")[2] for line in headers if line.startswith(f"{Header.MSG_ID.value}: ")), None
    )
    data = base64.b64decode(message.get("data", ""))
    return Stored(message["seq"], message["subject"], data, message_id, timestamp=message["time"])
