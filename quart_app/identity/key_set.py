"""KeySet: the keys of a JSON Web Key Set that may change, read from a file or a URL and kept."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import TypeAlias

import structlog

from bus.identity_settings import web_address
from quart_app.errors import BadKeys, FetchFailed, KeysUnavailable
from quart_app.identity import keys
from quart_app.identity.fetch import fetch
from quart_app.identity.keys import Key

log = structlog.get_logger(__name__)

DEADLINE = 5.0
"""Seconds for one fetch."""
LARGEST = 512 * 1024
"""Bytes of a set."""
PAUSE = 10.0
"""Least seconds between two reads: whoever invents key ids asks for no more."""
MAX_AGE = 3600.0
"""Seconds after which keys are read again before one is used: so that a key can be taken back."""

Read: TypeAlias = Callable[[], Awaitable[bytes]]


def reader_of(source: str) -> Read:
    """What reads a set.

    Args:
        source: a file, or an https:// URL.
    """
    if "://" not in source:
        return lambda: asyncio.to_thread(read_file, Path(source))
    address, tls = web_address(source), ssl.create_default_context()
    return lambda: fetch(address, tls, deadline=DEADLINE, most=LARGEST)


def read_file(path: Path) -> bytes:
    """A file with keys.

    Raises:
        FetchFailed: it cannot be read, or is too large. The text says which.
    """
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise FetchFailed(f"the file cannot be read: {error.strerror}") from error
    if len(data) > LARGEST:
        raise FetchFailed(f"the file has more than {LARGEST:,} bytes")
    return data


class KeySet:
    """Keys by their ids.

    What was read stays good while it cannot be read again, however long. It is read at most every `PAUSE` seconds, by
    one task for all who wait for it.

    Args:
        read: reads the set.
        pause: seconds, as `PAUSE`.
        max_age: seconds, as `MAX_AGE`.
    """

    def __init__(self, read: Read, *, pause: float = PAUSE, max_age: float = MAX_AGE) -> None:
        self._read = read
        self._pause = pause
        self._max_age = max_age
        self._keys: Sequence[Key] = ()
        self._task: asyncio.Task[None] | None = None
        self._next = float("-inf")
        self._read_at = float("-inf")
        self.failure: str | None = None
        """Why it could not be read when that was tried last."""

    def __len__(self) -> int:
        return len(self._keys)

    async def find(self, algorithm: str, key_id: str | None) -> list[Key]:
        """The keys that a token may have been signed with that names these.

        The set is read again before that if it is old, or if there are none.

        Raises:
            KeysUnavailable: there are none, and it is not known whether there should be.
        """
        found = self._fitting(algorithm, key_id)
        if not found or asyncio.get_running_loop().time() - self._read_at > self._max_age:
            await self.refresh()
            found = self._fitting(algorithm, key_id)
            if not found and self.failure is not None:
                raise KeysUnavailable(self.failure)
        return found

    async def refresh(self) -> None:
        """Read the set again, unless that was tried just now. When it fails, `failure` says why."""
        self._begin()
        if self._task is not None:
            await asyncio.shield(self._task)

    async def close(self) -> None:
        """Read it no more."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait({self._task})

    def _fitting(self, algorithm: str, key_id: str | None) -> list[Key]:
        return [key for key in self._keys if key.fits(algorithm, key_id)]

    def _begin(self) -> None:
        now = asyncio.get_running_loop().time()
        if self._task is not None or now < self._next:
            return
        self._next = now + self._pause
        self._task = asyncio.create_task(self._refresh(), name="read the keys that tokens are verified with")

    async def _refresh(self) -> None:
        try:
            read = keys.of_jwks(await self._read())
        except (FetchFailed, BadKeys) as error:
            self.failure = str(error)
            log.warning(
                "BUS_AUTH_JWKS cannot be read; the keys that are known stay good", reason=self.failure, known=len(self)
            )
        else:
            self._keys, self.failure = read, None
            self._read_at = asyncio.get_running_loop().time()
            log.info("the keys of BUS_AUTH_JWKS are read", keys=len(self))
        finally:
            self._task = None
