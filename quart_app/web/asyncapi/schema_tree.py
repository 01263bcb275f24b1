"""A JSON Schema as a tree that a page can unfold: keys, items, and what a value may be instead."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Literal

from quart_app.web.asyncapi.examples import Json
from quart_app.web.asyncapi.schema_words import (
    BOUNDS,
    LIMITS,
    SchemaWords,
    as_json,
    choices_of,
    limits_of,
    with_limits,
)

MOST_REPEATED = 300
"""Nodes of one tree from which on a model that was shown in it before is referred to, and not shown again."""

MOST_ON_A_LINE = 4
"""Values of an enumeration that are told by its type."""

_VALUES = "one of"
_LIMITS = {keyword for pair in LIMITS.values() for keyword in pair}.union(BOUNDS)
_TOLD_ELSEWHERE = {
    *_LIMITS,
    *("type", "title", "description", "const", "enum", "anyOf", "oneOf", "allOf", "$ref", "$defs"),
    *("properties", "required", "patternProperties", "additionalProperties", "items", "additionalItems"),
    *("default", "examples", "not", "x-parser-schema-id"),
}
"""Keywords that are said by more than themselves."""


@dataclass(frozen=True)
class Fact:
    """Something more about a value: in words, or in words and values, such as "default" and `1`."""

    words: str
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Node:
    """One value.

    Args:
        kind: a key of an object, what an object or array holds, or one of several that a value may be.
        name: the key, or words for the others.
        path: which keys lead to it, as in `payload[].loc`.
        anchor: its id on the page.
        type: as in "array of string".
        required: whether a key is always there.
        description: of the schema.
        facts: limits, default and so on.
        same_as: the anchor of a node of the same model, which is not shown again here.
        children: what is in it.
    """

    kind: Literal["key", "part", "choice"]
    name: str
    path: str
    anchor: str
    type: str
    required: bool
    description: str
    facts: tuple[Fact, ...]
    same_as: str | None = None
    children: tuple[Node, ...] = ()

    def all_keys(self) -> Iterator[Node]:
        """All keys in it, depth first."""
        for child in self.children:
            if child.kind == "key":
                yield child
            yield from child.all_keys()

    @property
    def folds(self) -> bool:
        """Whether something in it has something in it."""
        return any(child.children for child in self.children)

    @property
    def brief(self) -> str:
        """The type, without the values that stand among the facts, and how many choices are among the children."""
        values = next((fact.values for fact in self.facts if fact.words == _VALUES), ())
        choices = sum(child.kind == "choice" for child in self.children)
        if choices > 1:
            return f"{self.type}, one of {choices}"
        return f"one of {len(values)} values" if values else self.type

    @property
    def type_and_limits(self) -> str:
        """Both on one line."""
        return with_limits(self.type, (fact.words for fact in self.facts if not fact.values))


def tree(words: SchemaWords, schema: Json, anchor: str) -> Node:
    """The tree of a schema.

    Args:
        words: of the document in which it stands.
        schema: of the whole value.
        anchor: begins the id of every node.
    """
    return _Tree(words, anchor).root(schema)


class _Tree:
    """One tree while it grows. A model within itself is not shown again, so it ends."""

    def __init__(self, words: SchemaWords, anchor: str) -> None:
        self._words = words
        self._anchor = anchor
        self._taken: dict[str, int] = {}
        self._shown: dict[str, str] = {}  # by reference, the anchor of the node that shows it
        self._size = 0

    def root(self, schema: Json) -> Node:
        return self._node("part", "", "", schema, required=True, inside={})

    def _node(
        self,
        kind: Literal["key", "part", "choice"],
        name: str,
        path: str,
        schema: Json,
        *,
        required: bool,
        inside: dict[str, str],
    ) -> Node:
        """A node with its children; `inside` are the anchors of the models in which it stands, by reference."""
        self._size += 1
        anchor = self._new_anchor(path)
        resolved = self._words.resolve(schema)
        refs, node = list(resolved.refs), _without_null(resolved.schema)
        if node is not resolved.schema:
            inner = self._words.resolve(node)
            refs, node = [*refs, *inner.refs], inner.schema
        known = inside | (self._shown if self._size > MOST_REPEATED else {})
        same_as = next((known[ref] for ref in refs if ref in known), None)
        for ref in refs:
            self._shown.setdefault(ref, anchor)
        below = inside | dict.fromkeys(refs, anchor)
        return Node(
            kind,
            name,
            path,
            anchor,
            self._words.type_of(schema, tuple(inside)),
            required,
            node.get("description", ""),
            tuple(_facts(node)),
            same_as,
            () if same_as else tuple(self._children(path, node, below)),
        )

    def _children(self, path: str, node: Json, inside: dict[str, str]) -> Iterator[Node]:
        for key, value in node.get("properties", {}).items():
            below = f"{path}.{key}" if path else key
            yield self._node("key", key, below, value, required=key in node.get("required", ()), inside=inside)
        for name, end, value in (*_values(node), *_items(node)):
            part = self._node("part", name, path + end, value, required=True, inside=inside)
            told = all(not fact.values for fact in part.facts) and not part.description
            if part.children or part.same_as or not told:
                yield part  # otherwise the type has said it, with the limits
        parts = [("also", part) for part in node.get("allOf", ())]
        choices = [choice for choice in choices_of(node) if choice != {"type": "null"}]
        named = [(self._named(choice), choice) for choice in choices] if self._worth_telling(choices) else []
        for name, choice in (*parts, *named):
            yield self._node("choice", name, path, choice, required=True, inside=inside)

    def _worth_telling(self, choices: Iterable[Json]) -> bool:
        """Whether one of them has more to it than its type and limits."""
        kinds = [self._words.resolve(choice).schema for choice in choices]
        return any({*kind} - {"type", "title", "const", *_LIMITS} for kind in kinds)

    def _named(self, choice: Json) -> str:
        """By what one choice is told from the others."""
        node = self._words.resolve(choice).schema
        fixed = [f"{key} {as_json(one['const'])}" for key, one in node.get("properties", {}).items() if "const" in one]
        return ", ".join(fixed) or str(node.get("title", ""))

    def _new_anchor(self, path: str) -> str:
        wanted = f"{self._anchor}--{re.sub(r'[^A-Za-z0-9_.-]+', '-', path)}" if path else self._anchor + "--frame"
        count = self._taken[wanted] = self._taken.get(wanted, 0) + 1
        return wanted if count == 1 else f"{wanted}--{count}"


def _without_null(node: Json) -> Json:
    """The only choice beside null, with what stands beside the choice; the same node where there is none or more."""
    choices = [choice for choice in choices_of(node) if choice != {"type": "null"}]
    if len(choices) != 1:
        return node
    beside = {key: value for key, value in node.items() if key not in ("anyOf", "oneOf")}
    [choice] = choices
    return {"allOf": [choice], **beside} if "$ref" in choice else choice | beside


def _values(node: Json) -> Iterator[tuple[str, str, Json]]:
    for pattern, value in node.get("patternProperties", {}).items():
        yield f"each key like {pattern}", ".*", value
    if isinstance(value := node.get("additionalProperties"), dict):
        yield "each other key" if "properties" in node else "each key", ".*", value


def _items(node: Json) -> Iterator[tuple[str, str, Json]]:
    items = node.get("items") or []
    if isinstance(items, dict):
        yield "each item", "[]", items
        return
    for number, item in enumerate(items, 1):
        yield f"item {number}", f"[{number - 1}]", item
    if isinstance(more := node.get("additionalItems"), dict):
        yield "each further item", "[]", more


def _facts(node: Json) -> Iterator[Fact]:
    yield from map(Fact, limits_of(node))
    if len(values := node.get("enum", ())) > MOST_ON_A_LINE:
        yield Fact(_VALUES, tuple(map(as_json, values)))
    if set(unlike := node.get("not", {})) == {"enum"}:
        yield Fact("none of", tuple(map(as_json, unlike["enum"])))
    elif unlike:
        yield Fact("not", (as_json(unlike),))
    if "default" in node:
        yield Fact("default", (as_json(node["default"]),))
    if node.get("additionalProperties") is False:
        yield Fact("no other keys")
    for keyword, value in node.items():
        if keyword not in _TOLD_ELSEWHERE:
            yield Fact(keyword, (value if isinstance(value, str) else as_json(value),))
    if node.get("examples") and "const" not in node:
        yield Fact("such as", tuple(map(as_json, node["examples"])))
