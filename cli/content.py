"""The content of a job as it is typed: text for a job of text, and for others JSON, or names with values."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

import typer

from cli.output import shortened
from workers.errors import Misfit
from workers.registry import Job
from workers.signature import Signature


def content_of(job: Job, words: Sequence[str]) -> Any:
    """What the words stand for. A job of text takes one word, as it is.

    Any other takes one word that is JSON, or words like `width=10`, or one text if that is what it takes. A value is
    read as JSON where it is JSON and fits so, else it is text.

    Raises:
        BadParameter: the job cannot take them; the message names the fields.
    """
    if job.signature.takes.is_text:
        if len(words) > 1:
            raise typer.BadParameter(f"{job.name} takes one text, not {len(words)}: put it into quotes")
        return words[0]
    wrong = None
    for content in _readings(job, words):
        try:
            job.signature.check(content)
        except Misfit as error:
            wrong = wrong or error
        else:
            return content
    looks_like_json = words[0].lstrip().startswith(("{", "["))
    if looks_like_json and isinstance(problem := _json(words[0]), ValueError):
        raise typer.BadParameter(f"what {job.name} is given is not JSON: {problem}")
    raise typer.BadParameter(f"{job.name} cannot take this: {wrong}")


def _readings(job: Job, words: Sequence[str]) -> Iterator[Any]:
    """What the words may mean, the likeliest first."""
    if len(words) == 1 and not isinstance(value := _json(words[0]), ValueError):
        yield value
    if all(name and equals for name, equals, _ in (word.partition("=") for word in words)):
        texts = _texts(words)
        values = {name: _json(text) for name, text in texts.items()}
        content = {name: texts[name] if isinstance(value, ValueError) else value for name, value in values.items()}
        yield content
        yield content | {name: texts[name] for name in _misfits(job.signature, content)}
    elif len(words) > 1:
        odd = next(word for word in words if not word.partition("=")[1] or word.startswith("="))
        raise typer.BadParameter(
            f"{shortened(odd, 40)!r} is no name=value; {job.name} takes those, or one word of JSON"
        )
    if len(words) == 1:
        yield words[0]


def _texts(words: Sequence[str]) -> dict[str, str]:
    texts: dict[str, str] = {}
    for name, _, text in (word.partition("=") for word in words):
        if name in texts:
            raise typer.BadParameter(f"{shortened(name, 40)} is given twice")
        texts[name] = text
    return texts


def _misfits(signature: Signature, content: dict[str, Any]) -> list[str]:
    """The names whose values do not fit."""
    try:
        signature.check(content)
    except Misfit as error:
        return [str(part) for item in error.items for part in item.loc if part in content]
    return []


def _json(text: str) -> Any:
    """The value of strict JSON, or the `ValueError` that says why it is none."""
    try:
        return json.loads(text, parse_constant=_refuse, object_pairs_hook=_unambiguous)
    except RecursionError:
        return ValueError("lists and objects are too deep in each other")
    except ValueError as error:
        return error


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no value of JSON")


def _unambiguous(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    values = dict(pairs)
    if len(values) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f"the key {shortened(twice, 40)!r} stands in one object twice")
    return values
