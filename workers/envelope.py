"""Envelope: what a message in Redis has to look like before kombu and Celery may see it.

Both take the shape of a message for granted, and an error on the way from Redis to a task ends the whole worker, again
after each restart. So the shape is checked here first, whole.
"""

from __future__ import annotations

import base64
import json
import re
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from workers.errors import Malformed

LARGEST_MESSAGE = 1024 * 1024
"""Bytes of the largest message that is looked at; a task of ours has a few KiB."""

OUR_TASKS = "jobs."
"""What the names of our tasks begin with."""

REPLIES = ".pidbox"
"""What the names of the queues end with in which Celery waits for answers to its remote controls."""


class Part(BaseModel):
    """One part of a message; what it holds besides is Celery's own business."""

    model_config = ConfigDict(strict=True, extra="ignore")


class DeliveryInfo(Part):
    """Where a message was sent to."""

    exchange: str
    routing_key: str


class Properties(Part):
    """What kombu itself reads."""

    delivery_tag: Annotated[str, Field(min_length=1, max_length=256)]
    delivery_info: DeliveryInfo
    body_encoding: Literal["base64", "utf-8"] | None = None


class Envelope(Part):
    """Any message."""

    body: str
    properties: Properties
    headers: dict[str, Any]
    content_type: Annotated[str | None, Field(alias="content-type")] = None
    content_encoding: Annotated[str | None, Field(alias="content-encoding")] = None

    @property
    def content(self) -> str:
        """The body as it was before it was encoded for the way."""
        if self.properties.body_encoding != "base64":
            return self.body
        return base64.b64decode(self.body, validate=True).decode()

    @model_validator(mode="after")
    def _decodes(self) -> Self:
        if "compression" in self.headers:
            raise ValueError("compressed")
        _ = self.content
        return self


class TaskHeaders(Part):
    """What Celery reads of a task before it runs it."""

    task: Annotated[str, Field(max_length=256)]
    id: Annotated[str, Field(min_length=1, max_length=256)]
    root_id: str | None = None
    parent_id: str | None = None
    group: str | None = None
    shadow: str | None = None
    eta: str | None = None
    expires: str | None = None
    retries: int | None = None
    timelimit: Annotated[list[float | None], Field(min_length=2, max_length=2)] | None = None
    ignore_result: bool | None = None
    argsrepr: str | None = None
    kwargsrepr: str | None = None
    origin: str | None = None
    stamped_headers: list[str] | None = None
    stamps: dict[str, Any] | None = None
    replaced_task_nesting: int | None = None


class Nothing(Part):
    """The keyword arguments of our tasks, which have none."""

    model_config = ConfigDict(extra="forbid")


class Embedded(Part):
    """What may come with the arguments; our tasks lead to no others."""

    callbacks: None = None
    errbacks: None = None
    chain: None = None
    chord: None = None


class OurTask(Envelope):
    """A message that holds a task of ours."""

    content_type: Annotated[Literal["application/json"], Field(alias="content-type")]
    content_encoding: Annotated[Literal["utf-8"], Field(alias="content-encoding")]


JOB_ID_IN_BODY = re.compile(rb'"body": ?"\[\[\\"[^"\\]*\\", ?\\"([A-Za-z0-9_-]{1,64})\\"')
"""The job of a message as `workers.task_message` writes it, found without reading all of it. What clients wrote cannot
pass for it: their quotes are escaped once more."""

Ids = tuple[str, str] | tuple[str, str, Any]
BODY: TypeAdapter[tuple[Ids, Nothing, Embedded]] = TypeAdapter(tuple[Ids, Nothing, Embedded])


def read(raw: bytes, queue: str) -> dict[str, Any]:
    """The message that was taken from a queue.

    Raises:
        Malformed: it is too large, no JSON, no message, no task, or a task of ours with other arguments than ours have.
    """
    if len(raw) > LARGEST_MESSAGE:
        raise Malformed(f"it has {len(raw)} bytes; at most {LARGEST_MESSAGE} are looked at")
    try:
        payload: dict[str, Any] = json.loads(raw)
        check(payload, task=not queue.endswith(REPLIES))
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False, include_url=False)[0]
        where = ".".join(str(part) for part in first["loc"] if isinstance(part, int) or part.isidentifier())
        raise Malformed(f"{where or 'message'}: {first['type']}") from None
    except (ValueError, RecursionError) as error:
        raise Malformed(type(error).__name__) from None
    return payload


def check(payload: object, *, task: bool) -> None:
    """Look at a message that is parsed already.

    Args:
        task: whether it should hold one.

    Raises:
        ValueError: it is malformed; pydantic's `ValidationError` is one.
    """
    headers = payload.get("headers") if isinstance(payload, dict) else None
    ours = task and isinstance(headers, dict) and str(headers.get("task")).startswith(OUR_TASKS)
    envelope = (OurTask if ours else Envelope).model_validate(payload)
    if task:
        TaskHeaders.model_validate(envelope.headers)
    if ours:
        BODY.validate_json(envelope.content)


def job_id(raw: bytes) -> str | None:
    """The job of a message that waits in Redis or was taken from it, or None when it holds no task of ours."""
    if found := JOB_ID_IN_BODY.search(raw):
        return found[1].decode()
    try:
        message = json.loads(raw)
        envelope = OurTask.model_validate(message[0] if isinstance(message, list) else message)
        (_, job, *_), *_ = BODY.validate_json(envelope.content)
    except (ValueError, LookupError, RecursionError):
        return None
    return str(job)
