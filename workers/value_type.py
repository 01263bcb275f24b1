"""ValueType: a type of values that travel as JSON, such as what a job takes or gives."""

from __future__ import annotations

from functools import cached_property
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import to_json

from bus.messages import ErrorItem
from workers.errors import Misfit
from workers.json_value import flaw

MOST_ITEMS = 20
"""Of the mistakes in one value so many are told, and how many more there are."""
LONGEST_MESSAGE = 300
LONGEST_KEY = 100
"""Characters of a mistake's message and of each key that leads to it: both may quote what a client wrote."""


class ValueType:
    """A type of values that travel as JSON.

    Args:
        hint: any type that pydantic knows.

    Raises:
        Exception: pydantic cannot check it, or cannot describe it as a JSON Schema.
    """

    def __init__(self, hint: Any = str) -> None:
        self.hint = hint
        self.is_text = hint is str
        self.adapter: TypeAdapter[Any] = TypeAdapter(hint)
        _ = self.taken, self.given

    @cached_property
    def taken(self) -> dict[str, Any]:
        """The JSON Schema of what is accepted."""
        return self.adapter.json_schema(mode="validation")

    @cached_property
    def given(self) -> dict[str, Any]:
        """The JSON Schema of what is handed out."""
        return self.adapter.json_schema(mode="serialization")

    def load(self, value: object) -> Any:
        """The Python value of a JSON value.

        Raises:
            Misfit: it is not of this type.
        """
        try:
            if self.is_text:
                return self.adapter.validate_python(value, strict=True)
            _require_json("content", value)
            return self.adapter.validate_json(to_json(value))
        except ValidationError as error:
            raise Misfit("content", _items(error)) from error

    def dump(self, value: object) -> Any:
        """The JSON value of a Python value.

        Raises:
            Misfit: it is not of this type, or JSON has no such value.
        """
        try:
            valid = self.adapter.validate_python(value)
        except ValidationError as error:
            raise Misfit("result", _items(error)) from error
        return as_json(valid, "result", self.adapter)


TEXT = ValueType()
ANYTHING: TypeAdapter[Any] = TypeAdapter(Any)


def as_json(value: object, what: str = "content", adapter: TypeAdapter[Any] = ANYTHING) -> Any:
    """The JSON value of a Python value.

    Args:
        what: "content" or "result", for the error.
        adapter: of its type.

    Raises:
        Misfit: JSON has no such value.
    """
    try:
        plain = adapter.dump_python(value, by_alias=True, warnings=False)
        dumped = adapter.dump_python(value, mode="json", by_alias=True, warnings="error")
    except ValueError as error:  # of the serializer, which says it in several ways
        text = " ".join(str(error).removeprefix("Pydantic serializer warnings:").split())
        raise Misfit(what, (ErrorItem(type="serialization", loc=(), msg=_short(text)),)) from error
    _require_json(what, _with_what_became_null(plain, dumped))
    return dumped


def _with_what_became_null(plain: object, dumped: object) -> object:
    """What pydantic makes of a value, with the numbers that it made null without a word: those that are not finite."""
    match plain, dumped:
        case float(), None:
            return plain
        case dict(), dict() if len(plain) == len(dumped):
            items = zip(dumped.items(), plain.values(), strict=True)
            return {key: _with_what_became_null(one, item) for (key, item), one in items}
        case list() | tuple() | set() | frozenset(), list() if len(plain) == len(dumped):
            return [_with_what_became_null(one, item) for one, item in zip(plain, dumped, strict=True)]
    return dumped


def _require_json(what: str, value: object) -> None:
    if (found := flaw(value)) is not None:
        raise Misfit(what, (found.model_copy(update={"loc": _loc(found.loc)}),))


def _items(error: ValidationError) -> tuple[ErrorItem, ...]:
    details = error.errors(include_url=False, include_context=False, include_input=False)
    items = [
        ErrorItem(type=_short(one["type"]), loc=_loc(one["loc"]), msg=_short(one["msg"]))
        for one in details[:MOST_ITEMS]
    ]
    if more := len(details) - len(items):
        items.append(ErrorItem(type="too_many_errors", loc=(), msg=f"{more:,} more mistakes are not listed"))
    return tuple(items)


def _loc(loc: tuple[str | int, ...]) -> tuple[str | int, ...]:
    return tuple(_short(part, LONGEST_KEY) if isinstance(part, str) else part for part in loc)


def _short(text: str, length: int = LONGEST_MESSAGE) -> str:
    encodable = text[: length + 1].encode("utf-8", "replace").decode()
    return encodable if len(encodable) <= length else encodable[: length - 1] + "…"
