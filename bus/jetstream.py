"""JetStream's API as JSON, with every field that the server sent, also those that no client library knows."""

from __future__ import annotations

import base64
import json
from typing import Any

import nats.errors
from nats.js.api import Header

from bus import subjects
from bus.connection import Connection
from bus.errors import BusUnavailable
from bus.nats_url import redacted
from bus.settings import Settings
from bus.stored import Stored

STREAM_NOT_FOUND = 10059
STREAM_NAME_IN_USE = 10058
MESSAGE_NOT_FOUND = 10037


class ApiError(Exception):
    """JetStream refused a request.

    Args:
        code: its `err_code`, which names the reason (`server/errors.json` of the NATS server).
        description: its text.
    """

    def __init__(self, code: int, description: str) -> None:
        self.code = code
        self.description = description
        super().__init__(f"{description} (NATS error {code})")


def read_answer(data: bytes) -> dict[str, Any]:
    """The answer to a request to `$JS.API`, or to an append.

    Raises:
        ApiError: it is a refusal.
        ValueError: it is not an answer of JetStream.
    """
    answer = json.loads(data)
    if not isinstance(answer, dict):
        raise ValueError("JetStream answers with a JSON object")
    error = answer.get("error")
    if isinstance(error, dict):
        raise ApiError(int(error.get("err_code") or error.get("code") or 0), str(error.get("description", "")))
    return answer


class JetStream:
    """Requests about the EVENTS stream over one NATS connection.

    Args:
        connection: to NATS.
        settings: `append_timeout`, the longest silence.
    """

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self._connection = connection
        self._settings = settings

    @property
    def where(self) -> str:
        """The server's address, as may be shown."""
        return redacted(self._settings.nats_url)

    async def info(self, **details: object) -> dict[str, Any]:
        """What NATS says of the stream.

        Args:
            details: what to say besides, as `$JS.API.STREAM.INFO` has it, such as `deleted_details=True`.

        Raises:
            ApiError, BusUnavailable: as for `request`.
        """
        data = json.dumps(details).encode() if details else b""
        return await self.request(f"$JS.API.STREAM.INFO.{subjects.STREAM}", data)

    async def request(self, subject: str, data: bytes = b"") -> dict[str, Any]:
        """The answer on a subject of `$JS.API`.

        Raises:
            ApiError: it is a refusal.
            BusUnavailable: NATS is away, or silent past `append_timeout` (`maybe_done`).
        """
        self.require_connection()
        try:
            return read_answer((await self._connection.request(subject, data, self._settings.append_timeout)).data)
        except nats.errors.NoRespondersError as error:
            text = f"nobody answers for the stream {subjects.STREAM} at {self.where}: see whether JetStream is on"
            raise BusUnavailable(text) from error
        except (nats.errors.Error, TimeoutError, ValueError) as error:
            raise BusUnavailable(self.silent("a read"), maybe_done=True) from error

    async def message(self, request: dict[str, object]) -> Stored | None:
        """One stored event, or None when there is none.

        The stream's leader answers this one; a direct get may be answered by a replica that lags behind.

        Args:
            request: which one, as `$JS.API.STREAM.MSG.GET` has it.

        Raises:
            BusUnavailable: NATS is away, or silent past `append_timeout`, or refuses it.
        """
        try:
            answer = await self.request(f"$JS.API.STREAM.MSG.GET.{subjects.STREAM}", json.dumps(request).encode())
        except ApiError as error:
            if error.code == MESSAGE_NOT_FOUND:
                return None
            raise BusUnavailable(f"NATS refused a read of the stream {subjects.STREAM}: {error}") from error
        return _stored(answer["message"])

    def require_connection(self) -> None:
        """Make sure that NATS is there.

        Raises:
            BusUnavailable: it is away.
        """
        if not self._connection.is_connected:
            raise BusUnavailable(f"NATS at {self.where} is away; try again when it is back")

    def silent(self, what: str) -> str:
        """What to say when NATS did not answer; `what` names the request with its article."""
        return (
            f"NATS at {self.where} did not answer {what} within {self._settings.append_timeout:g} s; "
            "see whether it is up and not overloaded, then try again"
        )


def _stored(message: dict[str, Any]) -> Stored:
    """An event as a read from the leader answers it."""
    headers = base64.b64decode(message.get("hdrs", "")).decode(errors="replace").split("\r\n")
    message_id = next(
        (line.partition(": ")[2] for line in headers if line.startswith(f"{Header.MSG_ID.value}: ")), None
    )
    data = base64.b64decode(message.get("data", ""))
    return Stored(message["seq"], message["subject"], data, message_id, timestamp=message["time"])
