"""Signature: what a job takes and gives, as the annotations of its function say.

    signature = Signature.of(resize)  # def resize(content: Resize, job: JobContext) -> Resized
    signature.check({"width": 10})    # raises Misfit when it is no Resize
    signature.dump(Resized(bytes=7))  # {"bytes": 7}

Content is read as pydantic's `validate_json` reads it: lax, unless a model says `strict`. What is annotated with `str`
or not at all is text.
"""

from __future__ import annotations

import inspect
from collections.abc import AsyncGenerator, AsyncIterable, AsyncIterator, Callable, Generator, Iterable, Iterator
from dataclasses import dataclass
from types import NoneType, SimpleNamespace
from typing import Any, Never, NoReturn, get_args, get_origin, get_type_hints

from bus.messages import ErrorItem
from workers.errors import JobDefinitionError, Misfit
from workers.value_type import TEXT, ValueType

PIECES = (Iterator, Iterable, Generator, AsyncIterator, AsyncIterable, AsyncGenerator)
"""What a function returns that yields its text in pieces."""
NO_VALUE = (None, NoneType, Never, NoReturn)
"""What a function returns that writes its text, or that only raises."""


@dataclass(frozen=True)
class Signature:
    """What one job takes and gives.

    Args:
        name: of the job, for messages.
        takes: the type of its content.
        gives: the type of its result. Of a function that yields, or is annotated with None, it is text.
    """

    name: str
    takes: ValueType = TEXT
    gives: ValueType = TEXT

    @classmethod
    def of(cls, function: Callable[..., Any], name: str) -> Signature:
        """The signature of a job's function.

        Raises:
            JobDefinitionError: an annotation cannot be found, pydantic cannot check it or make a JSON Schema of it, or
                the function yields anything but text.
        """
        where = f"job {name!r} ({function.__module__}.{getattr(function, '__qualname__', type(function).__qualname__)})"
        hints = _hints(function, where)
        takes = _value_type(hints.get("content", str), f"{where}: content")
        returned = hints.get("return", str)
        if returned in NO_VALUE or _yields(function, returned, where):
            return cls(name, takes)
        return cls(name, takes, _value_type(returned, f"{where}: what it returns"))

    @property
    def is_text(self) -> bool:
        """Whether it takes and gives text, like the jobs that need no annotations."""
        return self.takes.is_text and self.gives.is_text

    def check(self, content: object) -> None:
        """Make sure that the job can take this content.

        Raises:
            Misfit: it cannot; its items say what is wrong where.
        """
        if not (self.takes.is_text and isinstance(content, str)):
            self.takes.load(content)

    def load(self, content: object) -> Any:
        """The content as the job's function takes it. Raises as `check` does."""
        return content if self.takes.is_text and isinstance(content, str) else self.takes.load(content)

    def dump(self, value: object) -> Any:
        """The JSON value of what the job's function returned.

        Raises:
            Misfit: it is not what the function says that it returns.
        """
        if not self.gives.is_text:
            return self.gives.dump(value)
        if isinstance(value, str):
            return value
        text = f"{self.name} returned {type(value).__name__}, not text"
        raise Misfit("result", (ErrorItem(type="string_type", loc=(), msg=text),), text)


def _hints(function: Callable[..., Any], where: str) -> dict[str, Any]:
    """The annotations of content and of what is returned; others, such as that of `job`, need not be found."""
    written = getattr(function, "__annotations__", {})
    wanted = SimpleNamespace(__annotations__={key: written[key] for key in ("content", "return") if key in written})
    names = getattr(inspect.unwrap(function), "__globals__", {})
    try:
        return get_type_hints(wanted, globalns=names, include_extras=True)
    except Exception as error:  # an annotation may be any expression
        raise JobDefinitionError(
            f"{where} has an annotation that cannot be evaluated: {_told(error)}; "
            "types of jobs are defined above them, at the top level of a module"
        ) from error


def _yields(function: Callable[..., Any], returned: Any, where: str) -> bool:
    """Whether the function yields its result in pieces of text."""
    generator = inspect.isgeneratorfunction(function) or inspect.isasyncgenfunction(function)
    origin = get_origin(returned) or returned
    if origin not in PIECES:
        return generator
    if (arguments := get_args(returned)) and arguments[0] not in (str, Any):
        raise JobDefinitionError(f"{where} yields {arguments[0]!r}; a job that yields has to yield text (str)")
    return True


def _value_type(hint: Any, what: str) -> ValueType:
    if hint is str:
        return TEXT
    try:
        return ValueType(hint)
    except Exception as error:  # pydantic's own, and what the code of a type raises
        raise JobDefinitionError(f"{what}: pydantic makes no JSON Schema of {hint!r}: {_told(error)}") from error


def _told(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
