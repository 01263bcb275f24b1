"""Examples of messages in each mode: those that their models name, else some made from the schema."""

from __future__ import annotations

import json
from typing import Any

from pydantic import ValidationError

from bus.messages import ClientMessage, Message, SystemMessage
from quart_app.web.asyncapi.modes import MODES, PLAIN, modes_of

Json = dict[str, Any]

SCHEMAS = "#/components/schemas/"
REF = "1"
_TEXTS = {
    "date": "2026-01-02",
    "date-time": "2026-01-02T03:04:05Z",
    "time": "03:04:05",
    "duration": "PT1M",
    "uuid": "8d2f0c1e-5a67-4b3c-9f10-2e4d6a8b0c1d",
    "email": "ann@example.com",
    "uri": "https://example.com/",
}
"""By format, a text of it."""


def examples_of(message: type[Message], schema: Json, schemas: Json) -> list[Json]:
    """Whole frames, each as `payload`, beside the mode as `name` where it is sent so in one of two modes alone.

    The model's own examples, or one put together from those of its fields; of `system_message` one for each job. Only
    what the model accepts: a type of a job's own may take less than its schema says.
    """
    if own := schema.get("examples"):
        examples = [{"payload": frame} for frame in own]
    else:
        kinds = [schema]
        if issubclass(message, SystemMessage) and "oneOf" in (payload := schema["properties"]["payload"]):
            kinds = [schema | {"properties": schema["properties"] | {"payload": one}} for one in payload["oneOf"]]
        examples = [example for kind in kinds for example in _by_mode(message, kind, schemas)]
    return [example for example in examples if _accepts(message, example["payload"])]


def _by_mode(message: type[Message], schema: Json, schemas: Json) -> list[Json]:
    """A frame for each mode, or one for both.

    Clients of plain mode are most often those that say no more than they must, so they give no `ref`, and get none.
    """
    properties = schema["properties"]
    with_ref = {"ref": properties["ref"] | {"examples": [REF]}} if "ref" in properties else {}
    whole = _example(schema | {"properties": properties | with_ref}, schemas)
    spare = set(whole).difference(schema["required"]) if issubclass(message, ClientMessage) else {"ref"}
    least = {key: value for key, value in whole.items() if key not in spare}
    if least == whole or PLAIN not in modes_of(message):
        return [{"payload": whole}]
    return [{"name": mode, "payload": frame} for mode, frame in zip(MODES, (least, whole), strict=True)]


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
            return _TEXTS.get(schema.get("format", ""), "text")
        case "boolean":
            return True
    return None


def _has_examples(schema: Json, schemas: Json) -> bool:
    """Whether a key, or one directly in it, is worth showing though it may be left out."""
    refs = [ref["$ref"].removeprefix(SCHEMAS) for ref in schema.get("allOf", ())]
    inside = [key for ref in refs for key in schemas[ref].get("properties", {}).values()]
    return any("examples" in one for one in (schema, *inside))
