"""Subscriptions that outlive connections, and what NATS says to each of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import suppress

import nats.errors

from bus.errors import BusRefused, NotPermitted
from bus.nats_client import Handler, NatsClient
from bus.subjects import audible, permission

CONFIRM_TIMEOUT = 5.0
"""Seconds that a server may take to look at what was subscribed."""
PAUSE_AFTER = 500
"""Subscriptions after which other tasks get a turn."""
AGAIN = 100
"""So many that were refused are tried together; when one of them is refused again the others wait for the next time."""


class Subscription:
    """A subject that is heard from now on until `unsubscribe`, over as many connections as that takes."""

    __slots__ = (
        "_client",
        "_handler",
        "_heard",
        "_owner",
        "_refused",
        "_told",
        "number",
        "on_refused",
        "optional",
        "subject",
    )

    def __init__(self, owner: Subscriptions, subject: str, handler: Handler) -> None:
        self.subject = subject
        self.on_refused: Callable[[BusRefused], None] | None = None
        """Called when NATS refuses it, and not again until it was taken or the connection is another; it is tried again
        now and then all the same."""
        self.optional = False
        """Whether the work can be done without it."""
        self.number = 0
        """Counts everything that was subscribed over one connection; 0 once NATS has surely looked at it."""
        self._owner = owner
        self._handler = handler
        self._refused: BusRefused | None = None
        self._told = False
        """Whether `on_refused` was called since it was taken last."""
        self._client: NatsClient | None = None
        self._heard: int | None = None
        """The connection's number for it."""

    @property
    def refused(self) -> BusRefused | None:
        """Why NATS does not take it at this moment."""
        return self._refused

    @refused.setter
    def refused(self, error: BusRefused | None) -> None:
        self._refused = error
        self._owner.note(self)

    async def unsubscribe(self) -> None:
        """Stop hearing, now and on later connections. Safe to call twice."""
        self._owner.remove(self)
        await self.withdraw()

    def is_on(self, client: NatsClient) -> bool:
        """Whether it was sent over this connection."""
        return self._client is client

    async def send(self, client: NatsClient, number: int) -> None:
        """Subscribe over this connection."""
        self._told = self._told and self._client is client
        self._client, self._heard, self.number, self.refused = client, None, number, None
        with suppress(nats.errors.ConnectionClosedError):
            self._heard = await client.hear(self.subject, self._handler)
        if self not in self._owner:
            await self.withdraw()  # it was closed meanwhile

    async def withdraw(self) -> None:
        """Stop hearing over this connection."""
        heard, self._heard = self._heard, None
        if heard is not None and self._client is not None:
            await self._client.unhear(heard)

    def settle(self) -> None:
        """NATS has looked at it."""
        self.number = 0
        self._told = self.refused is not None

    def refuse(self, error: BusRefused) -> None:
        """NATS does not take it."""
        self.refused = error
        told, self._told = self._told, True
        if self.on_refused is not None and not told:
            self.on_refused(error)


