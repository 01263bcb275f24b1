"""Written: what a job's function writes while it runs, checked and counted."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any

from workers.cancelled import Cancelled
from workers.errors import UnusableOutput
from workers.interrupt import Interrupted


class _Now:
    """An await that is over at once."""

    def __await__(self) -> Generator[Any, None, None]:
        return
        yield


NOW = _Now()


class Written:
    """The text that one attempt has written so far. Threads of a job may share it.

    Args:
        name: of the job, for reasons of failure.
        max_bytes: the largest result.
        cancelled: once it is set, writing leaves the function.
    """

    def __init__(self, name: str, max_bytes: int, cancelled: Cancelled) -> None:
        self.begun = False
        """Whether the function answers by writing: then its result is text."""
        self.failure: str | None = None
        """Why the job fails, whatever its function does now; None while nothing is wrong."""
        self.size = 0
        """Bytes that were written."""
        self._name = name
        self._max_bytes = max_bytes
        self._cancelled = cancelled
        self._texts: list[str] = []
        self._closed = False

    def add(self, text: object, how: str) -> Awaitable[None]:
        """Take a piece. This is called for each word that a job writes, so it does little.

        Args:
            how: the piece came here: wrote, yielded or returned.

        Returns:
            What a coroutine waits for before it writes more.

        Raises:
            UnusableOutput: it is no text.
            Interrupted: the function has to stop (in a coroutine `asyncio.CancelledError`): it was cancelled, or this
                is more than a result may have. Or it has ended, and this is a thread that it left behind.
        """
        if self._closed or self.failure is not None or self._cancelled.is_set():
            raise self._leave()
        if not isinstance(text, str):
            raise UnusableOutput(f"{self._name} {how} {type(text).__name__}, not text")
        try:
            # Of a subclass only the text: its methods may do anything. What is far too long is not encoded.
            size = len(str.encode(text)) if str.__len__(text) <= self._max_bytes else str.__len__(text)
        except UnicodeEncodeError:
            raise UnusableOutput(f"{self._name} {how} text that is not valid Unicode") from None
        if self.size + size > self._max_bytes:
            self.failure = f"the result has more than {self._max_bytes} bytes, the most that are allowed"
            raise self._leave()
        self.begun = True
        self._texts.append(text)
        self.size += size
        return self._added()

    def whole(self, value: object) -> object:
        """All that was written, and then what the function returned; or only that, when it does not write.

        Raises:
            UnusableOutput, Interrupted: as `add`.
        """
        if not self.begun:
            return value
        if value is not None:
            self.add(value, "returned")
        self.close()
        return "".join(self._texts)

    def close(self) -> None:
        """Take nothing more: the function has ended."""
        self._closed = True

    def _added(self) -> Awaitable[None]:
        return NOW

    def _leave(self) -> BaseException:
        return asyncio.CancelledError() if in_coroutine() else Interrupted()


def in_coroutine() -> bool:
    """Whether an event loop runs in this thread, which must not wait."""
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
