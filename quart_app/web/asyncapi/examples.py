"""Examples of messages: those that their models name, else one made from the schema."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from bus.messages import Message, SystemMessage

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"


def examples_of(message: type[Message], schema: Json, schemas: Json) -> list[Any]:
    """The model's own examples, or one put together from those of its fields; of `system_message` one for each job.

    Only what the model accepts: a type of a job's own may take less than its schema says.
    """
    kinds = [schema]
    if issubclass(message, SystemMessage) and "oneOf" in (payload := schema["properties"]["payload"]):
        kinds = [schema | {"properties": schema["properties"] | {"payload": one}} for one in payload["oneOf"]]
    examples = schema.get("examples") or [_example(kind, schemas) for kind in kinds]
    return [example for example in examples if _accepts(message, example)]


def _accepts(message: type[Message], example: Any) -> bool:
    try:
        message.model_validate_json(json.dumps(example))
    except ValidationError:
        return False
    return True


def _example(schema: Json, schemas: Json, inside: tuple[str, ...] = ()) -> Any:
    if "examples" in schema:
        return schema["examples"][0]
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(SCHEMAS)
        return None if name in inside else _example(schemas[name], schemas, (*inside, name))
    if "allOf" in schema:
        return _example(schema["allOf"][0], schemas, inside)
    for key in ("const", "default"):
        if key in schema:
            return schema[key]
    if "enum" in schema:
        return schema["enum"][0]
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return _example(schema[key][0], schemas, inside)
    match schema.get("type"):
        case "object":
            required = schema.get("required", ())
            properties = schema.get("properties", {})
            shown = {k: v for k, v in properties.items() if k in required or _has_examples(v, schemas)}
            return {key: _example(value, schemas, inside) for key, value in shown.items()}
        case "array":
            items = schema.get("items") or []
            several = items if isinstance(items, list) else [items]
            return [_example(item, schemas, inside) for item in several]
        case "integer" | "number":
            return schema.get("minimum", 0)
        case "string":
            return "text"
        case "boolean":
            return True
    return None


def _has_examples(schema: Json, schemas: Json) -> bool:
    """Whether a key, or one directly in it, is worth showing though it may be left out."""
    refs = [ref["$ref"].removeprefix(SCHEMAS) for ref in schema.get("allOf", ())]
    inside = [key for ref in refs for key in schemas[ref].get("properties", {}).values()]
    return any("examples" in one for one in (schema, *inside))