class Subscriptions:
    """Everything that is subscribed.

    NATS names the subject when a permission is missing. At a limit it names none: then all are in doubt that were sent
    after the last one that it has surely looked at, and `mend` tries those, half of them at a time.

    Args:
        on_refused: called when there is something for `mend`.
    """

    def __init__(self, on_refused: Callable[[], None]) -> None:
        self._on_refused = on_refused
        self._all: dict[Subscription, None] = {}
        self._refused: dict[Subscription, None] = {}
        """Those that NATS does not take, so that nobody has to look for them among all."""
        self._sent = self._taken = 0
        self.in_doubt = False
        """Whether NATS refused some without naming them."""
        self._too_many = 0
        """How many NATS did not take at a limit since some were tried."""
        self._overflowed = False
        """Whether there was one while some were mended."""
        self._mending = asyncio.Lock()

    def __contains__(self, subscription: Subscription) -> bool:
        return subscription in self._all

    @property
    def refused(self) -> BusRefused | None:
        """What NATS says to one that it does not take; None when it takes all that are needed."""
        return next((each.refused for each in self._refused if not each.optional), None)

    @property
    def unconfirmed(self) -> bool:
        """Whether the server may not have looked at the last ones yet."""
        return self._sent > self._taken

    @property
    def troubled(self) -> bool:
        """Whether there is something for `mend`."""
        return self.in_doubt or self.refused is not None

    def add(self, subject: str, handler: Handler) -> Subscription:
        """One more; it is sent with `send`, and over each later connection with `send_all`.

        Raises:
            InvalidName: nothing can be heard on `subject`.
        """
        subscription = Subscription(self, audible(subject), handler)
        self._all[subscription] = None
        return subscription

    async def open(self, subject: str, client: NatsClient | None, handler: Handler) -> Subscription:
        """One more, sent over a connection if there is one. Whoever does not get it has none: nobody would end it.

        Raises:
            InvalidName: as `add`.
        """
        subscription = self.add(subject, handler)
        try:
            if client is not None:
                await self.send(subscription, client)
        except BaseException:
            await subscription.unsubscribe()
            raise
        return subscription

    def remove(self, subscription: Subscription) -> None:
        """It is not sent again."""
        self._all.pop(subscription, None)
        self._refused.pop(subscription, None)

    def note(self, subscription: Subscription) -> None:
        """What NATS says to one has changed."""
        if subscription.refused is not None and subscription in self._all:
            self._refused[subscription] = None
        else:
            self._refused.pop(subscription, None)

    async def send(self, subscription: Subscription, client: NatsClient) -> None:
        """Subscribe over a connection."""
        self._sent += 1
        await subscription.send(client, self._sent)
        if self._sent % PAUSE_AFTER == 0:
            await asyncio.sleep(0)

    async def send_all(self, client: NatsClient) -> None:
        """Subscribe everything over a new connection, and wait until the server has looked at it.

        Raises:
            nats.errors.Error, TimeoutError: it did not.
        """
        self.in_doubt = False
        while waiting := [each for each in self._all if not each.is_on(client)]:
            for each in waiting:
                await self.send(each, client)
            await self.confirm(client)

    async def confirm(self, client: NatsClient) -> None:
        """Wait until the server has looked at what was sent; those that it does not take have `refused` then.

        Raises:
            nats.errors.Error, TimeoutError: it did not.
        """
        sent = self._sent
        await client.settle(CONFIRM_TIMEOUT)
        if self.in_doubt or self._mending.locked():
            await self.mend(client)
        self.answered(sent)

    def begin(self) -> int:
        """To be kept with a request, for `answered`."""
        return self._sent

    def answered(self, sent: int) -> None:
        """A request was answered: the server has looked at what was sent before it."""
        if not self.in_doubt:
            self._taken = max(self._taken, sent)

    def deny(self, subject: str, user: str | None) -> NotPermitted:
        """The user may not subscribe this subject, reported in lower case. Returns it as it was written."""
        error = NotPermitted("subscribe", subject, user=user, permission=permission(subject))
        for each in list(self._all):
            if each.subject.lower() == subject:
                error = NotPermitted("subscribe", each.subject, user=user, permission=permission(each.subject))
                each.refuse(error)
        if not self._mending.locked():
            self._on_refused()
        return error

    def overflow(self) -> None:
        """NATS took one of those that were sent last for one too many."""
        self._too_many += 1
        self.in_doubt = True
        if self._mending.locked():
            self._overflowed = True
        else:
            self._on_refused()

    async def mend(self, client: NatsClient) -> bool:
        """Try those in doubt, and some of those that were refused. Whether any of them is taken now.

        Raises:
            nats.errors.Error, TimeoutError: the server does not answer.
        """
        async with self._mending:
            doubtful = {each: None for each in self._all if self.in_doubt and each.number > self._taken}
            refused = [each for each in self._refused if each not in doubtful]
            self.in_doubt = True  # until the end, to which this may not come
            mended = self._overflowed = False
            for some in (list(doubtful), *(refused[first : first + AGAIN] for first in range(0, len(refused), AGAIN))):
                tried = [each for each in some if each in self._all and each.is_on(client)]
                if tried:
                    await self._try(tried, client)
                for each in tried:
                    if each.is_on(client):
                        each.settle()
                mended = mended or any(each.refused is None for each in tried)
                if any(each.refused is not None for each in tried):
                    break
            # It may have been one that came meanwhile.
            self.in_doubt = self._overflowed and any(each.number > self._taken for each in self._all)
            return mended

    async def _try(self, some: Sequence[Subscription], client: NatsClient) -> None:
        """Subscribe some anew. When NATS does not take all of them, nor none, each half is tried by itself."""
        for each in some:
            if each.is_on(client):
                await each.withdraw()
        self._too_many = 0
        for each in some:
            if each in self._all and each.is_on(client):
                await self.send(each, client)
        await client.settle(CONFIRM_TIMEOUT)
        if self._too_many >= len(some):
            for each in some:
                each.refuse(
                    BusRefused(
                        f'NATS does not take "{each.subject}": maximum subscriptions exceeded; raise '
                        "max_subscriptions on the server, or the user's limit"
                    )
                )
        elif self._too_many:
            half = len(some) // 2
            await self._try(some[:half], client)
            await self._try(some[half:], client)
