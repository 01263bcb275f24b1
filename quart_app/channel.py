"""Channels: a class is one WebSocket endpoint, its methods are operations.

    @channel("/ws/echo", name="echo")
    class EchoChannel(Channel):
        \"\"\"Repeats what it is told.\"\"\"

        @ws_handler
        async def echo(self, message: Say) -> Said:
            \"\"\"Say it again.\"\"\"
            return Said(payload=message.payload)

Routing follows the annotated message type, documentation the docstrings. Channel, operation and message mean
what AsyncAPI 3.1 means by them.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Awaitable, Callable, Collection, Coroutine, Mapping
from dataclasses import dataclass
from types import MappingProxyType, NoneType, UnionType
from typing import (
    TYPE_CHECKING,
    Any,
    ClassVar,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    overload,
)

from bus import InvalidName, subjects
from bus.messages import (
    MOST_SCOPES,
    ClientMessage,
    Error,
    Event,
    EventSkipped,
    Message,
    ResumeToken,
    TokenExpiring,
    TokenRefreshed,
    Welcome,
)
from quart_app.errors import ChannelDefinitionError, Refused
from quart_app.identity.identity import Identity

if TYPE_CHECKING:
    from quart_app.services import ChannelConnection, Services

Handler = Callable[..., Awaitable[Message | None]]
H = TypeVar("H", bound=Handler)
C = TypeVar("C", bound="type[Channel]")

CLIENT = "client"
"""The scope of a client's own events; a group's scope is its name."""

RESERVED = frozenset(
    {
        *("*", "close", "frame", "job", "state"),  # what clients, or readers of Server-Sent Events, hear besides
        *(reply.action_name() for reply in (Error, EventSkipped, ResumeToken, TokenExpiring, TokenRefreshed, Welcome)),
    }
)
"""Actions that no event of a channel can have."""

_MARK = "__channel_operation__"


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing a channel does: take a message from a client, or pass an event on to it.

    Args:
        name: the method's name, or the action for a passed-through event.
        message: the message or event that is taken.
        outputs: what may be sent in answer, for documentation.
        summary: first line of the docstring.
        description: the rest of it.
        method: the method, or None for a passed-through event.
    """

    name: str
    message: type[Message]
    outputs: tuple[type[Message], ...]
    summary: str
    description: str
    method: Handler | None


@dataclass(frozen=True, slots=True)
class _Mark:
    kind: str
    output_type: tuple[type[Message], ...]


@overload
def ws_handler(method: H) -> H: ...
@overload
def ws_handler(*, output_type: type[Message] | tuple[type[Message], ...] = ()) -> Callable[[H], H]: ...
def ws_handler(
    method: H | None = None, *, output_type: type[Message] | tuple[type[Message], ...] = ()
) -> H | Callable[[H], H]:
    """Make a method take messages from clients: `async def name(self, message: SomeMessage) -> SomeReply | None`.

    A returned message is sent to the client; with None nothing is, because an event will follow perhaps.

    Args:
        output_type: what follows when it is not what the method returns; for documentation only.
    """
    return _marker("ws", method, output_type)


@overload
def event_handler(method: H) -> H: ...
@overload
def event_handler(*, output_type: type[Message] | tuple[type[Message], ...] = ()) -> Callable[[H], H]: ...
def event_handler(
    method: H | None = None, *, output_type: type[Message] | tuple[type[Message], ...] = ()
) -> H | Callable[[H], H]:
    """Make a method take events from the bus: `async def name(self, event: SomeEvent) -> SomeMessage | None`.

    It runs once per connection, in stream order. What it returns is sent with the event's `seq` and `group`, unless it
    has its own. With None nothing is, or in a replay an `event_skipped`; and so when it raises, or takes more than five
    seconds. An event that goes to the client as it is belongs in `passthrough_events`, which costs one encoding per
    process instead.

    Args:
        output_type: what is sent, when the annotation of what is returned does not say it; for documentation only.
    """
    return _marker("event", method, output_type)


