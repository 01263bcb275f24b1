"""The messages about jobs as certain jobs make them: models from which only the AsyncAPI document is made.

A `SystemMessage` holds one payload out of several, by `task_type`, and every job whose result is no text has a
`JobResult` of its own. Of jobs that take and give text the messages are the ones of `bus.messages`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal, Union

from pydantic import BaseModel, Discriminator, Field, Tag, create_model

from bus.messages import JobQueued, JobResult, Message, SystemMessage, TaskPayload
from workers.registry import DEFAULT, Job
from workers.value_type import ValueType

Variants = Mapping[type[Message], tuple[type[Message], ...]]


def variants_with(jobs: Mapping[str, Job]) -> Variants:
    """What describes the messages about jobs.

    Args:
        jobs: by name; types that are not among them run `default`.
    """
    takes = {name: job.signature.takes for name, job in jobs.items() if not job.signature.takes.is_text}
    gives = {name: job.signature.gives for name, job in jobs.items() if not job.signature.gives.is_text}
    names = (*jobs, *(() if DEFAULT in jobs else (DEFAULT,)))
    queued = JobQueued if takes else _like(JobQueued, content=(str | None, _text(default=None)))
    return {
        SystemMessage: (_like(SystemMessage, payload=(_payloads(takes, names), ...)),),
        JobQueued: (queued,),
        JobResult: tuple(_results(gives, names)),
    }


def _payloads(takes: Mapping[str, ValueType], names: Sequence[str]) -> Any:
    """One payload for all jobs that take text, and one for each other, told apart by `task_type`."""
    payloads: dict[str, type[BaseModel]] = {}
    if of_text := [name for name in names if name not in takes]:
        task_type = _task_type(TaskPayload, of_text, names)
        payloads[""] = _like(TaskPayload, task_type=task_type, content=(str, _text()))
    for name, taken in takes.items():
        content = (taken.hint, Field(description=f"What `{name}` works on."))
        task_type = _task_type(TaskPayload, [name], names)
        payloads[name] = _like(TaskPayload, f"_{name}", task_type=task_type, content=content)
    if len(payloads) == 1:
        return next(iter(payloads.values()))

    def case(payload: Any) -> str:
        asked = payload["task_type"] if payload["task_type"] in names else DEFAULT
        return asked if asked in payloads else ""

    choices: Any = Union[tuple(Annotated[model, Tag(name)] for name, model in payloads.items())]  # noqa: UP007
    return Annotated[choices, Discriminator(case)]


def _results(gives: Mapping[str, ValueType], names: Sequence[str]) -> Iterator[type[Message]]:
    """One message for all jobs that give text, and one for each other."""
    if of_text := [name for name in names if name not in gives]:
        kind, field = _task_type(JobResult, of_text, names, default=None)
        yield _like(JobResult, payload=(str, JobResult.model_fields["payload"]), task_type=(kind | None, field))
    for name, given in gives.items():
        payload = (given.hint, Field(description=f"The result of `{name}`."))
        yield _like(JobResult, f"_{name}", payload=payload, task_type=_task_type(JobResult, [name], names))


def _task_type(model: type[BaseModel], some: Sequence[str], names: Sequence[str], **options: Any) -> tuple[Any, Any]:
    """The task types that run one of some jobs, as type and field of a model."""
    told = model.model_fields["task_type"]
    if DEFAULT not in some:
        return Literal[tuple(some)], Field(description=told.description, examples=[*some[:1]], **options)
    others = [name for name in names if name not in some]
    unless: dict[str, Any] = {"not": {"enum": others}} if others else {}
    examples = [name for name in told.examples or () if name not in others] or [*some[:1]]
    hint: Any = Annotated[(str, *told.metadata)] if told.metadata else str
    return hint, Field(description=told.description, examples=examples, json_schema_extra=unless, **options)


def _text(**options: Any) -> Any:
    return Field(description="The text to work on.", examples=["hello"], **options)


def _like(model: Any, suffix: str = "", **fields: Any) -> Any:
    """A model with other fields in place of some, and with the name that it is described under."""
    return create_model(model.__name__ + suffix, __base__=model, __doc__=model.__doc__, **fields)
