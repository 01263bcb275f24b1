"""What HTTP requests are answered with: JSON, and for what is refused `{"error": {"type", "msg"}}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic_core import to_json
from quart import Response, current_app
from werkzeug.exceptions import HTTPException, MethodNotAllowed

from bus.messages import ErrorItem
from quart_app.close_codes import FORBIDDEN
from quart_app.error_types import OF_FRAMES, OF_HTTP, OF_REQUESTS
from quart_app.errors import BadFrame, Forbidden, KeysUnavailable, Refused, Unauthorized
from quart_app.refusals import refusal_of

STATUS = {one.type: one.status for one in (*OF_FRAMES, *OF_REQUESTS, *OF_HTTP)}
RETRY_AFTER = "5"
"""Seconds after which what was refused for now may be asked for again."""
PASSING = frozenset({429, 503})
"""Statuses of what is refused for now."""


def answer(content: Any, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer, which nobody keeps for another time.

    Args:
        content: a model, or what JSON can say.
    """
    shown = {"Cache-Control": "no-store", **(headers or {})}
    return Response(to_json(content) + b"\n", status, shown, content_type="application/json")


def refused(error: Refused, items: tuple[ErrorItem, ...] = (), status: int | None = None) -> Response:
    """The answer for something that is not done.

    Args:
        items: all that is wrong with the request, if that is why.
        status: by default the one that the table of types has.
    """
    status = status or STATUS[error.kind]
    told: dict[str, Any] = {"type": error.kind, "msg": str(error)}
    if items:
        told["items"] = items
    headers = {"Retry-After": RETRY_AFTER} if status in PASSING else {}
    if status == 401:
        headers["WWW-Authenticate"] = "Bearer"
    return answer({"error": told}, status, headers)


def failed(error: Exception, asked: str) -> tuple[Response, str]:
    """The answer for whatever a request ran into, and the type of error that it tells.

    Args:
        asked: what for; for the log.
    """
    match error:
        case BadFrame():
            items = error.error.payload
            status = 400 if items[0].type == "json_invalid" else None
            return refused(Refused("invalid", str(error)), items, status), "invalid"
        case Unauthorized():
            told = Refused("unauthorized", str(error))
        case Forbidden():
            told = Refused("forbidden", FORBIDDEN.reason)
        case KeysUnavailable():
            told = Refused("keys_unavailable", str(error))
        case HTTPException():
            return _of_http(error)
        case _:
            told = refusal_of(error, asked)
    return refused(told), told.kind


def _of_http(error: HTTPException) -> tuple[Response, str]:
    """What the HTTP side of the server has found."""
    told = Refused("bad_request", error.description or error.name)
    match error.code:
        case 404:
            told = Refused("not_found", "there is nothing at this path")
        case 405:
            told = Refused("method_not_allowed", "this method does nothing here")
        case 413:
            most = current_app.config["MAX_CONTENT_LENGTH"]
            told = Refused("too_large", f"the body is larger than {most:,} bytes (BUS_MAX_FRAME_BYTES)")
    response = refused(told, status=error.code or 400)
    if isinstance(error, MethodNotAllowed):
        response.headers["Allow"] = ", ".join(sorted(error.valid_methods or ()))
    return response, told.kind