def channel(path: str, *, name: str) -> Callable[[C], C]:
    """Give a `Channel` class its address and its name. A trailing slash is accepted in addition.

    Raises:
        ChannelDefinitionError: the path does not begin with a slash.
    """
    if not path.startswith("/"):
        raise ChannelDefinitionError(f"channel path {path!r} must begin with '/'")

    def decorate(cls: C) -> C:
        cls.path = path.rstrip("/") or "/"
        cls.name = name
        return cls

    return decorate


class Channel:
    """One WebSocket endpoint. One instance serves one connection.

    Class attributes to set:
        groups: groups every connection joins.
        passthrough_events: events that go to the client as they are.
        most_groups: how many groups one connection may `join` at a time; with `groups` 63 at most, because a client
            that comes back can say of so many what it has seen. Those that a token lists count too.
    """

    path: ClassVar[str]
    name: ClassVar[str]
    groups: ClassVar[tuple[str, ...]] = ()
    passthrough_events: ClassVar[tuple[type[Event], ...]] = ()
    most_groups: ClassVar[int] = 20

    receives: ClassVar[Mapping[str, Operation]] = MappingProxyType({})
    """What clients may send, by action. Made from the `@ws_handler` methods."""
    events: ClassVar[Mapping[str, Operation]] = MappingProxyType({})
    """What comes from the bus, by action. Made from `@event_handler` methods and `passthrough_events`."""

    def __init__(self, connection: ChannelConnection, services: Services) -> None:
        self.connection = connection
        self.services = services

    @property
    def client_id(self) -> str:
        """Whose connection this is."""
        return self.connection.client_id

    @property
    def identity(self) -> Identity:
        """Who that is, as far as it was proved. Another one of the same user once a newer token has come."""
        return self.connection.identity

    @property
    def joined(self) -> Collection[str]:
        """The groups that this connection has joined and not left."""
        return self.connection.membership.joined

    def may_connect(self) -> bool:
        """Whether this client may use this channel. Override it to decide otherwise; it must not wait.

        It is asked once the client has said who it is, and again when a newer token comes. A client that may not is
        answered with 403, or with `bus.v1` closed with 4403.
        """
        return True

    def send(self, message: Message, *, ref: str | None = None) -> None:
        """Send a message to this client, besides what handlers return. Never waits."""
        self.connection.send(message.encode(ref=ref) if ref is not None else message.encode())

    def start(self, work: Coroutine[Any, Any, None], name: str) -> asyncio.Task[None] | None:
        """Do something beside, until the connection ends: then it is cancelled, and has to end soon.

        Args:
            work: what to do. What it raises is logged, and nobody else is disturbed.
            name: of its task.

        Returns:
            Its task, or None when the connection has ended already.
        """
        return self.connection.start(work, name)

    def may_join(self, identity: Identity, group: str) -> bool:
        """Whether a client may be in a group. Override it to decide otherwise; it must not wait.

        It is asked for each `join`, for each group that a token lists, which the connection then joins by itself, and
        again for every joined group when a newer token comes. By default somebody anonymous may join whatever a handler
        says, and a user what the user's token lists. `groups` are everybody's.

        Args:
            identity: who wants to join.
            group: a name that a group can have.
        """
        return identity.user is None or group in identity.groups

    async def join(self, group: str) -> None:
        """Get the events of one more group on this connection, from now on until `leave` or the connection's end.

        When this returns, NATS has confirmed that this process hears the group. Joining twice is joining once. Nobody
        remembers it for a client that is away: one that comes back joins again, and is not sent what was stored in
        between; only `groups` and the client's own events are replayed.

        Args:
            group: 1 to 64 letters, digits, '-' or '_'.

        Raises:
            Refused: `most_groups` are joined already, `may_join` says no, or it cannot be a group's name.
            BusUnavailable: NATS is away; nothing was joined.
        """
        if (wrong := _wrong_with(group)) is not None:
            raise Refused("bad_group", wrong)
        if not self.may_join(self.identity, group):
            raise Refused("not_allowed", f"this client may not join {group!r}")
        await self.connection.membership.join(group, most=self.most_groups)

    async def leave(self, group: str) -> None:
        """Get the events of a joined group no longer. One that is on its way already may still be shown.

        Raises:
            Refused: this connection has not joined it; every connection is in `groups` for good.
        """
        if not await self.connection.membership.leave(group):
            raise Refused("not_joined", f"{group!r} is not among the groups that this connection has joined")

    def __init_subclass__(cls) -> None:
        receives: dict[str, Operation] = {}
        events: dict[str, Operation] = {}
        for name in dir(cls):
            method = inspect.getattr_static(cls, name)
            mark = getattr(method, _MARK, None)
            if isinstance(mark, _Mark):
                table, kind = (receives, ClientMessage) if mark.kind == "ws" else (events, Event)
                _add(cls, table, _operation(cls, name, method, mark, kind))
        for event in cls.passthrough_events:
            summary, description = _docs(event)
            _add(cls, events, Operation(event.action_name(), event, (event,), summary, description, None))
        for group in cls.groups:
            if (wrong := _wrong_with(group)) is not None:
                raise ChannelDefinitionError(f"{cls.__name__}.groups: {wrong}")
        if (groups := len(cls.groups) + cls.most_groups) >= MOST_SCOPES:
            raise ChannelDefinitionError(
                f"{cls.__name__} lets a connection be in {groups} groups, {len(cls.groups)} of its own and "
                f"{cls.most_groups} more (most_groups): {MOST_SCOPES - 1} are the most of which a client can say what "
                "it has seen"
            )
        cls.receives = MappingProxyType(receives)
        cls.events = MappingProxyType(events)


