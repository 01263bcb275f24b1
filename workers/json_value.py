"""What a JSON value may be, so that every part of the system can store, read and show it."""

from __future__ import annotations

import math

from bus.messages import ErrorItem

MOST_LEVELS = 100
"""How deep lists and objects may be in each other. pydantic reads 200 levels, and a frame is a few more."""
LONGEST_INTEGER = 14_000
"""Bits of an integer, about 4,200 digits; Python and pydantic read 4,300."""


def flaw(value: object) -> ErrorItem | None:
    """The first thing for which a value cannot travel as JSON, in the form of pydantic's error items; None without one.

    Args:
        value: of JSON's types; its size in bytes is somebody else's concern.
    """
    pending: list[tuple[object, tuple[str | int, ...]]] = [(value, ())]
    while pending:
        node, loc = pending.pop()
        if (found := _flaw(node, len(loc))) is not None:
            return ErrorItem(type=found[0], loc=loc, msg=found[1])
        if isinstance(node, dict):
            if not all(isinstance(key, str) and _encodes(key) for key in node):
                return ErrorItem(type="string_unicode", loc=loc, msg="Keys should be valid Unicode text")
            pending.extend((item, (*loc, key)) for key, item in reversed(node.items()))
        elif isinstance(node, list):
            pending.extend((item, (*loc, index)) for index, item in reversed(list(enumerate(node))))
    return None


def _flaw(node: object, level: int) -> tuple[str, str] | None:
    match node:
        case dict() | list() if level >= MOST_LEVELS:
            return "too_deep", f"Lists and objects may be {MOST_LEVELS} deep in each other"
        case float() if not math.isfinite(node):
            return "finite_number", "Input should be a finite number: JSON has no other"
        case int() if node.bit_length() > LONGEST_INTEGER:
            return "int_parsing_size", "Integers may have about 4,200 digits"
        case str() if not _encodes(node):
            return "string_unicode", "Input should be a valid string, without lone surrogates"
    return None


def _encodes(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True
