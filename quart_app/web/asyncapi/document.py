"""The AsyncAPI 3.1 document, made from the channel classes and the models of their messages.

    build([SystemChannel])["channels"]["system"]["address"]  # "/ws/system"

Directions are the server's, as AsyncAPI wants them: `receive` is what a client sends. A message's `payload` in the
sense of AsyncAPI is the whole frame, so the frame's own key `payload` is one of its properties.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import version as installed_version
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from bus.messages import ClientMessage, Connect, Error, Message, ResumeToken, Welcome
from quart_app.channel import Channel, Operation
from quart_app.web.asyncapi.examples import SCHEMAS, Json, examples_of

Names = Mapping[type[Message], str]

ASYNCAPI = "3.1.0"

DESCRIPTION = (
    "JSON text frames over WebSocket: `action` says what a frame is, `payload` is its content, and further flat keys "
    "may stand beside them. Ignore keys and actions that you do not know.\n\n"
    "A frame may carry `ref`; what answers it repeats that. A frame that cannot be accepted is answered with `error`, "
    "and the connection stays open.\n\n"
    "With the WebSocket subprotocol `bus.v1` the first frame is `connect`, and a client that comes back gets what it "
    "missed. Without a subprotocol every connection is a new client, nothing is replayed, and `job_started`, "
    "`job_progress` and `job_output` are not sent."
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

RENEWAL = Operation(
    name="renewal",
    message=ResumeToken,
    outputs=(ResumeToken,),
    summary="A connected client gets a newer resume token now and then.",
    description="With the subprotocol `bus.v1` only. Who comes back with the newest is the client it was.",
    method=None,
)
"""What `quart_app.websocket.renewal` does for every connection."""


def build(channels: Iterable[type[Channel]], *, title: str = "busctl", version: str | None = None) -> Json:
    """Describe what `channels` take and send. The same channels always give the same document.

    Args:
        channels: the endpoints.
        title: the name of the application.
        version: its version; by default the installed one.
    """
    channels = tuple(channels)
    messages = list(dict.fromkeys(message for channel in channels for message in _messages(channel)))
    names, schemas = _schemas(messages)
    operations: Json = {}
    for channel in channels:
        for operation in _received(channel):
            operations[f"{channel.name}_receive_{operation.message.action_name()}"] = _receive(
                channel, operation, names
            )
        for action, operation in _sent(channel):
            if operation.outputs:
                operations[f"{channel.name}_send_{action}"] = _send(channel, operation, names)
    return {
        "asyncapi": ASYNCAPI,
        "info": {
            "title": title,
            "version": version or installed_version("busctl"),
            "description": DESCRIPTION,
            "license": {"name": "MIT"},
        },
        "defaultContentType": "application/json",
        "channels": {channel.name: _channel(channel, names) for channel in channels},
        "operations": operations,
        "components": {
            "messages": {names[message]: _message(message, names[message], schemas) for message in messages},
            "schemas": schemas,
            "correlationIds": {
                "ref": {
                    "description": "The `ref` of a client's frame, repeated by what answers it.",
                    "location": "$message.payload#/ref",
                }
            },
        },
    }


def _received(channel: type[Channel]) -> tuple[Operation, ...]:
    return (HANDSHAKE, *channel.receives.values())


def _sent(channel: type[Channel]) -> tuple[tuple[str, Operation], ...]:
    return (*channel.events.items(), (RENEWAL.message.action_name(), RENEWAL))


def _messages(channel: type[Channel]) -> Iterable[type[Message]]:
    for operation in _received(channel):
        yield operation.message
        yield from _replies(operation)
    for _, operation in _sent(channel):
        yield from operation.outputs


def _replies(operation: Operation) -> tuple[type[Message], ...]:
    return tuple(dict.fromkeys((*operation.outputs, Error)))


def _channel(channel: type[Channel], names: Names) -> Json:
    summary, _, description = (channel.__doc__ or "").strip().partition("\n")
    messages = dict.fromkeys(names[message] for message in _messages(channel))
    return {
        "address": channel.path,
        **_texts(summary, description),
        "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in messages},
        "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
    }


def _receive(channel: type[Channel], operation: Operation, names: Names) -> Json:
    return {
        "action": "receive",
        **_operation(channel, operation, [operation.message], names),
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
    }
    if "ref" in schemas[name]["properties"]:
        described["correlationId"] = {"$ref": "#/components/correlationIds/ref"}
    if examples := examples_of(message, schemas[name], schemas):
        described["examples"] = [{"payload": example} for example in examples]
    return described


def _texts(summary: str, description: str) -> Json:
    texts = {"summary": " ".join(summary.split()), "description": " ".join(description.split())}
    return {key: text for key, text in texts.items() if text}


# --- schemas ---------------------------------------------------------------------------------------------


class _Schemas(GenerateJsonSchema):
    """pydantic's JSON Schema without what AsyncAPI refuses or nobody reads."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        # AsyncAPI's discriminator is a string, pydantic's the object of OpenAPI.
        return {key: value for key, value in super().tagged_union_schema(schema).items() if key != "discriminator"}


def _schemas(messages: Sequence[type[Message]]) -> tuple[Names, Json]:
    """Names for the messages, and by name the schema of each and of what it refers to."""
    refs, document = models_json_schema(
        [(message, "validation") for message in messages],
        ref_template=SCHEMAS + "{model}",
        schema_generator=_Schemas,
    )
    names = {message: refs[message, "validation"]["$ref"].removeprefix(SCHEMAS) for message in messages}
    schemas = {name: _wrap_refs(schema) for name, schema in document.get("$defs", {}).items()}
    for message, name in names.items():
        schemas[name] = _frame(message, schemas[name])
    return names, schemas


def _wrap_refs(node: Any) -> Any:
    """Move a `$ref` with neighbours into `allOf`: JSON Schema draft 7, on which AsyncAPI stands, ignores them."""
    if isinstance(node, list):
        return [_wrap_refs(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _wrap_refs(value) for key, value in node.items()}
    if isinstance(node.get("$ref"), str) and len(node) > 1:
        ref = node.pop("$ref")
        return {"allOf": [{"$ref": ref}], **node}
    return node


def _frame(message: type[Message], schema: Json) -> Json:
    """The schema of a frame as `Message.encode` writes it: action and payload first, flat keys left out when None."""
    flat = dict(schema["properties"])
    action = _without_default(flat.pop("action"))
    payload = flat.pop("payload")
    properties = {
        "action": action,
        "payload": _without_default(payload) if payload.get("default") is None else payload,
        **{key: _without_null(value) for key, value in flat.items()},
    }
    always = {"action"} if issubclass(message, ClientMessage) else {"action", "payload"}
    required = always.union(schema.get("required", ()))
    return schema | {"properties": properties, "required": [key for key in properties if key in required]}


def _without_default(schema: Json) -> Json:
    return {key: value for key, value in schema.items() if key != "default"}


def _without_null(schema: Json) -> Json:
    if schema.get("default", ...) is None:
        schema = _without_default(schema)
    choices = [choice for choice in schema.get("anyOf", ()) if choice != {"type": "null"}]
    if not choices:
        return schema
    rest = {key: value for key, value in schema.items() if key != "anyOf"}
    return rest | (choices[0] if len(choices) == 1 else {"anyOf": choices})


# --- examples --------------------------------------------------------------------------------------------
