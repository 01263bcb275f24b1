"""The AsyncAPI document of jobs that take and give more than text."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel, Field, computed_field
from typing_extensions import TypeAliasType

from quart_app.channels import CHANNELS
from quart_app.web.asyncapi import build
from quart_app.web.asyncapi.published import Published, publish
from workers.registry import Job, JobContext, discover, job

Json = dict[str, Any]


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


class Resize(BaseModel):
    """How large it should be."""

    width: int = Field(gt=0, le=4096, description="In pixels.", examples=[640])
    pair: tuple[int, str] = (1, "x")
    tree: Tree | None = None


class Resized(BaseModel):
    size: int

    @computed_field
    @property
    def kilobytes(self) -> float:
        return self.size / 1000


class Elsewhere:
    class Resize(BaseModel):
        """Another model of that name."""

        height: int


@job
def resize(content: Resize, job: JobContext) -> Resized:
    """Make it smaller."""
    return Resized(size=content.width)


@job
def stretch(content: Elsewhere.Resize, job: JobContext) -> str:
    """Make it larger."""
    return "larger"


@job
def total(content: list[int], job: JobContext) -> int:
    """Add numbers."""
    return sum(content)


def document_with(*jobs: Job) -> Json:
    return build(CHANNELS, discover() | {job.name: job for job in jobs})


DOCUMENT = document_with(resize, stretch, total)


def schema(document: Json, name: str) -> Json:
    found: Json = document["components"]["schemas"][name]
    return found


def resolve(document: Json, node: Json) -> Json:
    [node] = node.get("allOf", [node])
    return schema(document, node["$ref"].rpartition("/")[2]) if "$ref" in node else node


def payloads(document: Json) -> list[Json]:
    """What a `system_message` may hold."""
    payload = schema(document, "SystemMessage")["properties"]["payload"]
    return [resolve(document, one)["properties"] for one in payload.get("oneOf", [payload])]


def results(document: Json) -> list[Json]:
    links = document["operations"]["system_send_job_result"]["messages"]
    names = [link["$ref"].rpartition("/")[2] for link in links]
    assert all(document["components"]["messages"][name]["name"] == "job_result" for name in names)
    return [schema(document, name)["properties"] for name in names]


def test_a_submit_is_one_of_several_by_task_type() -> None:
    text, *typed = payloads(DOCUMENT)
    assert text["task_type"]["not"] == {"enum": ["resize", "stretch", "total"]}
    assert text["content"]["type"] == "string"
    assert [one["task_type"]["const"] for one in typed] == ["resize", "stretch", "total"]
    assert typed[2]["content"]["items"] == {"type": "integer"}


def test_models_of_one_name_are_kept_apart() -> None:
    _, first, second, _ = payloads(DOCUMENT)
    assert "width" in resolve(DOCUMENT, first["content"])["properties"]
    assert "height" in resolve(DOCUMENT, second["content"])["properties"]


def test_a_result_has_a_message_for_each_job_that_gives_no_text() -> None:
    text, resized, number = results(DOCUMENT)
    assert text["payload"]["type"] == "string"
    assert text["task_type"]["not"] == {"enum": ["resize", "total"]}
    assert set(resolve(DOCUMENT, resized["payload"])["properties"]) == {"size", "kilobytes"}
    assert (resized["task_type"]["const"], number["task_type"]["const"]) == ("resize", "total")
    assert number["payload"]["type"] == "integer"


def test_a_typed_default_takes_what_no_other_job_does() -> None:
    document = document_with(Job(total.function, "default", ""))
    text, default = payloads(document)
    assert text["task_type"]["enum"] == ["analyze", "generate", "translate"]
    assert default["task_type"]["not"] == {"enum": ["analyze", "generate", "translate"]}
    assert [one["payload"]["type"] for one in results(document)] == ["string", "integer"]


def test_there_is_an_example_of_each() -> None:
    examples = DOCUMENT["components"]["messages"]["SystemMessage"]["examples"]
    assert [example["payload"]["payload"] for example in examples if example["name"] == "plain"] == [
        {"task_type": "translate", "content": "hello"},
        {"task_type": "resize", "content": {"width": 640}},
        {"task_type": "stretch", "content": {"height": 0}},
        {"task_type": "total", "content": [0]},
    ]


def test_it_is_of_draft_7_and_has_no_discriminator() -> None:
    text = str(DOCUMENT)
    assert "discriminator" not in text
    assert "prefixItems" not in text
    pair = resolve(DOCUMENT, payloads(DOCUMENT)[1]["content"])["properties"]["pair"]
    assert pair["items"] == [{"type": "integer"}, {"type": "string"}]


def fields(published: Published) -> Mapping[str, str]:
    [channel] = published.channels
    entries = (*channel.client, *channel.server)
    return {key.path: key.type_and_limits for entry in entries for key in entry.frame.all_keys()}


def test_the_page_shows_what_each_job_takes_and_gives() -> None:
    shown = fields(publish(DOCUMENT))
    assert shown["payload.content.width"] == "integer (> 0, ≤ 4096)"
    assert shown["payload.content.pair"] == "array of integer or string (exactly 2 items)"
    assert shown["payload.content.tree.children"] == "array of the same"
    assert shown["payload.kilobytes"] == "number"


Nested = TypeAliasType("Nested", "list[Nested] | int")


@job
def flatten(content: Nested, job: JobContext) -> str:
    """Take the numbers out of all lists."""
    return str(content)


def test_a_type_that_holds_itself_is_shown_once() -> None:
    shown = fields(publish(document_with(flatten)))
    assert shown["payload.content"] == "array of the same or integer"
