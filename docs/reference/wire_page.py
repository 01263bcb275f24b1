"""The reference page of the wire: from the messages, as the AsyncAPI document has them, and the tables of errors."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator

from bus.messages import (
    ClientMessage,
    Connect,
    JobQueued,
    JobResult,
    JobStarted,
    SystemMessage,
    Welcome,
    WelcomePayload,
)
from quart_app.channels.system import SystemChannel
from quart_app.error_types import OF_FRAMES, OF_HTTP, OF_REQUESTS, ErrorType
from quart_app.web.asyncapi.document import DESCRIPTION, build
from quart_app.web.asyncapi.modes import PLAIN
from quart_app.web.asyncapi.published import Entry, publish
from quart_app.web.asyncapi.schema_tree import Node
from quart_app.web.asyncapi.security import Security
from quart_app.websocket.handshake import SUBPROTOCOL

INTRODUCTION = f"""# The wire

Clients of the system connect to the WebSocket `/ws/system`, below `BUS_ROOT_PATH` where that is set. The same jobs and
events are to be had [over HTTP](../how-to/http.md) too.

{DESCRIPTION}

What stands here, and what jobs and channels of your own add to it, a running server describes at `/asyncapi/docs/`, and
for programs at `/asyncapi.json` (AsyncAPI 3.1). How clients prove who they are, where they have to:
[secure](../how-to/secure.md). What is promised of order and of what was missed: [delivery](../explanation/delivery.md).
"""

HANDSHAKE = """## When the handshake is refused

By an HTTP status, before there is a WebSocket:

| status | means | come back |
|---|---|---|
| 401 | the token is missing or not valid; in plain mode, or where it came in a header | with another one |
| 403 | the page's origin may not connect (`BUS_ALLOWED_ORIGINS`) | no |
| 421 | the server does not answer for that host (`BUS_ALLOWED_HOSTS`) | no |
| 429 | the client's address has too many WebSockets, or connects too often | after `Retry-After` |
| 503 | no room, or the process is stopping, or NATS or the keys of tokens are away | after `Retry-After`, or soon |

Later, by a close code: [close codes](close-codes.md).
"""


JOB = {"job_id": "3f1c0a5be2774d0f", "ref": "1", "task_type": "translate", "at": "2026-01-02T03:04:05.678901Z"}


def conversation() -> Iterator[str]:
    """What a client and the server say to each other, until the connection is lost and comes back."""
    yield from ("A conversation of `bus.v1`, `>` from the client and `<` from the server:", "", "```")
    yield sent(Connect, payload={})
    yield welcome(replayed=0, cursors={"client": 40, "system": 40})
    yield sent(SystemMessage, payload={"task_type": "translate", "content": "hello"}, ref="1", key="order-17")
    queued = "⏳ Job queued: translate for 'hello' (ID: 3f1c0a5be2774d0f)"
    yield f"< {JobQueued(payload=queued, seq=41, **JOB).encode(content='hello')}"
    yield f"< {JobStarted(payload='▶ Job started: translate (attempt 1)', seq=42, attempt=1, **JOB).encode()}"
    yield "  … the connection is lost, and opened again"
    yield sent(Connect, payload={"resume": "eyJhbGciOi…", "cursors": {"client": 42, "system": 40}})
    yield welcome(replayed=1, cursors={"client": 43, "system": 43})
    result = "🌍 Translated: 'hello' → 'hola'"
    yield f"< {JobResult(payload=result, seq=43, attempt=1, **JOB).encode()}"
    yield from ("```", "")


def sent(kind: type[ClientMessage], **keys: object) -> str:
    """A frame of a client, which the server takes."""
    frame = json.dumps({"action": kind.action_name(), **keys}, ensure_ascii=False, separators=(",", ":"))
    kind.model_validate_json(frame)
    return f"> {frame}"


def welcome(*, replayed: int, cursors: dict[str, int]) -> str:
    """The answer to `connect`."""
    client = {"client_id": "q3kJ0vYzS7mXo2Hn4tB1Lw", "resume": "eyJhbGciOi…", "epoch": "2026-01-01T00:00:00.000000001Z"}
    told = WelcomePayload.model_validate({**client, "recovered": True, "replayed": replayed, "cursors": cursors})
    return f"< {Welcome(payload=told).encode()}"


def wire_page() -> str:
    """Every message, and every error."""
    security = Security()
    [section] = publish(build([SystemChannel], security=security)).channels
    lines = [INTRODUCTION, *conversation(), *summary("What clients send", section.client)]
    lines += ["", *summary("What the server sends", section.server)]
    for entry in (*section.client, *section.server):
        lines += ["", *described(entry, "answered with" if entry in section.client else "answers")]
    lines += ["", *errors(), "", HANDSHAKE.rstrip()]
    return "\n".join(lines) + "\n"


def summary(title: str, entries: Iterable[Entry]) -> Iterator[str]:
    """The messages of one direction, and whether plain mode has them too."""
    yield from (f"## {title}", "", "| action | | plain mode |", "|---|---|---|")
    for entry in entries:
        plain = "too" if PLAIN in entry.modes else ""
        yield f"| [`{entry.link.action}`](#{entry.link.action}) | {cell(entry.summary)} | {plain} |"


def described(entry: Entry, relation: str) -> Iterator[str]:
    """One message: what it is for, its fields, and an example."""
    yield from (f"### {entry.link.action}", "", entry.summary)
    if entry.description:
        yield from ("", entry.description)
    if entry.handling:
        yield from ("", entry.handling)
    if entry.related:
        links = ", ".join(f"[`{link.action}`](#{link.action})" for link in entry.related)
        yield from ("", f"{relation.capitalize()}: {links}.")
    yield from ("", "| field | type | always there | |", "|---|---|---|---|")
    yield from map(row, entry.frame.all_keys())
    for example in entry.examples[SUBPROTOCOL]:
        yield from ("", "```json", example, "```")


def row(field: Node) -> str:
    """A field of a frame."""
    always = "yes" if field.required else ""
    return f"| `{field.path}` | {cell(field.type_and_limits)} | {always} | {cell(field.description)} |"


def errors() -> Iterator[str]:
    """The types of errors."""
    yield from ("## Types of errors", "")
    yield "Each item of an [`error`](#error) has a `type`. *Again*: the same may be accepted later, as it is. *Status*:"
    yield "of the answer, where it was asked for [over HTTP](../how-to/http.md)."
    tables = {"What is wrong with a frame": OF_FRAMES, "Why it is not done": OF_REQUESTS, "Over HTTP": OF_HTTP}
    for title, types in tables.items():
        yield from ("", f"### {title}", "")
        if types is OF_FRAMES:
            yield "Besides these there are pydantic's, such as `missing` or `string_too_long`; `loc` says where."
            yield ""
        yield from ("| type | means | status | again |", "|---|---|---|---|", *map(error, types))


def error(one: ErrorType) -> str:
    """A type of error."""
    return f"| `{one.type}` | {one.meaning} | {one.status} | {'yes' if one.again else ''} |"


def cell(text: str) -> str:
    """Text for the cell of a table."""
    return " ".join(text.split()).replace("|", "\\|")
