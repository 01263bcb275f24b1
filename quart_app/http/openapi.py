"""The OpenAPI 3.1 document of the HTTP API, made from the models and the jobs; `/openapi.json`.

    build({})["paths"]["/api/jobs"]["post"]["summary"]  # "Submit a job."

JSON Schema is the one of pydantic as it is: OpenAPI 3.1 and pydantic both mean draft 2020-12.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from importlib.metadata import version as installed_version
from typing import Any

from pydantic.json_schema import GenerateJsonSchema, models_json_schema
from quart import Blueprint, Response

from bus.messages import JobStatusPayload, SystemMessage
from quart_app.error_types import OF_FRAMES, OF_HTTP, OF_REQUESTS, ErrorType
from quart_app.http.caller import COOKIE
from quart_app.http.models import MOST_WAIT, Accepted, Later, Refused
from quart_app.web.asyncapi.examples import SCHEMAS, Json
from quart_app.web.asyncapi.job_messages import variants_with
from quart_app.web.asyncapi.security import Security
from workers.registry import Job

DESCRIPTION = (
    "Jobs, and what happens to them, for whoever has no WebSocket: the same log is behind both. What the events are is "
    "in the AsyncAPI document, `/asyncapi.json`.\n\nBounds are those of WebSockets; what is refused for now (429, 503) "
    "has `Retry-After`."
)
ANONYMOUS = (
    "\n\nWho brings nothing is a new client, and gets a resume token by which it is known from then on: in a cookie, "
    "and as `resume` for whoever brings `Authorization: Bearer`."
)
JOB_ID = {"name": "job_id", "in": "path", "required": True, "schema": {"type": "string", "maxLength": 64}}
KEY = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same key from the same client is the same job.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 128},
}
TRACEPARENT = {
    "name": "traceparent",
    "in": "header",
    "description": "The trace that the job belongs to, of W3C Trace Context.",
    "schema": {"type": "string"},
}
WAIT = {
    "name": "wait",
    "in": "query",
    "description": "Seconds to wait for the job's end before the answer.",
    "schema": {"type": "number", "minimum": 0, "maximum": MOST_WAIT, "default": 0},
}
POSITION = (
    "`client:0` for everything retained, or the `id` of the last event that was seen. Left out, events begin now."
)
LAST_EVENT_ID = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The `id` of the last event that was seen; a browser's EventSource sends it by itself.",
    "schema": {"type": "string"},
}
IN_ADDRESS = {
    "name": "last_event_id",
    "in": "query",
    "description": f"The same for who can send no header, and is passed over where there is one: {POSITION}",
    "schema": {"type": "string"},
}


class _Schemas(GenerateJsonSchema):
    """Without titles, which only repeat the names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


def build(jobs: Mapping[str, Job], *, security: Security | None = None, root_path: str = "") -> Json:
    """Describe the HTTP API.

    Args:
        jobs: what can be asked for, by name.
        security: how clients prove who they are, if they have to.
        root_path: the path below which it is served, without a slash at its end.
    """
    schemes = _schemes(security)
    needed: list[Json] = [{name: []} for name in schemes]
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "busctl",
            "version": installed_version("busctl"),
            "description": DESCRIPTION + ("" if security else ANONYMOUS),
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "servers": [{"url": root_path or "/"}],
        "security": needed if security else [{}, *needed],
        "paths": _paths(),
        "components": {"schemas": _schemas(jobs), "securitySchemes": schemes},
    }


def openapi(jobs: Mapping[str, Job], *, security: Security | None = None, root_path: str = "") -> Blueprint:
    """`/openapi.json`, made when somebody first asks for it. The arguments are those of `build`."""
    routes = Blueprint("openapi", __name__)
    described = cache(lambda: build(jobs, security=security, root_path=root_path))
    routes.app_context_processor(lambda: {"http_operations": _listed(described()["paths"])})

    @routes.get("/openapi.json")
    async def document() -> Response:
        """The OpenAPI document."""
        text = json.dumps(described(), ensure_ascii=False, indent=2) + "\n"
        return Response(text, content_type="application/json")

    return routes


def _listed(paths: Json) -> list[tuple[str, str, str]]:
    """Method, path and summary of each operation, for a page."""
    return [(method.upper(), path, one["summary"]) for path, found in paths.items() for method, one in found.items()]


