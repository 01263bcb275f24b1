"""What a JSON Schema says, in words: which type a value has, and within which limits."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from quart_app.web.asyncapi.examples import Json

LIMITS = {
    "character": ("minLength", "maxLength"),
    "item": ("minItems", "maxItems"),
    "key": ("minProperties", "maxProperties"),
}
"""By what is counted, the keywords of the smallest and the largest count."""

BOUNDS = {"minimum": "≥", "exclusiveMinimum": ">", "maximum": "≤", "exclusiveMaximum": "<"}
"""By keyword, the sign before the number."""

CHOICES = ("anyOf", "oneOf")


@dataclass(frozen=True, slots=True)
class Resolved:
    """A schema with what it refers to in place.

    Args:
        schema: the keywords; those beside a reference come before those of what it leads to.
        refs: the references that were followed.
    """

    schema: Json
    refs: tuple[str, ...] = ()


@dataclass(frozen=True)
class SchemaWords:
    """Words about the schemas of one document.

    Args:
        document: where references lead to.
    """

    document: Json = field(repr=False)

    def resolve(self, schema: Json) -> Resolved:
        """Follow `$ref`, and an `allOf` of one."""
        refs: tuple[str, ...] = ()
        while True:
            if (ref := schema.get("$ref")) is not None and ref not in refs:
                refs = (*refs, ref)
                beside = {key: value for key, value in schema.items() if key != "$ref"}
                schema = self._target(ref) | beside
            elif len(parts := schema.get("allOf", ())) == 1:
                beside = {key: value for key, value in schema.items() if key != "allOf"}
                schema = parts[0] | beside
            else:
                return Resolved(schema, refs)

    def type_of(self, schema: Json, inside: tuple[str, ...] = ()) -> str:
        """The type of a value, as in "array of string or null".

        Args:
            schema: the value's.
            inside: the references whose schema it stands in, which are not described again.
        """
        resolved = self.resolve(schema)
        if set(resolved.refs) & set(inside):
            return "the same"
        node, inside = resolved.schema, (*inside, *resolved.refs)
        if "const" in node:
            return as_json(node["const"])
        if "enum" in node:
            return _either(as_json(value) for value in node["enum"])
        if choices := choices_of(node):
            told = self._with_limits if sum(choice != {"type": "null"} for choice in choices) > 1 else self.type_of
            return _either(told(choice, inside) for choice in choices)
        kinds = node.get("type") or ("object" if "properties" in node or "allOf" in node else "any value")
        return _either(self._of_kind(kind, node, inside) for kind in ([kinds] if isinstance(kinds, str) else kinds))

    def _of_kind(self, kind: str, node: Json, inside: tuple[str, ...]) -> str:
        if kind == "array":
            items = node.get("items") or []
            several = items if isinstance(items, list) else [items]
            return f"array of {_either(self._with_limits(item, inside) for item in several)}" if several else kind
        if kind == "object" and isinstance(values := node.get("additionalProperties"), dict):
            return f"object of {self._with_limits(values, inside)}"
        return kind

    def _with_limits(self, schema: Json, inside: tuple[str, ...]) -> str:
        return with_limits(self.type_of(schema, inside), limits_of(self.resolve(schema).schema))

    def _target(self, ref: str) -> Json:
        target: Any = self.document
        for part in ref.removeprefix("#/").split("/"):
            target = target[part]
        found: Json = target
        return found


def choices_of(node: Json) -> list[Json]:
    """The schemas of which a value fits one; none where there is no choice."""
    return next((node[key] for key in CHOICES if key in node), [])


def limits_of(node: Json) -> tuple[str, ...]:
    """What a value has to keep to, such as "at most 64 characters"."""
    counts = [_count(unit, node.get(least), node.get(most)) for unit, (least, most) in LIMITS.items()]
    bounds = [f"{sign} {node[keyword]}" for keyword, sign in BOUNDS.items() if keyword in node]
    return tuple(limit for limit in (*counts, *bounds) if limit)


def with_limits(type_: str, limits: Iterable[str]) -> str:
    """The type, and behind it in brackets the limits if there are any."""
    told = ", ".join(limits)
    return f"{type_} ({told})" if told else type_


def as_json(value: object) -> str:
    """A value as it is written in a frame, on one line."""
    return json.dumps(value, ensure_ascii=False)


def _count(unit: str, least: int | None, most: int | None) -> str:
    if least is not None and least == most:
        return f"exactly {_number(least, unit)}"
    if most is None:
        return "" if least is None else f"at least {_number(least, unit)}"
    return f"at most {_number(most, unit)}" if least is None else f"{least} to {_number(most, unit)}"


def _number(count: int, unit: str) -> str:
    return f"{count} {unit}" + ("" if count == 1 else "s")


def _either(types: Iterable[str]) -> str:
    return " or ".join(dict.fromkeys(types))
