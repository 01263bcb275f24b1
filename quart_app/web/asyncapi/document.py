"""The AsyncAPI 3.1 document, made from the channel classes and the models of their messages.

    build([SystemChannel])["channels"]["system"]["address"]  # "/ws/system"

Directions are the server's, as AsyncAPI wants them: `receive` is what a client sends. A message's `payload` in the
sense of AsyncAPI is the whole frame, so the frame's own key `payload` is one of its properties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from importlib.metadata import version as installed_version
from inspect import isasyncgenfunction, isgeneratorfunction
from types import MappingProxyType

from bus.messages import Connect, Error, EventSkipped, Message, ResumeToken, SystemMessage, Welcome
from quart_app import close_codes, error_types
from quart_app.channel import Channel
from quart_app.operations import Operation
from quart_app.web.asyncapi.examples import SCHEMAS, Json, examples_of
from quart_app.web.asyncapi.job_messages import Variants, variants_with
from quart_app.web.asyncapi.modes import modes_of
from quart_app.web.asyncapi.schemas import Names, placed, schemas_of
from quart_app.web.asyncapi.security import DESCRIPTION as SECURITY_DESCRIPTION
from quart_app.web.asyncapi.security import EXPIRING, REFRESH, Security
from quart_app.web.asyncapi.session import sessions
from workers.registry import Job

ASYNCAPI = "3.1.0"

DESCRIPTION = (
    "JSON text frames over WebSocket: `action` says what a frame is, `payload` is its content, and further flat keys "
    "may stand beside them. Ignore keys and actions that you do not know.\n\n"
    "A frame may carry `ref`; what answers it repeats that. A frame that cannot be accepted is answered with `error`, "
    "and the connection stays open.\n\n"
    "With the WebSocket subprotocol `bus.v1` the first frame is `connect`, and a client that comes back gets what it "
    "missed. Without a subprotocol nobody is known again, nothing is replayed, and `job_started`, "
    "`job_retrying`, `job_progress` and `job_output` are not sent."
)

HANDSHAKE = Operation(
    name="connect",
    message=Connect,
    outputs=(Welcome,),
    summary="Say who the client is, and replay what it missed.",
    description="With the subprotocol `bus.v1` only, and there the first frame. One that cannot be accepted is "
    "answered with `error`, and then the connection is closed with code 4400.",
    method=None,
)
"""What `quart_app.websocket.handshake` does before a connection has a channel, alike on each."""

SKIPPED = Operation(
    name="event_skipped",
    message=EventSkipped,
    outputs=(EventSkipped,),
    summary="A client that comes back is told of an event that it is not shown.",
    description="With the subprotocol `bus.v1` only, and only in a replay.",
    method=None,
)
"""What `quart_app.websocket.answering` does on each channel."""

RENEWAL = Operation(
    name="renewal",
    message=ResumeToken,
    outputs=(ResumeToken,),
    summary="A connected client gets a newer resume token now and then.",
    description="With the subprotocol `bus.v1` only. Who comes back with the newest is the client it was.",
    method=None,
)
"""What `quart_app.websocket.renewal` does for every connection."""


@dataclass(frozen=True, slots=True)
class Edge:
    """What is alike on each channel.

    Args:
        security: how clients prove who they are, if they have to.
        root_path: the path below which they are served.
    """

    security: Security | None
    root_path: str

    @property
    def received(self) -> tuple[Operation, ...]:
        """What clients send that no channel takes."""
        return (HANDSHAKE, REFRESH) if self.security else (HANDSHAKE,)

    @property
    def sent(self) -> tuple[Operation, ...]:
        """What they are sent that no channel sends."""
        return (SKIPPED, RENEWAL, EXPIRING) if self.security else (SKIPPED, RENEWAL)


def build(
    channels: Iterable[type[Channel]],
    jobs: Mapping[str, Job] = MappingProxyType({}),
    *,
    security: Security | None = None,
    root_path: str = "",
    title: str = "busctl",
    version: str | None = None,
) -> Json:
    """Describe what `channels` take and send. The same channels and jobs always give the same document.

    Args:
        channels: the endpoints.
        jobs: what can be asked for there, by name.
        security: how clients prove who they are, if they have to.
        root_path: the path below which they are served, without a slash at its end.
        title: the name of the application.
        version: its version; by default the installed one.
    """
    channels, variants = tuple(channels), variants_with(jobs)
    edge = Edge(security, root_path)
    messages = list(dict.fromkeys(message for channel in channels for message in _messages(channel, edge, variants)))
    names, schemas = schemas_of(messages)
    operations: Json = {}
    for channel in channels:
        for operation in _received(channel, edge, variants):
            operations[f"{channel.name}_receive_{operation.message.action_name()}"] = _receive(
                channel, operation, names, edge
            )
        for action, operation in _sent(channel, edge, variants):
            if operation.outputs:
                operations[f"{channel.name}_send_{action}"] = _send(channel, operation, names)
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": title,
            "version": version or installed_version("busctl"),
            "description": DESCRIPTION + (SECURITY_DESCRIPTION if security else ""),
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "servers": servers("localhost:8000"),
        "channels": {channel.name: _channel(channel, names, edge, variants) for channel in channels},
        "operations": operations,
        "components": {
            "messages": {names[message]: _message(message, names[message], schemas) for message in messages},
            "schemas": schemas,
            **({"securitySchemes": security.schemes} if security else {}),
            "correlationIds": {
                "ref": {
                    "description": "The `ref` of a client's frame, repeated by what answers it.",
                    "location": "$message.payload#/ref",
                }
            },
        },
        **({"x-jobs": {name: _job(name, job) for name, job in jobs.items()}} if jobs else {}),
        "x-close-codes": [asdict(code) for code in close_codes.ALL],
        "x-error-types": [
            {"type": error.type, "meaning": error.meaning, "again": error.again}
            for error in (*error_types.OF_FRAMES, *error_types.OF_REQUESTS)
        ],
        **({"x-sessions": sessions()} if any(SystemMessage in _taken(channel) for channel in channels) else {}),
    }


def servers(host: str, *, secure: bool = False) -> Json:
    """Where the channels are.

    Args:
        host: the name under which somebody asks for the document, with the port.
        secure: whether that is by TLS.
    """
    protocol = "wss" if secure else "ws"
    return {"here": {"host": host, "protocol": protocol, "description": "Who has given you this document."}}


def _job(name: str, job: Job) -> Json:
    signature = job.signature
    return {
        "summary": job.summary,
        "takes": placed(signature.takes.taken, f"#/x-jobs/{name}/takes"),
        "gives": placed(signature.gives.given, f"#/x-jobs/{name}/gives"),
        "streams": isgeneratorfunction(job.function) or isasyncgenfunction(job.function),
    }


def _taken(channel: type[Channel]) -> set[type[Message]]:
    return {operation.message for operation in channel.receives.values()}


def _received(channel: type[Channel], edge: Edge, variants: Variants) -> tuple[Operation, ...]:
    # What a channel is for comes first: to submit something, if it takes that.
    own = sorted(channel.receives.values(), key=lambda operation: operation.message is not SystemMessage)
    return tuple(_described(operation, variants) for operation in (*own, *edge.received))


def _sent(channel: type[Channel], edge: Edge, variants: Variants) -> tuple[tuple[str, Operation], ...]:
    sent = (*channel.events.items(), *((operation.message.action_name(), operation) for operation in edge.sent))
    return tuple((action, _described(operation, variants)) for action, operation in sent)


def _described(operation: Operation, variants: Variants) -> Operation:
    [message, *_] = variants.get(operation.message, (operation.message,))
    outputs = tuple(variant for output in operation.outputs for variant in variants.get(output, (output,)))
    return replace(operation, message=message, outputs=outputs)


def _messages(channel: type[Channel], edge: Edge, variants: Variants) -> Iterable[type[Message]]:
    for operation in _received(channel, edge, variants):
        yield operation.message
        yield from _replies(operation)
    for _, operation in _sent(channel, edge, variants):
        yield from operation.outputs


def _replies(operation: Operation) -> tuple[type[Message], ...]:
    return tuple(dict.fromkeys((*operation.outputs, Error)))


def _channel(channel: type[Channel], names: Names, edge: Edge, variants: Variants) -> Json:
    summary, _, description = (channel.__doc__ or "").strip().partition("\n")
    messages = dict.fromkeys(names[message] for message in _messages(channel, edge, variants))
    return {
        "address": edge.root_path + channel.path,
        **_texts(summary, description),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _receive(channel: type[Channel], operation: Operation, names: Names, edge: Edge) -> Json:
    return {
        "action": "receive",
        **_operation(channel, operation, [operation.message], names),
        **(edge.security.needed if edge.security else {}),
        "reply": _links(channel, _replies(operation), names),
    }


def _send(channel: type[Channel], operation: Operation, names: Names) -> Json:
    return {"action": "send", **_operation(channel, operation, operation.outputs, names)}


def _operation(channel: type[Channel], operation: Operation, messages: Sequence[type[Message]], names: Names) -> Json:
    return _texts(operation.summary, operation.description) | _links(channel, messages, names)


def _links(channel: type[Channel], messages: Sequence[type[Message]], names: Names) -> Json:
    pointer = f"#/channels/{channel.name}"
    return {
        "channel": {"$ref": pointer},
        "messages": [{"$ref": f"{pointer}/messages/{names[message]}"} for message in messages],
    }


def _message(message: type[Message], name: str, schemas: Json) -> Json:
    summary, _, description = (message.__doc__ or "").strip().partition("\n")
    described: Json = {
        "name": message.action_name(),
        "title": message.__name__,
        **_texts(summary, description),
        "contentType": "application/json",
        "payload": {"$ref": SCHEMAS + name},
        "x-modes": [*modes_of(message)],
    }
    if "ref" in schemas[name]["properties"]:
        described["correlationId"] = {"$ref": "#/components/correlationIds/ref"}
    if examples := examples_of(message, schemas[name], schemas):
        described["examples"] = examples
    return described


def _texts(summary: str, description: str) -> Json:
    texts = {"summary": " ".join(summary.split()), "description": " ".join(description.split())}
    return {key: text for key, text in texts.items() if text}
