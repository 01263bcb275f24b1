"""The JSON Schemas of messages, as AsyncAPI takes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode, JsonSchemaValue, models_json_schema
from pydantic_core import core_schema

from bus.messages import ClientMessage, JobResult, Message
from quart_app.web.asyncapi.examples import SCHEMAS, Json

Names = Mapping[type[Message], str]


class _Schemas(GenerateJsonSchema):
    """pydantic's JSON Schema without what AsyncAPI refuses or nobody reads."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def tagged_union_schema(self, schema: core_schema.TaggedUnionSchema) -> JsonSchemaValue:
        # AsyncAPI's discriminator is a string, pydantic's the object of OpenAPI.
        return {key: value for key, value in super().tagged_union_schema(schema).items() if key != "discriminator"}


def schemas_of(messages: Sequence[type[Message]]) -> tuple[Names, Json]:
    """Names for the messages, and by name the schema of each and of what it refers to."""
    refs, document = models_json_schema(
        [(message, _mode(message)) for message in messages],
        ref_template=SCHEMAS + "{model}",
        schema_generator=_Schemas,
    )
    names = {message: refs[message, _mode(message)]["$ref"].removeprefix(SCHEMAS) for message in messages}
    schemas = {name: _draft_7(schema) for name, schema in document.get("$defs", {}).items()}
    for message, name in names.items():
        schemas[name] = _frame(message, schemas[name])
    return names, schemas


def placed(schema: Json, pointer: str) -> Json:
    """A schema of its own at a place in the document: what it refers to is looked for there.

    Args:
        schema: as pydantic makes it, with its own `$defs`.
        pointer: where it will stand, such as "#/x-jobs/resize/takes".
    """

    def moved(node: Any) -> Any:
        if isinstance(node, list):
            return [moved(item) for item in node]
        if not isinstance(node, dict):
            return node
        node = {key: moved(value) for key, value in node.items() if key != "discriminator" or isinstance(value, str)}
        if isinstance(ref := node.get("$ref"), str) and ref.startswith("#/$defs/"):
            node["$ref"] = pointer + ref.removeprefix("#")
        return node

    placed_there: Json = _draft_7(moved(schema))
    return placed_there


def _mode(message: type[Message]) -> JsonSchemaMode:
    """Results are described as jobs give them, which may be more than they take."""
    return "serialization" if issubclass(message, JobResult) else "validation"


def _draft_7(node: Any) -> Any:
    """Say it in JSON Schema draft 7, on which AsyncAPI stands.

    It ignores what stands beside a `$ref`, which moves into `allOf`, and has `items` for the items of a tuple.
    """
    if isinstance(node, list):
        return [_draft_7(item) for item in node]
    if not isinstance(node, dict):
        return node
    node = {key: _draft_7(value) for key, value in node.items()}
    if isinstance(items := node.get("prefixItems"), list):
        del node["prefixItems"]
        node |= {"items": items, **({"additionalItems": node["items"]} if "items" in node else {})}
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
