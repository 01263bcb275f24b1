"""The OpenAPI document says what there is, and what is taken and given."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest
from pydantic import BaseModel, Field

from bus import Settings
from quart_app import create_app
from quart_app.channel import Channel, channel
from quart_app.http.api import PREFIX
from quart_app.http.openapi import build
from quart_app.web.asyncapi.security import Security
from workers.registry import JobContext, discover, job


class Size(BaseModel):
    """How large."""

    width: int = Field(gt=0)
    pair: tuple[int, str] = (1, "x")


@job
def resize(content: Size, job: JobContext) -> str:
    """Make it smaller."""
    return str(content.width)


JOBS = discover(example_jobs=True)
DOCUMENT = build(JOBS)
TYPED = build({**JOBS, "resize": resize})


def references(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        node = list(node.values())
    for value in node if isinstance(node, list) else ():
        yield from references(value)


async def test_it_has_every_route_of_the_api_and_is_served() -> None:
    app = create_app(Settings.load())
    routed = {
        (method.lower(), rule.rule.replace("<job_id>", "{job_id}"))
        for rule in app.url_map.iter_rules()
        if rule.rule.startswith(PREFIX)
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
    }
    assert routed == {(method, path) for path, found in DOCUMENT["paths"].items() for method in found}
    served = await app.test_client().get("/openapi.json")
    assert json.loads(await served.get_data()) == DOCUMENT
    page = await (await app.test_client().get("/asyncapi/docs/")).get_data(as_text=True)
    assert "/openapi.json" in page
    assert "POST /api/jobs/{job_id}/retry" in page


@pytest.mark.parametrize("security", [None, Security(), Security("id")])
def test_every_reference_leads_somewhere(security: Security | None) -> None:
    document = build({**JOBS, "resize": resize}, security=security, root_path="/bus")
    found = set(references(document))
    assert found
    for reference in found:
        target: Any = document
        for part in reference.removeprefix("#/").split("/"):
            target = target[part]
        assert isinstance(target, dict)
    assert document["servers"] == [{"url": "/bus"}]
    assert set(document["components"]["securitySchemes"]) >= {"bearer"}


def test_what_typed_jobs_take_is_in_it() -> None:
    """In the words of the draft that OpenAPI 3.1 means: a tuple has `prefixItems`."""
    size = TYPED["components"]["schemas"]["Size"]
    assert size["properties"]["width"] == {"exclusiveMinimum": 0, "type": "integer"}
    assert len(size["properties"]["pair"]["prefixItems"]) == 2
    payload, later = TYPED["components"]["schemas"]["NewJob"]["allOf"]
    assert len(payload["oneOf"]) == 2
    assert later == {"$ref": "#/components/schemas/Later"}


async def test_without_its_channel_there_is_no_api() -> None:
    @channel("/ws/other", name="other")
    class Other(Channel):
        """Does nothing."""

    client = create_app(Settings.load(), [Other]).test_client()
    for path in ("/api/jobs/1", "/openapi.json"):
        assert (await client.get(path)).status_code == 404
    page = await client.get("/asyncapi/docs/")
    assert page.status_code == 200
    assert "OpenAPI" not in await page.get_data(as_text=True)
