"""Client: what a program holds of a busctl server. Made by `connect`."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Generator
from datetime import datetime
from types import TracebackType
from typing import Any, Literal, Self, overload

from busctl_client.close_codes import TOO_BIG, UNAUTHORIZED
from busctl_client.connection import CLOSED, Connection
from busctl_client.conversation import Conversation
from busctl_client.errors import BusctlError, ClientClosed, ConnectionClosed, ConnectionFailed, Unauthorized
from busctl_client.events import Event, Notification, State, Welcome
from busctl_client.job import Job
from busctl_client.jobs import Jobs
from busctl_client.limits import Limits, Timings
from busctl_client.listeners import Events, Listeners
from busctl_client.session import Session
from busctl_client.tokens import Token, Tokens
from busctl_client.visit import Address, Visit


class Client:
    """One client of a server, over as many connections as it takes. For one event loop; made by `connect`."""

    def __init__(
        self,
        address: Address,
        *,
        token: Token | None,
        session: Session,
        timings: Timings,
        limits: Limits,
        within: float,
    ) -> None:
        tokens = Tokens(token, timings.open)
        self._within = within
        self._session = session
        self._listeners = Listeners()
        self._task: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._conversation = Conversation(
            session, tokens, self._listeners, limits, lambda: self._connection.connected()
        )
        self._connection = Connection(
            lambda: Visit(address, session, tokens, timings, limits, self._conversation),
            session,
            renewable=tokens.renewable,
            timings=timings,
            on_state=self._on_state,
        )

    @property
    def id(self) -> str | None:
        """What the server calls this client; None before the first connection."""
        return self._session.client_id

    @property
    def state(self) -> State:
        """How the connection stands."""
        return self._connection.state

    @property
    def jobs(self) -> Jobs:
        """The jobs of this client, the newest first: iteration, `len()` and `get(id_or_key)`."""
        return self._conversation.jobs

    def saved(self) -> dict[str, Any]:
        """Who this client is, for `connect` in a later process. Keep it secret: whoever has it is this client."""
        return self._session.saved()

    def submit(
        self,
        task_type: str,
        content: Any,
        *,
        key: str | None = None,
        not_before: datetime | None = None,
        delay: float | None = None,
    ) -> Job:
        """Submit a job. It is sent when there is a connection, and again until the server has confirmed it: once.

        Args:
            task_type: the job type. The server runs `default`, if it has that, for one that it does not know.
            content: a text, or the JSON value that the type takes.
            key: idempotency key, 1 to 128 characters: the same one from this client is the same job. By default a new
                one.
            not_before: when it may begin, with a time zone, 366 days ahead at most.
            delay: in place of that, in so many seconds from now.

        Raises:
            TooLarge: it is larger than a frame may be.
            TooManyRequests: too many requests wait for an answer already.
            ValueError, TypeError: the content is no JSON, or nested deeper than a server reads, or an argument is not
                what it should be.
            ConnectionClosed: the client is closed.
        """
        return self._conversation.submit(task_type, content, key=key, not_before=not_before, delay=delay)

    @overload
    def on(
        self, name: Literal["system_notification"], callback: Callable[[Notification], object]
    ) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["state"], callback: Callable[[State], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["welcome"], callback: Callable[[Welcome], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: Literal["job"], callback: Callable[[Job], object]) -> Callable[[], None]: ...
    @overload
    def on(self, name: str, callback: Callable[[Event], object]) -> Callable[[], None]: ...

    def on(self, name: str, callback: Callable[[Any], object]) -> Callable[[], None]:
        """Call a function for each event of a name; returns what takes that back.

        Args:
            name: an action, such as `system_notification` or `job_result`, or `*` for every one; `state`, when the
                connection changes; `welcome`, when it begins, with `recovered`; `job`, when a job is new or changes;
                `error`, for an error that belongs to no job.
            callback: an ordinary function that returns at once. One that raises is logged.

        Raises:
            TypeError: it is a coroutine function. Use `events` for that.
        """
        return self._listeners.on(name, callback)

    def events(self, *actions: str, most: int = 1000) -> Events:
        """Events to be read with `async for`, from now on, each once and in order.

        Args:
            actions: which; none for all.
            most: that may wait for a slow reader, which is told with `EventsDropped` when it misses some.
        """
        return self._listeners.read(actions, Events(most, lambda: self._trouble))

    def reconnect(self) -> None:
        """Connect now, whatever is being waited for; also after the server has closed for good.

        Raises:
            ClientClosed: the client is closed.
        """
        if isinstance(self._trouble, ClientClosed):
            raise self._trouble
        if self._trouble is not None:
            self._conversation.over(None)
            self._task = asyncio.create_task(self._connection.run())
        self._connection.hurry()

    async def open(self) -> Self:
        """Begin, and wait until it is connected; what `async with` and `await connect(...)` do.

        Raises:
            Unauthorized: the server does not take the token.
            ConnectionClosed: it refuses this client otherwise.
            ConnectionFailed: there was no connection in time.
        """
        if self._task is None and self._trouble is None:
            self._task = asyncio.create_task(self._connection.run())
        try:
            async with asyncio.timeout(self._within):
                while self.state.name != "connected" and self._trouble is None:
                    await self._connection.changed.wait()
        except TimeoutError:
            why = self.state.reason or "no answer"
            await self.close()
            raise ConnectionFailed(f"no connection within {self._within:g} s: {why}") from None
        except asyncio.CancelledError:
            await self.close()
            raise
        if self._trouble is not None:
            raise self._trouble
        return self

    async def close(self) -> None:
        """Disconnect for good. Whoever waits for something gets `ClientClosed`; jobs go on. Safe to call twice.

        It closes also when whoever waits for that is cancelled.
        """
        if self._closing is None:
            self._conversation.over(ClientClosed())
            self._closing = asyncio.create_task(self._close())
        await asyncio.wait([self._closing])

    def __await__(self) -> Generator[Any, None, Self]:
        return self.open().__await__()

    async def __aenter__(self) -> Self:
        return await self.open()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def _close(self) -> None:
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])
        self._connection.close(CLOSED)

    @property
    def _trouble(self) -> BusctlError | None:
        return self._conversation.trouble

    def _on_state(self, state: State) -> None:
        if state.name == "closed" and self._trouble is None:
            code = state.code or 0
            kind = Unauthorized if code in (UNAUTHORIZED, 401) else ConnectionClosed
            trouble = kind(code, state.reason)
            self._conversation.over(trouble)
            if code == TOO_BIG:
                self._conversation.hold(trouble)
        self._listeners.tell("state", state)
