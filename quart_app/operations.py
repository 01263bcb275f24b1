"""Operations: what a channel takes and sends, found in its class by the types that its methods are annotated with."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from types import NoneType, UnionType
from typing import Any, TypeVar, Union, get_args, get_origin, get_type_hints, overload

from bus.messages import (
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
from quart_app.errors import ChannelDefinitionError

Handler = Callable[..., Awaitable[Message | None]]
H = TypeVar("H", bound=Handler)

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


def operations_of(
    cls: type, passthrough_events: Iterable[type[Event]]
) -> tuple[dict[str, Operation], dict[str, Operation]]:
    """What a channel takes from clients, and what it shows of the bus, by action.

    Args:
        cls: its class, with marked methods.
        passthrough_events: events that it shows as they are.

    Raises:
        ChannelDefinitionError: a method cannot be routed, or an action is taken twice or is `RESERVED`.
    """
    receives: dict[str, Operation] = {}
    events: dict[str, Operation] = {}
    for name in dir(cls):
        method = inspect.getattr_static(cls, name)
        mark = getattr(method, _MARK, None)
        if isinstance(mark, _Mark):
            table, kind = (receives, ClientMessage) if mark.kind == "ws" else (events, Event)
            _add(cls, table, _operation(cls, name, method, mark, kind))
    for event in passthrough_events:
        summary, description = _docs(event)
        _add(cls, events, Operation(event.action_name(), event, (event,), summary, description, None))
    return receives, events


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
