"""The tree of a JSON Schema, as the page of the API unfolds it."""

from __future__ import annotations

from typing import Any

import pytest

from quart_app.web.asyncapi.schema_tree import MOST_REPEATED, Node, tree
from quart_app.web.asyncapi.schema_words import SchemaWords

Json = dict[str, Any]

SCHEMAS: Json = {
    "Tree": {
        "type": "object",
        "properties": {"name": {"type": "string"}, "branches": {"type": "array", "items": {"$ref": "#/s/Tree"}}},
        "required": ["name"],
    },
    "Circle": {
        "title": "Circle",
        "type": "object",
        "properties": {"shape": {"const": "circle"}, "r": {"type": "number"}},
    },
    "Square": {"title": "Square", "type": "object", "properties": {"side": {"type": "number"}}},
    "Colour": {"type": "string", "enum": ["red", "green", "blue", "black", "white"]},
}


def of(schema: Json) -> Node:
    return tree(SchemaWords({"s": SCHEMAS}), schema, "m")


def key(schema: Json) -> Node:
    """The one key of an object that has this schema."""
    [node] = of({"type": "object", "properties": {"key": schema}}).children
    return node


def told(node: Node) -> list[str]:
    return [" ".join((fact.words, *fact.values)) for fact in node.facts]


@pytest.mark.parametrize(
    ("schema", "type_", "facts"),
    [
        ({"type": "string", "maxLength": 8}, "string", ["at most 8 characters"]),
        ({"type": "string", "minLength": 1, "maxLength": 1}, "string", ["exactly 1 character"]),
        ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, "array of integer", ["at least 2 items"]),
        ({"type": "number", "exclusiveMinimum": 0, "maximum": 4}, "number", ["> 0", "≤ 4"]),
        ({"type": "integer", "default": 3, "examples": [4, 5]}, "integer", ["default 3", "such as 4 5"]),
        ({"const": "a", "examples": ["a"]}, '"a"', []),
        ({"enum": ["a", 1]}, '"a" or 1', []),
        ({"$ref": "#/s/Colour"}, "one of 5 values", ['one of "red" "green" "blue" "black" "white"']),
        ({"type": "string", "format": "date", "pattern": "^2"}, "string", ["format date", "pattern ^2"]),
        ({"type": "object", "additionalProperties": {"type": "integer", "minimum": 0}}, "object of integer (≥ 0)", []),
        ({"type": "object", "additionalProperties": False}, "object", ["no other keys"]),
        ({"type": "string", "not": {"enum": ["a"]}}, "string", ['none of "a"']),
        ({"anyOf": [{"type": "number", "minimum": 0}, {"type": "null"}]}, "number or null", ["≥ 0"]),
        ({"anyOf": [{"type": "number", "minimum": 0}, {"type": "string"}]}, "number (≥ 0) or string", []),
        ({"allOf": [{"$ref": "#/s/Colour"}], "default": "red"}, "one of 5 values", ['default "red"']),
        ({"type": ["string", "null"]}, "string or null", []),
        ({}, "any value", []),
    ],
)
def test_a_value_is_told_by_its_type_and_what_else_is_known(schema: Json, type_: str, facts: list[str]) -> None:
    node = key(schema)
    assert (node.brief, node.children) == (type_, ())
    assert set(facts) <= set(told(node))
    assert len(told(node)) == len(facts) or "$ref" in str(schema)


def test_an_object_has_its_keys_and_which_are_always_there() -> None:
    node = key({"$ref": "#/s/Tree"})
    assert [(one.name, one.required, one.path) for one in node.children] == [
        ("name", True, "key.name"),
        ("branches", False, "key.branches"),
    ]


def test_a_model_in_itself_is_shown_once_and_linked_to() -> None:
    node = key({"$ref": "#/s/Tree"})
    [item] = node.children[1].children
    assert (item.name, item.same_as, item.children) == ("each item", node.anchor, ())


def test_of_several_objects_each_is_shown_under_what_it_is_told_by() -> None:
    node = key({"oneOf": [{"$ref": "#/s/Circle"}, {"$ref": "#/s/Square"}, {"type": "null"}]})
    assert node.brief == "object or null, one of 2"
    assert [(one.kind, one.name) for one in node.children] == [("choice", 'shape "circle"'), ("choice", "Square")]
    assert [one.path for one in node.all_keys()] == ["key.shape", "key.r", "key.side"]


def test_items_and_values_are_shown_where_the_type_does_not_say_it_all() -> None:
    [item] = key({"type": "array", "items": {"type": "string", "description": "A name."}}).children
    assert (item.name, item.description) == ("each item", "A name.")
    pair = key({"type": "array", "items": [{"$ref": "#/s/Square"}, {"type": "string"}]})
    assert [one.name for one in pair.children] == ["item 1"]
    by_key = key({"type": "object", "additionalProperties": {"$ref": "#/s/Square"}})
    assert [one.name for one in by_key.children] == ["each key"]


def test_every_node_has_an_address_of_its_own() -> None:
    choices = [{"type": "object", "properties": {"a b": {"type": "string"}}} for _ in range(3)]
    [node] = of({"properties": {"key": {"oneOf": choices}}}).children
    anchors = [node.anchor, *(child.anchor for child in node.children), *(one.anchor for one in node.all_keys())]
    assert len(set(anchors)) == len(anchors)
    assert not [anchor for anchor in anchors if " " in anchor]


def test_what_models_hold_many_times_over_is_not_shown_each_time() -> None:
    deep = {
        f"L{level}": {
            "type": "object",
            "properties": {name: {"$ref": f"#/s/L{level + 1}"} for name in "abcdef"},
        }
        for level in range(7)
    } | {"L7": {"type": "string"}}
    root = tree(SchemaWords({"s": deep}), {"$ref": "#/s/L0"}, "m")
    keys = list(root.all_keys())
    assert len(keys) < 2 * MOST_REPEATED
    shown = {root.anchor, *(one.anchor for one in keys)}
    assert {one.same_as for one in keys if one.same_as} <= shown
