"""Requests in flight over one inbox: each ends with its answer, its refusal or its connection."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import nats.errors
from nats.aio.msg import Msg

from bus.errors import BusUnavailable, NotPermitted
from bus.subjects import as_asked, permission, permission_for

NO_RESPONDERS = "503"


class Requests:
    """Hands each answer to whoever waits for it.

    Args:
        inbox_prefix: below which answers are heard.
    """

    def __init__(self, inbox_prefix: str) -> None:
        self.inbox = f"{inbox_prefix}.{secrets.token_hex(11)}"
        """What nobody else uses; answers come to subjects below it."""
        self._waiting: dict[str, tuple[str, asyncio.Future[Msg]]] = {}
        self._hearing: dict[str, Callable[[Msg], None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @contextmanager
    def open(self, subject: str) -> Iterator[tuple[str, asyncio.Future[Msg]]]:
        """One request, until the end of the block: the subject to be answered on, and what becomes of it."""
        future: asyncio.Future[Msg] = asyncio.get_running_loop().create_future()
        reply = self._new_reply()
        self._waiting[reply] = subject, future
        try:
            yield reply, future
        finally:
            del self._waiting[reply]
            if future.done() and not future.cancelled():
                future.exception()  # seen, whether or not somebody came to wait for it
            else:
                future.cancel()

    @contextmanager
    def hear(self, on_answer: Callable[[Msg], None]) -> Iterator[str]:
        """One request that has many answers, until the end of the block: the subject to be answered on.

        It costs no subscription, and has no deadline: whoever waits for its answers has one.

        Args:
            on_answer: called with each; it must not block and not raise. None comes any more when NATS goes away.
        """
        reply = self._new_reply()
        self._hearing[reply] = on_answer
        try:
            yield reply
        finally:
            del self._hearing[reply]

    async def answer(self, message: Msg) -> None:
        """A message on the inbox."""
        if (on_answer := self._hearing.get(message.subject)) is not None:
            on_answer(message)
            return
        _, future = self._waiting.get(message.subject, ("", None))
        if future is None or future.done():
            return
        if not message.data and (message.headers or {}).get("Status") == NO_RESPONDERS:
            future.set_exception(nats.errors.NoRespondersError())
        else:
            future.set_result(message)

    def _new_reply(self) -> str:
        return f"{self.inbox}.{secrets.token_hex(8)}"

    def deny(self, subject: str, user: str | None) -> NotPermitted:
        """The user may not publish this subject, which nats-py reports in lower case: whoever waits for an answer hears
        of it. Returns it as it was written, where a request waits."""
        error = NotPermitted("publish", subject, user=user, permission=permission(subject))
        for asked, future in self._waiting.values():
            if asked.lower() == as_asked(subject):
                error = NotPermitted("publish", asked, user=user, permission=permission_for(asked, subject))
                if not future.done():
                    future.set_exception(error)
        return error

    def lose(self, reason: str) -> None:
        """The connection is gone: nobody will answer."""
        for subject, future in self._waiting.values():
            if not future.done():
                future.set_exception(
                    BusUnavailable(
                        f"NATS went away before it answered on {subject} ({reason}); try again", maybe_done=True
                    )
                )
