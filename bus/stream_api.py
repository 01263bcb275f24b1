"""Requests about the EVENTS stream to JetStream, and its declaration, repeated when the stream was removed."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import nats.errors
import structlog

from bus import subjects
from bus.connection import Connection
from bus.declaration import Declaration
from bus.errors import BusUnavailable, StreamConflict, UnsupportedServer
from bus.jetstream import STREAM_NOT_FOUND, ApiError, read_answer
from bus.nats_url import redacted
from bus.settings import Settings
from bus.stream_config import Config

log = structlog.get_logger(__name__)

OLDEST_SERVER = (2, 11)
INFO = f"$JS.API.STREAM.INFO.{subjects.STREAM}"


class StreamApi:
    """What one process asks about the stream, over one NATS connection."""

    def __init__(self, connection: Connection, settings: Settings) -> None:
        self.on_made_anew: Callable[[], None] | None = None
        """Called, on the event loop, when the stream turns out to be another one than before."""
        self.made_anew = 0
        """How often that was."""
        self._connection = connection
        self._settings = settings
        self._runs_system = False
        self._making = asyncio.Lock()

    @property
    def where(self) -> str:
        """The server's address, as may be shown."""
        return redacted(self._settings.nats_url)

    async def declare(self, *, update: bool, within: float) -> Config:
        """Make sure that the stream exists; its configuration. Arguments and errors as for `EventStream.declare`."""
        version = self._connection.connected_server_version
        if (version.major, version.minor) < OLDEST_SERVER:
            raise UnsupportedServer(
                f"the NATS server at {self.where} is {version.major}.{version.minor}.{version.patch}; "
                "2.11 or newer is needed (batched direct get): upgrade it"
            )
        config = await Declaration(self._connection, self._settings, self.where).run(update=update, within=within)
        self._runs_system = update
        return config

    async def request(self, subject: str, data: bytes = b"") -> dict[str, Any]:
        """One request to `$JS.API`.

        Raises:
            ApiError: JetStream refuses it.
            BusUnavailable: NATS is away, or silent past `append_timeout`.
        """
        self.require_connection()
        try:
            return read_answer((await self._connection.request(subject, data, self._settings.append_timeout)).data)
        except nats.errors.NoRespondersError as error:
            text = f"nobody answers for the stream {subjects.STREAM} at {self.where}: see whether JetStream is on"
            raise BusUnavailable(text) from error
        except (nats.errors.Error, TimeoutError, ValueError) as error:
            raise BusUnavailable(self.silent("a read")) from error

    async def read(self, subject: str, data: bytes = b"") -> dict[str, Any]:
        """The same, and a stream that is gone is declared again. Raises as `request` does."""
        made = self.made_anew
        try:
            return await self.request(subject, data)
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND or not await self.declared_again(made):
                raise
        return await self.request(subject, data)

    async def declared_again(self, made: int) -> bool:
        """Declare the stream if it was removed under this process, and this process runs the system.

        Args:
            made: `made_anew` before the request that found no stream.

        Returns:
            Whether it is there again, so that the request can be repeated.

        Raises:
            BusUnavailable: it cannot be declared.
        """
        if not self._runs_system:
            return False
        async with self._making:
            if made != self.made_anew:
                return True
            if not await self.is_gone():
                return False
            log.warning("the stream was removed; declaring it again", stream=subjects.STREAM)
            try:
                await self.declare(update=True, within=self._settings.append_timeout)
            except (StreamConflict, UnsupportedServer) as error:
                raise BusUnavailable(str(error)) from error
            self.tell_made_anew()
            return True

    async def is_gone(self) -> bool:
        """Whether JetStream knows of no such stream.

        Raises:
            BusUnavailable: it cannot say.
        """
        try:
            await self.request(INFO)
        except ApiError as error:
            if error.code != STREAM_NOT_FOUND:
                raise BusUnavailable(f"the stream {subjects.STREAM} cannot be used: {error}") from error
            return True
        return False

    def tell_made_anew(self) -> None:
        """Say that the stream is another one than before."""
        self.made_anew += 1
        if self.on_made_anew is not None:
            self.on_made_anew()

    def require_connection(self) -> None:
        """Go on only when NATS is connected.

        Raises:
            BusUnavailable: it is away.
        """
        if not self._connection.is_connected:
            raise BusUnavailable(f"NATS at {self.where} is away; try again when it is back")

    def silent(self, what: str) -> str:
        """That NATS did not answer in time, in words."""
        return (
            f"NATS at {self.where} did not answer {what} within {self._settings.append_timeout:g} s; "
            "see whether it is up and not overloaded, then try again"
        )