def _marker(kind: str, method: H | None, output_type: Any) -> H | Callable[[H], H]:
    outputs = output_type if isinstance(output_type, tuple) else (output_type,)

    def mark(method: H) -> H:
        setattr(method, _MARK, _Mark(kind, outputs))
        return method

    return mark if method is None else mark(method)


def _add(cls: type, table: dict[str, Operation], operation: Operation) -> None:
    action = operation.message.action_name()
    if action in RESERVED and issubclass(operation.message, Event):
        raise ChannelDefinitionError(
            f"{cls.__name__} shows events of the action {action!r}, by which clients know something else: "
            f"call it otherwise than {', '.join(sorted(RESERVED))}"
        )
    if (other := table.get(action)) is not None:
        raise ChannelDefinitionError(
            f"{cls.__name__} takes {action!r} twice, in {other.name} and {operation.name}: keep one"
        )
    table[action] = operation


def _wrong_with(group: str) -> str | None:
    if group == CLIENT:
        return f"{CLIENT!r} is the scope of a client's own events: call the group otherwise"
    try:
        subjects.token("group", group)
    except InvalidName as error:
        return str(error)
    return None


def _operation(cls: type, name: str, method: Handler, mark: _Mark, kind: type[Message]) -> Operation:
    where = f"{cls.__name__}.{name}"
    if not inspect.iscoroutinefunction(method):
        raise ChannelDefinitionError(f"{where} must be 'async def'")
    parameters = list(inspect.signature(method).parameters)
    hints = get_type_hints(method)
    taken = hints.get(parameters[1]) if len(parameters) == 2 else None
    if not (isinstance(taken, type) and issubclass(taken, kind)):
        raise ChannelDefinitionError(
            f"{where} must take one argument besides self, annotated with a subclass of {kind.__name__}; "
            "its type decides what is routed here"
        )
    outputs = mark.output_type or _returned(hints.get("return"))
    for output in outputs:
        if not (isinstance(output, type) and issubclass(output, Message)):
            raise ChannelDefinitionError(f"{where} returns {output!r}, which is not a message: see bus/messages")
    return Operation(name, taken, outputs, *_docs(method), method)


def _returned(hint: Any) -> tuple[Any, ...]:
    parts = get_args(hint) if get_origin(hint) in (Union, UnionType) else (hint,)
    return tuple(part for part in parts if part not in (None, NoneType))


def _docs(thing: object) -> tuple[str, str]:
    summary, _, description = (inspect.getdoc(thing) or "").partition("\n")
    return summary.strip(), description.strip()


__all__ = [
    "Channel",
    "ChannelDefinitionError",
    "Operation",
    "channel",
    "event_handler",
    "ws_handler",
]