def _paths() -> Json:
    accepted = _json("Accepted", "The job is accepted.") | {
        "headers": {"Location": {"description": "The job's address.", "schema": {"type": "string"}}}
    }
    known = {"200": _json("Accepted", "The key was used before; how that job stands."), "202": accepted}
    stands = {"200": _json("JobStatusPayload", "How the job stands.")}
    events = {"text/event-stream": {"schema": {"type": "string"}}}
    empty = {"content": {"application/json": {"schema": {"type": "object"}}}}
    return {
        "/api/jobs": {
            "post": {
                "operationId": "submit",
                "summary": "Submit a job.",
                "description": "It is stored before the answer, and its end will come whatever dies in between.",
                "parameters": [KEY, TRACEPARENT],
                "requestBody": {"required": True} | _content("NewJob"),
                "responses": known | _refusals(400, 401, 403, 413, 415, 422, 429, 500, 503),
            }
        },
        "/api/jobs/{job_id}": {
            "get": {
                "operationId": "status",
                "summary": "Say how a job stands.",
                "description": "At once, or with `wait` when it has ended.",
                "parameters": [JOB_ID, WAIT],
                "responses": stands | _refusals(401, 403, 404, 422, 429, 500, 503),
            },
            "delete": {
                "operationId": "cancel",
                "summary": "Call a job off.",
                "description": "Queued or running. One that has ended stays as it is.",
                "parameters": [JOB_ID],
                "responses": stands | _refusals(401, 403, 404, 422, 429, 500, 503),
            },
        },
        "/api/jobs/{job_id}/retry": {
            "post": {
                "operationId": "retry",
                "summary": "Do a job again that has ended.",
                "description": "A new job with the same request. The body may be empty; its type is JSON all the same.",
                "parameters": [JOB_ID, KEY, TRACEPARENT],
                "requestBody": empty,
                "responses": known | _refusals(400, 401, 403, 404, 409, 413, 415, 422, 429, 500, 503),
            }
        },
        "/api/events": {
            "get": {
                "operationId": "events",
                "summary": "Read what happens, as Server-Sent Events.",
                "description": "`data` is a frame of `bus.v1`, `event` its `action`, and `id` where the reader stands. "
                "The first is `welcome`, which says whether anything is missing. Before the server ends the stream it "
                "sends `close`, with a close code and the reason. Who asks for `text/event-stream` and is refused for "
                "now is told with 200 when to come again, because a browser's EventSource would not otherwise.",
                "parameters": [LAST_EVENT_ID, IN_ADDRESS],
                "responses": {"200": {"description": "The events.", "content": events}}
                | _refusals(401, 403, 422, 429, 500, 503),
            }
        },
    }


def _refusals(*statuses: int) -> Json:
    """The answers with these statuses, and which types of error each may tell."""
    types: tuple[ErrorType, ...] = (*OF_FRAMES, *OF_REQUESTS, *OF_HTTP)
    found = {status: [f"`{one.type}`: {one.meaning}" for one in types if one.status == status] for status in statuses}
    return {str(status): _json("Refused", "; ".join(told) or "Refused.") for status, told in found.items()}


def _json(schema: str, description: str) -> Json:
    return {"description": description} | _content(schema)


def _content(schema: str) -> Json:
    return {"content": {"application/json": {"schema": {"$ref": SCHEMAS + schema}}}}


def _schemas(jobs: Mapping[str, Job]) -> Json:
    """Everything that goes in or out, and what it refers to."""
    [asked] = variants_with(jobs)[SystemMessage]
    given = [(model, "serialization") for model in (Accepted, JobStatusPayload, Refused)]
    _, document = models_json_schema(
        [*given, (Later, "validation"), (asked, "validation")],  # type: ignore[list-item]
        ref_template=SCHEMAS + "{model}",
        schema_generator=_Schemas,
    )
    schemas: Json = document["$defs"]
    payload = schemas.pop(asked.__name__)["properties"]["payload"]
    schemas["NewJob"] = {"allOf": [payload, {"$ref": SCHEMAS + "Later"}], "description": "What to do, and with what."}
    return schemas


def _schemes(security: Security | None) -> Json:
    """How a client shows who it is, or which one it was."""
    if security is None:
        resume = "The resume token of the client, as `resume` in an answer or in the event `welcome`."
        return {
            "bearer": {"type": "http", "scheme": "bearer", "description": resume},
            "cookie": {"type": "apiKey", "in": "cookie", "name": COOKIE, "description": "The same, for browsers."},
        }
    token = "A token of the identity provider."  # noqa: S105 - words about one
    schemes: Json = {"bearer": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": token}}
    if security.cookie is not None:
        schemes["cookie"] = {
            "type": "apiKey",
            "in": "cookie",
            "name": security.cookie,
            "description": "The same, for browsers.",
        }
    return schemes
