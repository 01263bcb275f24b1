"""The AsyncAPI document and its page."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from bus import Settings
from bus.messages import (
    ClientMessage,
    Connect,
    Error,
    Event,
    EventSkipped,
    Message,
    RefreshToken,
    Reply,
    ResumeToken,
    TokenExpiring,
    Welcome,
)
from quart_app import close_codes, create_app, error_types
from quart_app.channel import Channel, channel, event_handler, ws_handler
from quart_app.channels import CHANNELS
from quart_app.channels.system import SystemChannel
from quart_app.web.asyncapi import build
from quart_app.web.asyncapi.security import Security
from workers.registry import discover

Json = dict[str, Any]

JOBS = discover()
DOCUMENT = build(CHANNELS, JOBS)


ALWAYS = {Connect, Welcome, EventSkipped, ResumeToken, Error}
"""Messages of every channel."""


def messages_of(*channels: type[Channel]) -> dict[str, type[Message]]:
    """By action, every message that goes over the wire."""
    taken = [operation for cls in channels for operation in cls.receives.values()]
    sent = [operation for cls in channels for operation in cls.events.values()]
    messages = {operation.message for operation in taken}.union(*(operation.outputs for operation in taken + sent))
    return {message.action_name(): message for message in messages | ALWAYS}


MESSAGES = messages_of(*CHANNELS)


def nodes(node: Any) -> Iterator[Json]:
    """Every object in a document."""
    if isinstance(node, dict):
        yield node
    for value in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from nodes(value)


def without_nulls(node: Any) -> Any:
    """A frame without the keys that it may as well leave out."""
    return {k: without_nulls(v) for k, v in node.items() if v is not None} if isinstance(node, dict) else node


def resolve(document: Json, pointer: str) -> Any:
    target: Any = document
    for part in pointer.removeprefix("#/").split("/"):
        target = target[part]
    return target


def message_of(document: Json, action: str) -> Json:
    found = [message for message in document["components"]["messages"].values() if message["name"] == action]
    assert len(found) == 1
    message: Json = found[0]
    return message


def frame_of(document: Json, action: str) -> Json:
    """The schema of a whole frame."""
    frame: Json = resolve(document, message_of(document, action)["payload"]["$ref"])
    return frame


def actions(document: Json, links: list[Json]) -> list[str]:
    """The actions of messages that are linked through their channel, as AsyncAPI asks of operations."""
    assert all(link["$ref"].startswith("#/channels/") for link in links)
    return [resolve(document, resolve(document, link["$ref"])["$ref"])["name"] for link in links]


# --- the document ----------------------------------------------------------------------------------------


def test_it_says_which_version_of_asyncapi_and_of_the_project_it_is() -> None:
    assert DOCUMENT["asyncapi"] == "3.1.0"
    info = build(CHANNELS, title="Ours", version="9.9")["info"]
    assert (info["title"], info["version"]) == ("Ours", "9.9")


def test_the_jobs_are_in_it_with_what_they_take_and_give() -> None:
    assert {name: job["summary"] for name, job in DOCUMENT["x-jobs"].items()} == {
        name: job.summary for name, job in JOBS.items()
    }
    assert [name for name, job in DOCUMENT["x-jobs"].items() if job["streams"]] == ["generate"]
    assert DOCUMENT["x-jobs"]["translate"]["takes"] == {"type": "string"}


def test_every_close_code_and_every_type_of_error_is_in_it() -> None:
    assert [(told["code"], told["name"], told["reconnect"]) for told in DOCUMENT["x-close-codes"]] == [
        (code.code, code.name, code.reconnect) for code in close_codes.ALL
    ]
    told = {error["type"]: error["again"] for error in DOCUMENT["x-error-types"]}
    assert told == {error.type: error.again for error in (*error_types.OF_FRAMES, *error_types.OF_REQUESTS)}


def test_to_submit_a_job_comes_first() -> None:
    assert next(iter(DOCUMENT["operations"])) == "system_receive_system_message"
    assert next(iter(DOCUMENT["components"]["messages"].values()))["name"] == "system_message"


@pytest.mark.parametrize("mode", ["plain", "bus.v1"])
def test_the_session_has_only_frames_that_the_models_take(mode: str) -> None:
    steps = DOCUMENT["x-sessions"][mode]
    for step in steps:
        if (frame := step.get("frame")) is None:
            assert step["code"] in {code.code for code in close_codes.ALL if code.reconnect}
            continue
        message = MESSAGES[frame["action"]]
        assert issubclass(message, ClientMessage) == (step["by"] == "client")
        message.model_validate_json(json.dumps(frame))
        if mode == "plain":
            assert frame["action"] not in ("connect", "welcome", "job_started", "job_output")
    assert {"system_message", "job_queued", "job_result"} <= {
        step["frame"]["action"] for step in steps if "frame" in step
    }


def test_without_a_channel_that_takes_jobs_there_is_no_session() -> None:
    @channel("/ws/quiet", name="quiet")
    class Quiet(Channel):
        """Says nothing."""

    assert "x-sessions" not in build([Quiet])


def test_every_message_of_every_channel_is_in_it_the_error_too() -> None:
    assert {message["name"] for message in DOCUMENT["components"]["messages"].values()} == MESSAGES.keys()
    assert "error" in MESSAGES


def test_every_reference_leads_somewhere() -> None:
    references = [node["$ref"] for node in nodes(DOCUMENT) if isinstance(node.get("$ref"), str)]
    assert references
    for reference in references:
        assert isinstance(resolve(DOCUMENT, reference), dict), reference


def test_what_a_client_sends_is_received_and_linked_to_its_replies() -> None:
    for cls in CHANNELS:
        for action, operation in cls.receives.items():
            described = DOCUMENT["operations"][f"{cls.name}_receive_{action}"]
            assert described["action"] == "receive"
            assert actions(DOCUMENT, described["messages"]) == [action]
            replies = [*(output.action_name() for output in operation.outputs), "error"]
            assert actions(DOCUMENT, described["reply"]["messages"]) == replies
            assert described["reply"]["channel"] == {"$ref": f"#/channels/{cls.name}"}


def test_a_ping_is_answered_by_a_pong_and_a_job_by_job_queued() -> None:
    ping, job = (DOCUMENT["operations"][f"system_receive_{action}"] for action in ("ping", "system_message"))
    assert actions(DOCUMENT, ping["reply"]["messages"]) == ["pong", "error"]
    assert actions(DOCUMENT, job["reply"]["messages"]) == ["job_queued", "job_status", "error"]


@pytest.mark.parametrize("name", [cls.name for cls in CHANNELS])
def test_every_channel_takes_the_handshake_of_bus_v1(name: str) -> None:
    handshake = DOCUMENT["operations"][f"{name}_receive_connect"]
    assert handshake["action"] == "receive"
    assert actions(DOCUMENT, handshake["messages"]) == ["connect"]
    assert actions(DOCUMENT, handshake["reply"]["messages"]) == ["welcome", "error"]
    assert "`bus.v1` only" in handshake["description"]


def test_events_are_sent() -> None:
    sent = {name: op for name, op in DOCUMENT["operations"].items() if op["action"] == "send"}
    always = ("event_skipped", "resume_token")
    assert sent.keys() == {f"{cls.name}_send_{action}" for cls in CHANNELS for action in (*cls.events, *always)}
    assert actions(DOCUMENT, sent["system_send_job_result"]["messages"]) == ["job_result"]


def test_the_address_of_a_channel_is_its_path() -> None:
    assert DOCUMENT["channels"]["system"]["address"] == SystemChannel.path == "/ws/system"


@pytest.mark.parametrize("action", sorted(MESSAGES))
def test_the_action_is_one_value_and_required(action: str) -> None:
    frame = frame_of(DOCUMENT, action)
    assert frame["properties"]["action"] == {"const": action, "type": "string"}
    assert list(frame["properties"])[:2] == ["action", "payload"]
    assert "action" in frame["required"]


@pytest.mark.parametrize("action", sorted(MESSAGES))
def test_a_server_frame_always_has_a_payload(action: str) -> None:
    model = MESSAGES[action]
    promised = "payload" in frame_of(DOCUMENT, action)["required"]
    assert promised == (not issubclass(model, ClientMessage) or model.model_fields["payload"].is_required())


def test_a_ping_may_leave_its_payload_out_and_a_pong_has_null() -> None:
    assert frame_of(DOCUMENT, "ping")["required"] == ["action"]
    assert frame_of(DOCUMENT, "pong")["required"] == ["action", "payload"]
    assert frame_of(DOCUMENT, "pong")["properties"]["payload"] == {"type": "null"}


@pytest.mark.parametrize("action", sorted(MESSAGES))
def test_a_flat_key_is_left_out_rather_than_null(action: str) -> None:
    frame = frame_of(DOCUMENT, action)
    for key, schema in frame["properties"].items():
        if key != "payload":
            assert {"type": "null"} not in nodes(schema)
            assert "default" not in schema or schema["default"] is not None
            assert (key in frame["required"]) == (key == "action" or MESSAGES[action].model_fields[key].is_required())


@pytest.mark.parametrize("action", sorted(MESSAGES))
def test_every_example_is_a_frame_as_it_goes_over_the_wire(action: str) -> None:
    examples = message_of(DOCUMENT, action).get("examples", [])
    assert examples, f"give the fields of {MESSAGES[action].__name__} examples that it accepts"
    for example in examples:
        frame = example["payload"]
        message = MESSAGES[action].model_validate_json(json.dumps(frame))
        written = json.loads(message.encode())
        if isinstance(message, ClientMessage):
            assert without_nulls(written) == frame
        else:
            assert list(written.items()) == list(frame.items())


def test_every_message_says_in_which_modes_it_is_and_an_example_for_each() -> None:
    only_v1 = {action for action in MESSAGES if message_of(DOCUMENT, action)["x-modes"] == ["bus.v1"]}
    progress = {"job_started", "job_retrying", "job_progress", "job_output"}
    assert only_v1 == {"connect", "welcome", "event_skipped", "resume_token", *progress}
    for action in MESSAGES:
        message = message_of(DOCUMENT, action)
        assert {example.get("name") for example in message["examples"]} in ({None}, set(message["x-modes"]))
    assert message_of(DOCUMENT, "ping")["examples"] == [
        {"name": "plain", "payload": {"action": "ping"}},
        {"name": "bus.v1", "payload": {"action": "ping", "ref": "1"}},
    ]
    assert [*message_of(DOCUMENT, "system_notification")["examples"][0]] == ["payload"]  # alike in both


def test_the_session_comes_back_with_the_largest_seq_that_it_has_seen() -> None:
    seen: dict[str, int] = {}
    for frame in (step["frame"] for step in DOCUMENT["x-sessions"]["bus.v1"] if "frame" in step):
        if frame["action"] == "connect" and seen:
            assert frame["payload"]["cursors"] == seen
            return
        seen |= frame["payload"]["cursors"] if frame["action"] == "welcome" else {}
        seen |= {frame.get("group", "client"): frame["seq"]} if "seq" in frame else {}
    pytest.fail("the session is never taken up again")


def test_what_answers_a_frame_is_matched_by_its_ref() -> None:
    assert message_of(DOCUMENT, "ping")["correlationId"] == {"$ref": "#/components/correlationIds/ref"}
    assert message_of(DOCUMENT, "pong")["correlationId"] == {"$ref": "#/components/correlationIds/ref"}
    assert "correlationId" not in message_of(DOCUMENT, "system_notification")


@pytest.mark.parametrize("seed", ["1", "2"])
def test_the_command_prints_the_same_document_every_time(seed: str) -> None:
    command = [sys.executable, "-W", "error::RuntimeWarning", "-m", "quart_app.web.asyncapi"]
    printed = subprocess.run(
        command, env=os.environ | {"PYTHONHASHSEED": seed}, check=True, capture_output=True, timeout=60
    )
    assert printed.stdout.decode() == json.dumps(DOCUMENT, indent=2) + "\n"
    assert printed.stderr == b""


SECURED = build(CHANNELS, JOBS, security=Security("id"))


def test_where_tokens_are_asked_for_it_says_how_they_come() -> None:
    schemes = SECURED["components"]["securitySchemes"]
    assert schemes["bearer"]["bearerFormat"] == "JWT"
    assert (schemes["cookie"]["in"], schemes["cookie"]["name"]) == ("cookie", "id")
    for name, operation in SECURED["operations"].items():
        given = [resolve(SECURED, scheme["$ref"]) for scheme in operation.get("security", ())]
        assert given == (list(schemes.values()) if operation["action"] == "receive" else []), name
    refresh = SECURED["operations"]["system_receive_refresh_token"]
    assert actions(SECURED, refresh["reply"]["messages"]) == ["token_refreshed", "error"]
    assert actions(SECURED, SECURED["operations"]["system_send_token_expiring"]["messages"]) == ["token_expiring"]
    assert list(build(CHANNELS, security=Security())["components"]["securitySchemes"]) == ["bearer"]
    assert "securitySchemes" not in DOCUMENT["components"]
    for action, model in (("refresh_token", RefreshToken), ("token_expiring", TokenExpiring)):
        [example] = message_of(SECURED, action)["examples"]
        assert json.loads(model.model_validate_json(json.dumps(example["payload"])).encode()) == example["payload"]


async def test_a_process_that_asks_for_tokens_serves_that_document() -> None:
    app = create_app(Settings.load(auth="jwt", auth_secret="s" * 32, auth_cookie="id"))
    response = await app.test_client().get("/asyncapi.json")
    told = json.loads(await response.get_data(as_text=True))
    assert told | {"servers": SECURED["servers"]} == SECURED
    assert (await app.test_client().get("/asyncapi/docs/")).status_code == 200


# --- channels of other shapes ----------------------------------------------------------------------------


class Circle(BaseModel):
    shape: Literal["circle"]
    radius: float = Field(ge=0, examples=[1.5])


class Square(BaseModel):
    shape: Literal["square"]
    side: float


class Tree(BaseModel):
    name: str
    branches: list[Tree]


class Draw(ClientMessage):
    """Draw something."""

    action: Literal["draw"] = "draw"
    payload: Annotated[Circle | Square, Field(discriminator="shape", description="What to draw.")]
    key: Annotated[str, Field(max_length=8)] | int | None = None


class Plant(ClientMessage):
    action: Literal["plant"] = "plant"
    payload: Tree = Field(description="What to plant; <b>no</b> markup.")


class Progress(Event):
    """How far it is."""

    action: Literal["progress"] = "progress"
    payload: float | None = None
    attempt: int = Field(ge=1)


class Seen(Reply):
    action: Literal["seen"] = "seen"
    payload: dict[str, int]


@channel("/ws/paint", name="paint")
class PaintChannel(Channel):
    """Paints."""

    @ws_handler
    async def draw(self, message: Draw) -> None:
        """Take a drawing."""

    @ws_handler
    async def plant(self, message: Plant) -> None:
        """Take a tree."""

    @event_handler
    async def watch(self, event: Progress) -> Seen:
        """Count what was seen."""
        return Seen(payload={})


PAINT = build([PaintChannel])


def test_a_frame_without_reply_is_still_answered_by_an_error() -> None:
    assert actions(PAINT, PAINT["operations"]["paint_receive_draw"]["reply"]["messages"]) == ["error"]


def test_what_an_event_handler_makes_of_an_event_is_what_is_sent() -> None:
    assert actions(PAINT, PAINT["operations"]["paint_send_progress"]["messages"]) == ["seen"]
    assert messages_of(PaintChannel).keys() == {message["name"] for message in PAINT["components"]["messages"].values()}


def test_a_union_has_no_openapi_discriminator() -> None:
    assert not [node for node in nodes(PAINT) if "discriminator" in node]
    assert [example["payload"]["payload"] for example in message_of(PAINT, "draw")["examples"]] == [
        {"shape": "circle", "radius": 1.5},
        {"shape": "circle", "radius": 1.5},
    ]


def test_a_reference_has_no_neighbours_which_draft_7_would_ignore() -> None:
    assert frame_of(PAINT, "plant")["properties"]["payload"] == {
        "allOf": [{"$ref": "#/components/schemas/Tree"}],
        "description": "What to plant; <b>no</b> markup.",
    }


def test_an_optional_union_keeps_its_other_choices() -> None:
    key = frame_of(PAINT, "draw")["properties"]["key"]
    assert key == {"anyOf": [{"type": "string", "maxLength": 8}, {"type": "integer"}]}


def test_a_payload_may_be_null_where_the_model_says_so() -> None:
    class Passing(Channel):
        """Passes on."""

        path = "/ws/passing"
        name = "passing"
        passthrough_events = (Progress,)

    document = build([Passing])
    frame = frame_of(document, "progress")
    assert frame["properties"]["payload"] == {"anyOf": [{"type": "number"}, {"type": "null"}]}
    assert frame["required"] == ["action", "payload", "attempt"]
    assert message_of(document, "progress")["examples"][0]["payload"]["attempt"] == 1


def test_an_example_that_cannot_be_found_is_left_out() -> None:
    assert "examples" not in message_of(PAINT, "plant")


class Elsewhere:
    class Draw(ClientMessage):
        """Another message of the same name and action."""

        action: Literal["draw"] = "draw"
        payload: int


@channel("/ws/elsewhere", name="elsewhere")
class ElsewhereChannel(Channel):
    """Draws too."""

    @ws_handler
    async def draw(self, message: Elsewhere.Draw) -> None:
        """Take a number."""


def test_two_models_of_one_name_are_kept_apart() -> None:
    document = build([PaintChannel, ElsewhereChannel])
    payloads = []
    for name in ("paint", "elsewhere"):
        operation = document["operations"][f"{name}_receive_draw"]
        message = resolve(document, resolve(document, operation["messages"][0]["$ref"])["$ref"])
        payloads.append(resolve(document, message["payload"]["$ref"])["properties"]["payload"])
    assert "oneOf" in payloads[0]
    assert payloads[1] == {"type": "integer"}


# --- the pages -------------------------------------------------------------------------------------------


PAGES: dict[tuple[str, tuple[type[Channel], ...]], str] = {}


async def page(path: str, *channels: type[Channel]) -> str:
    if (path, channels) not in PAGES:
        response = await create_app(Settings.load(), channels or CHANNELS).test_client().get(path)
        assert response.status_code == 200
        PAGES[path, channels] = await response.get_data(as_text=True)
    return PAGES[path, channels]


async def test_the_document_is_served() -> None:
    servers = {"here": DOCUMENT["servers"]["here"] | {"host": "localhost", "protocol": "ws"}}
    assert json.loads(await page("/asyncapi.json")) == DOCUMENT | {"servers": servers}


async def test_the_docs_without_slash_lead_to_the_docs() -> None:
    response = await create_app(Settings.load()).test_client().get("/asyncapi/docs")
    assert response.status_code == 308
    assert response.headers["Location"].endswith("/asyncapi/docs/")


async def test_the_docs_show_every_message_with_an_example_and_nothing_inline() -> None:
    html = await page("/asyncapi/docs/")
    for action in MESSAGES:
        assert f"<code>{action}</code></a></h4>" in html
        assert f"&#34;action&#34;: &#34;{action}&#34;" in html
    assert not re.findall(r"<script(?![^>]* src=)", html)
    assert " style=" not in html


async def test_every_link_within_the_docs_leads_somewhere() -> None:
    html = await page("/asyncapi/docs/", *CHANNELS, PaintChannel)
    ids = re.findall(r' id="([^"]+)"', html)
    assert len(ids) == len(set(ids))
    links = set(re.findall(r'href="#([^"]+)"', html))
    assert {link for link in links if not link.startswith("try/")} <= set(ids)
    of_console = {
        f"try/{cls.name}/{action}" for cls in (*CHANNELS, PaintChannel) for action in (*cls.receives, "connect")
    }
    of_console |= {f"try/system/system_message/{name}" for name in JOBS}
    assert {link for link in links if link.startswith("try/")} == of_console


async def test_text_from_models_is_escaped() -> None:
    html = await page("/asyncapi/docs/", *CHANNELS, PaintChannel)
    assert "&lt;b&gt;no&lt;/b&gt; markup" in html
