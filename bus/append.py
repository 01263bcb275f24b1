"""Appends to the EVENTS stream: each is sent until NATS has said for sure what became of it."""

from __future__ import annotations

import asyncio
import secrets
from contextlib import suppress

import nats.errors
from nats.js.api import Header

from bus import subjects, traces
from bus.connection import Connection
from bus.errors import AppendRefused, BusUnavailable, NoQuorum, NoStream, StreamFull
from bus.event_limit import EventLimit, header_bytes
from bus.jetstream import STREAM_NOT_FOUND, ApiError, JetStream, read_answer
from bus.settings import Settings
from bus.space import BY_BYTES, BY_NUMBER
from bus.stored import Stored
from bus.stream_config import keeps_guarantees

WRONG_LAST_SEQUENCE = 10071
LARGER_THAN_STREAM_TAKES = 10054
UNSETTLED = (10158, 10163, 10164)
"""Refusals of a cluster while another append to the same subject, or this very one, is on its way to the replicas."""
EXPECTED_SUBJECT = "Nats-Expected-Last-Subject-Sequence-Subject"
"""Whose last event the expected sequence is, when it is not that of the subject itself; NATS 2.11 has it."""
SETTLING = 0.02
"""Seconds until such an append is tried again."""
LEADERLESS = f"the stream {subjects.STREAM} has no leader at the moment; try again, or start its other servers"
FULL = 10077
"""The event does not fit, mostly for a limit of the stream. Room is made for more: see `bus.retention`."""
LIMITS = {"maximum bytes exceeded": BY_BYTES, "maximum messages exceeded": BY_NUMBER}
"""What to raise, by what NATS says besides."""


class Appends:
    """Stores events over one NATS connection.

    Args:
        connection: to NATS.
        jetstream: asked when an answer does not settle whether an event is stored.
        limit: how large an event may be; corrected when the stream turns out to take less.
        settings: `append_timeout`, the longest silence.
    """

    def __init__(self, connection: Connection, jetstream: JetStream, limit: EventLimit, settings: Settings) -> None:
        self._connection = connection
        self._jetstream = jetstream
        self._limit = limit
        self._patience = settings.append_timeout

    async def append(
        self,
        subject: str,
        data: bytes,
        *,
        expected_last: int | None,
        expected_subject: str | None,
        message_id: str | None,
        traceparent: str | None,
    ) -> int:
        """Store one event, and return its sequence once the stream has acknowledged it; see `EventStream.append`.

        Raises:
            AppendRefused, EventTooLarge, NoStream, BusUnavailable: as `EventStream.append`.
        """
        self._jetstream.require_connection()
        headers = {
            Header.MSG_ID.value: message_id or secrets.token_hex(12),
            Header.EXPECTED_STREAM.value: subjects.STREAM,
        }
        if expected_last is not None:
            headers[Header.EXPECTED_LAST_SUBJECT_SEQUENCE.value] = str(expected_last)
            if expected_subject is not None:
                headers[EXPECTED_SUBJECT] = expected_subject
        if traceparent is not None:
            headers[traces.HEADER] = traceparent
        self._limit.require(len(data), header_size := header_bytes(headers))
        try:
            return await self._send(subject, data, headers, expected_last, expected_subject or subject, message_id)
        except ApiError as error:
            if error.code == LARGER_THAN_STREAM_TAKES:
                await self._learn_limit()
                self._limit.require_of_stream(len(data) + header_size)
            if error.code == FULL and error.description in LIMITS:
                raise StreamFull(
                    f"the stream {subjects.STREAM} is full, and no worker made room in it: see whether one runs, or "
                    f"raise {LIMITS[error.description]}"
                ) from error
            raise BusUnavailable(f"NATS did not store the event: {error}") from error
        except nats.errors.NoRespondersError as error:
            raise await self._why_nobody_stores(subject) from error
        except ValueError as error:
            text = f"somebody else than the stream answered an append to {subject}; look for who responds there"
            raise BusUnavailable(text, maybe_done=True) from error
        except (nats.errors.Error, TimeoutError) as error:
            text = f"{self._jetstream.silent('an append')}. When its disk is full, its log alone says so"
            raise BusUnavailable(text, maybe_done=True) from error

    async def _send(
        self,
        subject: str,
        data: bytes,
        headers: dict[str, str],
        expected_last: int | None,
        expected_subject: str,
        message_id: str | None,
    ) -> int:
        """Append until the answer is final. The message id stays, so it is stored once.

        Raises:
            AppendRefused: as `append`.
            ApiError: NATS refused it otherwise.
            TimeoutError: nothing was settled within `append_timeout`.
            ValueError: the answer is none of the stream's.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self._patience
        while True:
            answer = await self._connection.request(subject, data, self._patience, headers=headers)
            try:
                ack = read_answer(answer.data)
            except ApiError as error:
                if error.code == WRONG_LAST_SEQUENCE and expected_last is not None:
                    # NATS looks at the expected sequence before it looks for duplicates, so ours may be that last one.
                    if message_id is not None and expected_subject == subject:
                        last = await self._last(subject)
                        if last and last.message_id == message_id:
                            return last.seq
                    raise AppendRefused(subject, expected_last) from error
                if error.code not in (FULL, *UNSETTLED):
                    raise
                if expected_last is not None and error.code != FULL:
                    last = await self._last(expected_subject)
                    if last and last.message_id == headers[Header.MSG_ID.value]:
                        return last.seq
                    if expected_last != (last.seq if last else 0):
                        raise AppendRefused(subject, expected_last) from error
                if loop.time() > deadline:
                    if error.code == FULL:
                        raise
                    raise TimeoutError from error
                await asyncio.sleep(SETTLING)
            else:
                if ack.get("stream") != subjects.STREAM or not isinstance(seq := ack.get("seq"), int):
                    raise ValueError("no acknowledgement of the stream")
                return seq

    async def _learn_limit(self) -> None:
        with suppress(ApiError, BusUnavailable):
            self._limit.max_msg_size = (await self._jetstream.info())["config"].get("max_msg_size", -1)

    async def _why_nobody_stores(self, subject: str) -> BusUnavailable:
        try:
            config = (await self._jetstream.info())["config"]
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                return BusUnavailable(f"the stream {subjects.STREAM} cannot be used: {error}")
        except BusUnavailable as error:
            if error.maybe_done:  # who answers is the leader alone
                return NoQuorum(LEADERLESS)
            return NoStream(f"nothing stores {subject}, and NATS does not say why ({error})")
        else:
            if keeps_guarantees(config):
                return NoQuorum(LEADERLESS)
        return NoStream(
            f"no stream stores {subject}: the stream {subjects.STREAM} was removed or edited, or belongs to another "
            "application; a web process or a worker declares it within seconds, or says why not"
        )

    async def _last(self, subject: str) -> Stored | None:
        return await self._jetstream.message({"last_by_subj": subject})
