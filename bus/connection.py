"""Connection: the way to NATS that never dies unnoticed.

A NATS connection can end for many reasons: the network, a restart, a login that was revoked, a limit. Whatever the
reason, a new one is made here, everything that is subscribed is subscribed again, and what cannot be used says so.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, suppress

import nats.errors
import structlog
from nats.aio.client import DEFAULT_MAX_PAYLOAD_SIZE
from nats.aio.msg import Msg

from bus import elsewhere
from bus.condition import Condition
from bus.elsewhere import Question
from bus.ending import end_task
from bus.errors import BusError, BusRefused, BusUnavailable
from bus.nats_client import Handler, NatsClient
from bus.nats_login import NatsLogin, Proof
from bus.nats_url import NatsServer
from bus.requests import Requests
from bus.server_pool import ServerPool
from bus.subscriptions import Subscription, Subscriptions
from bus.trouble import Trouble

log = structlog.get_logger(__name__)

CONNECT_TIMEOUT = 8.0
"""Seconds for one server to take the connection."""
SUBSCRIBE_TIMEOUT = 30.0
"""Seconds for it to take everything that is subscribed."""
CONFIRM_AFTER = 0.01
"""Seconds for which subscriptions are collected before the server is asked whether it took them."""
STEADY = 5.0
"""Seconds that a connection must last for the pauses to begin anew."""
CHECK_INTERVAL = 2.0
"""Seconds between two looks at a connection that works; after trouble it is the pause between two attempts."""

VIOLATION = re.compile(r'permissions violation for (publish|subscription) to "([^"]*)"')


class Connection:
    """One connection to one of several servers at a time. Use it from one event loop.

    Args:
        login: where NATS is, more servers being learnt from a cluster, and who we are there.
        name: how it appears in NATS monitoring.
        heal_timeout: as for `Condition`.
        check: called on each new connection (True) and now and then (False); the connection is ready when it returns,
            and not when it raises `BusError`.
        question: tells whether another server would do, while a check says that this one does not.
    """

    def __init__(
        self,
        login: NatsLogin,
        *,
        name: str,
        heal_timeout: float,
        check: Callable[[bool], Awaitable[None]] | None = None,
        question: Question | None = None,
    ) -> None:
        self.condition = Condition(heal_timeout)
        """Whether it works, and why not."""
        self._login = login
        self._servers = ServerPool(login.servers)
        self._name = name
        self._check = check
        self._question = question
        self._proof = Proof()
        self._client: NatsClient | None = None
        self._latest: NatsClient | None = None
        """The connection that was used last, which knows what its server is like."""
        self._requests = Requests(login.inbox_prefix)
        self._look = asyncio.Event()
        """Set when the connection is to be looked at now."""
        self._subscriptions = Subscriptions(self._look.set)
        self._inbox = self._subscriptions.add(f"{self._requests.inbox}.*", self._requests.answer)
        self._keeper: asyncio.Task[None] | None = None
        self._confirming: asyncio.Task[None] | None = None
        self._closed = False

    @property
    def is_connected(self) -> bool:
        """Whether a server answers. Whether all is well there, `condition` says."""
        return self._client is not None

    @property
    def max_payload(self) -> int:
        """Most bytes of a message, headers included."""
        return self._latest.max_payload if self._latest is not None else DEFAULT_MAX_PAYLOAD_SIZE

    @property
    def server(self) -> NatsClient:
        """The connection in use, which knows what its server is like. Raises BusUnavailable: NATS is away."""
        return self._require()

    def start(self) -> None:
        """Connect from now on, for ever.

        Raises:
            BusUnavailable: this is closed.
        """
        if self._closed:
            raise BusUnavailable("the bus is closed; make another")
        if self._keeper is None:
            self._keeper = asyncio.create_task(self._keep(), name="keep connected to NATS")

    async def close(self, timeout: float) -> None:
        """Let what was sent and received finish within `timeout` seconds, then disconnect.

        Whoever is cancelled meanwhile disconnects at once.
        """
        self._closed = True
        client, self._client = self._client, None
        try:
            await end_task(self._keeper)
            await end_task(self._confirming)
            if client is not None and not client.ended.done():
                await self._finish(client, timeout)
        finally:
            self._requests.lose("this process closed the connection")
            if client is not None:
                await client.leave()

    async def _finish(self, client: NatsClient, timeout: float) -> None:
        finishing = asyncio.create_task(client.finish(timeout), name="finish with NATS")
        try:
            await asyncio.wait({finishing}, timeout=timeout)
            if not finishing.done() or finishing.exception() is not None:
                log.warning("NATS did not answer a last time; what was not sent is lost")
        finally:
            await end_task(finishing)

    async def publish(
        self, subject: str, payload: bytes = b"", reply: str = "", headers: dict[str, str] | None = None
    ) -> None:
        """Send a message; nothing tells whether it arrives.

        Raises:
            BusUnavailable: NATS is away.
            nats.errors.MaxPayloadError: it is larger than `max_payload`; NATS would end the connection.
        """
        await self._require().publish(subject, payload, reply=reply, headers=headers)

    async def request(
        self, subject: str, payload: bytes = b"", timeout: float = 0.5, headers: dict[str, str] | None = None
    ) -> Msg:
        """Send a message and wait for its answer.

        Raises:
            BusUnavailable: NATS is away, or went away meanwhile (`maybe_done`).
            NotPermitted: the user may not publish it, or not hear answers.
            nats.errors.NoRespondersError: nobody listens on the subject.
            TimeoutError: no answer in time.
            nats.errors.MaxPayloadError: as for `publish`.
        """
        if self._inbox.refused is not None:
            raise self._inbox.refused
        client, sent = self._client, self._subscriptions.begin()
        with self._requests.open(subject) as (reply, answer):
            async with asyncio.timeout(timeout):
                await self.publish(subject, payload, reply, headers)
                message = await answer
        if client is self._client:
            self._subscriptions.answered(sent)
        return message

    def hear_answers(self, on_answer: Callable[[Msg], None]) -> AbstractContextManager[str]:
        """A block around a request that has many answers; see `Requests.hear`. Raises `NotPermitted` as `request`."""
        if self._inbox.refused is not None:
            raise self._inbox.refused
        return self._requests.hear(on_answer)

    async def subscribe(self, subject: str, handler: Handler) -> Subscription:
        """Hear a subject from now on; while NATS is away, from its return on.

        Args:
            handler: as for `NatsClient.hear`.

        Raises:
            BusUnavailable: this is closed.
            InvalidName: nothing can be heard on `subject`.
        """
        if self._closed:
            raise BusUnavailable("the bus is closed")
        subscription = await self._subscriptions.open(subject, self._client, handler)
        if self._client is not None and (self._confirming is None or self._confirming.done()):
            self._confirming = asyncio.create_task(self._confirm_later(), name="confirm subscriptions")
        return subscription

    async def confirm(self) -> None:
        """Wait until the server has looked at every subscription that was sent.

        Raises:
            BusUnavailable: NATS is away, or it refuses one of them (`BusRefused`).
        """
        client = self._require()
        try:
            await self._subscriptions.confirm(client)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            raise BusUnavailable(f"NATS at {client.server.url} does not confirm what was subscribed") from error
        if (refused := self._subscriptions.refused) is not None:
            raise refused

    async def _confirm_later(self) -> None:
        """Keep those few that would be in doubt at a limit, however many come."""
        while self._client is not None and self._subscriptions.unconfirmed:
            await asyncio.sleep(CONFIRM_AFTER)
            with suppress(BusUnavailable):
                await self.confirm()

    def _require(self) -> NatsClient:
        if self._client is not None:
            return self._client
        if (trouble := self.condition.trouble) is not None and trouble.refused:
            raise trouble.error
        raise BusUnavailable("NATS is away; try again when it is back")

    async def _keep(self) -> None:
        while True:
            try:
                await self._attend(await self._reach())
            except Exception as error:
                log.exception("the NATS connection broke unforeseen; making another")
                self.condition.note(Trouble.of(BusRefused(f"the NATS connection broke: {error!r}; see the log")))
                await asyncio.sleep(self._servers.pause())

    async def _reach(self) -> NatsClient:
        """Try one server after another until one takes the connection and what is subscribed.

        Those that a cluster tells of and that were never reached from here are asked at the same time, when no other
        one is left: to find out that one is out of reach takes seconds.
        """
        while True:
            troubles = []
            proof = self._proof = await self._read_proof()
            for server in self._servers.order(self._latest):
                client = NatsClient(server, proof, name=self._name, on_error=self._on_error)
                try:
                    async with asyncio.timeout(CONNECT_TIMEOUT):
                        await client.open()
                    async with asyncio.timeout(SUBSCRIBE_TIMEOUT):
                        await self._subscriptions.send_all(client)
                except (OSError, TimeoutError, nats.errors.Error) as error:
                    troubles.append(Trouble.at(client, error))
                    await client.leave()
                except BaseException:
                    await client.leave()
                    raise
                else:
                    return client
            # The servers of a cluster share their accounts: what one says is more than that another is silent.
            self.condition.note(next((trouble for trouble in troubles if trouble.refused), troubles[-1]))
            if (found := await elsewhere.find(self._servers.unproven(), None, "", self._to_ask)) is not None:
                self._servers.prefer(found)
            await asyncio.sleep(self._servers.pause())

    async def _read_proof(self) -> Proof:
        """The files by which we show who we are, once they can be used."""
        while self._login.has_files:
            try:
                return await asyncio.to_thread(self._login.read)
            except ValueError as error:
                self.condition.note(Trouble.of(BusRefused(f"this process cannot show NATS who it is: {error}")))
                await asyncio.sleep(self._servers.pause())
        return Proof()

    async def _attend(self, client: NatsClient) -> None:
        """Use a connection until its end."""
        loop = asyncio.get_running_loop()
        began = loop.time()
        fresh = True
        self._client = self._latest = client
        client.ended.add_done_callback(lambda _: self._on_end(client))
        try:
            while self._client is client:
                self._look.clear()
                trouble = await self._examine(client, fresh=fresh)
                self._servers.learn(client, works=trouble is None)
                fresh = fresh and trouble is not None
                if self._client is not client:
                    break
                self.condition.note(trouble)
                refused = trouble is not None and trouble.refused
                if trouble is not None and not refused and await self._would_do_elsewhere(client):
                    self._on_end(client, trouble)
                    break
                if loop.time() - began > STEADY and not refused:  # what is refused is tried ever more seldom
                    self._servers.relax()
                with suppress(TimeoutError):
                    async with asyncio.timeout(CHECK_INTERVAL if trouble is None else self._servers.pause()):
                        await self._look.wait()
        finally:
            if not self._closed:
                await client.leave()
        await asyncio.sleep(self._servers.pause())

    async def _examine(self, client: NatsClient, *, fresh: bool) -> Trouble | None:
        """Why a connection cannot be used, if so."""
        try:
            if self._subscriptions.troubled and await self._subscriptions.mend(client):
                self.condition.on_gap()
            if self._check is not None:
                await self._check(fresh)
        except BusError as error:
            return Trouble.of(error)
        except (nats.errors.Error, OSError, TimeoutError) as error:
            return Trouble.at(client, error)
        refused = self._subscriptions.refused
        return Trouble.of(refused) if refused is not None else None

    async def _would_do_elsewhere(self, client: NatsClient) -> bool:
        """Whether another server would do; it is the next one then. Any is better than one that says nothing at all."""
        others = self._servers.others(client)
        if self._question is None or not others:
            return False
        question = None if await elsewhere.is_silent(client) else self._question
        better = await elsewhere.find(others, question, self._login.inbox_prefix, self._to_ask)
        if better is None or self._client is not client:
            return False
        self._servers.prefer(better)
        return True

    def _to_ask(self, server: NatsServer) -> NatsClient:
        return NatsClient(server, self._proof, name=self._name, on_error=_let_be)

    def _on_end(self, client: NatsClient, trouble: Trouble | None = None) -> None:
        self._look.set()
        if self._client is client:
            self._client = None
            trouble = trouble or Trouble.at(client, client.last_error)
            self.condition.end(trouble, client.server.url)
            self._requests.lose(str(trouble.error))

    async def _on_error(self, client: NatsClient, error: Exception) -> None:
        text = str(error) or type(error).__name__
        if (violation := VIOLATION.search(text)) is not None:
            verb, subject = violation.groups()
            denied = (self._requests if verb == "publish" else self._subscriptions).deny(subject, self._login.user)
            self.condition.warn(f"{verb} {'.'.join(subject.split('.')[:2])}", str(denied))
        elif text.startswith("maximum subscriptions"):
            self._subscriptions.overflow()
            self.condition.warn(text, "NATS takes no more subscriptions: raise max_subscriptions, or the user's limit")
        elif not isinstance(error, (nats.errors.Error, OSError, TimeoutError)):
            self.condition.warn(type(error).__name__, f"a message from NATS could not be handled: {error!r}")
        else:
            log.debug("NATS reported an error", error=text)


async def _let_be(client: NatsClient, error: Exception) -> None:
    """A server that is only asked whether it would do may not do."""
