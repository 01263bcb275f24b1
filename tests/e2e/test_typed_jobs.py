"""Typed jobs through a whole system: over the WebSocket and from the command line."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from testbed.servers import Web
from testbed.system import System, running
from tests import own_jobs, typed_jobs
from tests.cli.command import busctl
from tests.clients import Frame, client

CONTENT = ["system_message", "payload", "content"]


@pytest.fixture(scope="module")
def typed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("typed")
    found = own_jobs.install(directory, typed_jobs.SOURCE)
    with running(directory, PYTHONPATH=found, BUS_JOB_DELAY_SCALE="0") as system:
        system.worker()
        yield system


@pytest.fixture(scope="module")
def page(typed: System) -> Web:
    return typed.web()


async def answer(web: Web, task_type: str, content: Any, **extra: Any) -> list[Frame]:
    """What a submit is answered with in plain mode: an error alone, or the events of the job."""
    async with client(f"ws://127.0.0.1:{web.port}/ws/system") as browser:
        await browser.submit(task_type, content, **extra)
        frames = [await browser.receive()]
        if frames[0]["action"] == "job_queued":
            frames.append(await browser.receive())
        return frames


async def test_content_and_result_are_json_on_the_wire(page: Web) -> None:
    queued, result = await answer(page, "resize", {"width": 640, "title": "cat"})
    shown = '{"width":640,"title":"cat"}'
    assert queued["payload"] == f"⏳ Job queued: resize for {shown} (ID: {queued['job_id']})"
    assert queued["content"] == {"width": 640, "title": "cat"}
    assert (result["action"], result["task_type"]) == ("job_result", "resize")
    assert result["payload"] == {"width": 640, "height": 640, "files": ["cat.png"]}


@pytest.mark.parametrize(
    "value",
    [
        {"__type__": "datetime", "__value__": "never"},  # which Celery's JSON would read as something else
        {"body": [["a", "b"]], "request": {"content": 1}, "instance": "x", "action": "job_result"},
        [10**400, 1e-05, -0.0, "é\u2028</script>"],
        None,
        "text",
    ],
)
async def test_any_json_value_comes_back_as_it_was_sent(page: Web, value: Any) -> None:
    queued, result = await answer(page, "echo", value)
    assert queued["content"] == value
    assert result["payload"] == value


@pytest.mark.parametrize(
    ("task_type", "content", "items"),
    [
        ("resize", {"width": 0, "fit": "x"}, [("greater_than", ["width"]), ("enum", ["fit"])]),
        ("resize", {"width": 1, "crop": {"x": 0}}, [("missing", ["crop", "width"]), ("missing", ["crop", "height"])]),
        ("resize", "640", [("model_type", [])]),
        ("total", [1, "x"], [("int_parsing", [1])]),
        ("translate", {"width": 1}, [("string_type", [])]),
        ("no-such-type", 5, [("string_type", [])]),
    ],
)
async def test_content_that_does_not_fit_is_answered_with_pydantics_items(
    page: Web, task_type: str, content: Any, items: Any
) -> None:
    [error] = await answer(page, task_type, content, ref="r")
    assert (error["action"], error["ref"]) == ("error", "r")
    assert [(item["type"], item["loc"]) for item in error["payload"]] == [(kind, CONTENT + loc) for kind, loc in items]


NO_TEXT = '{"type":"string_type","loc":["system_message","payload","%s"],"msg":"Input should be a valid string"}'


@pytest.mark.parametrize(
    ("task_type", "items"),
    [
        ('"translate"', [NO_TEXT % "content"]),
        ('"no-such-type"', [NO_TEXT % "content"]),
        ("5", [NO_TEXT % "task_type", NO_TEXT % "content"]),
    ],
)
async def test_the_error_of_a_text_job_is_the_one_that_it_always_was(
    page: Web, task_type: str, items: list[str]
) -> None:
    async with client(f"ws://127.0.0.1:{page.port}/ws/system") as browser:
        await browser.send(f'{{"action":"system_message","payload":{{"task_type":{task_type},"content":5}}}}')
        assert await browser.socket.recv() == '{"action":"error","payload":[' + ",".join(items) + "]}"


async def test_a_flood_of_mistakes_is_answered_briefly(page: Web) -> None:
    [error] = await answer(page, "total", ["x"] * 10_000)
    assert len(error["payload"]) < 30
    assert len(json.dumps(error)) < 10_000


async def test_how_a_typed_job_stands_is_text(page: Web) -> None:
    async with client(f"ws://127.0.0.1:{page.port}/ws/system") as browser:
        await browser.submit("total", [1, 2])
        [queued, result] = [await browser.receive(), await browser.receive()]
        await browser.send({"action": "get_job", "payload": {"job_id": queued["job_id"]}})
        status = await browser.receive()
    assert result["payload"] == 3
    told = status["payload"]
    assert (told["job_id"], told["state"], told["text"]) == (queued["job_id"], "job_result", "3")


def test_the_document_of_the_system_has_the_schemas(page: Web) -> None:
    with urlopen(page.url + "/asyncapi.json", timeout=15) as response:  # noqa: S310
        document = json.load(response)
    payload = document["components"]["schemas"]["SystemMessage"]["properties"]["payload"]
    assert {"$ref": "#/components/schemas/TaskPayload_resize"} in payload["oneOf"]


def test_busctl_submits_json_and_prints_json(typed: System) -> None:
    for words in (['{"width": 10, "title": "cat"}'], ["width=10", "title=cat"]):
        done = busctl("submit", "resize", *words, "--wait", **typed.env)
        assert (done.returncode, done.stderr) == (0, "")
        assert json.loads(done.stdout) == {"width": 10, "height": 10, "files": ["cat.png"]}
    done = busctl("submit", "total", "[1, 2]", "--wait", "--json", **typed.env)
    events = [json.loads(line) for line in done.stdout.splitlines()]
    assert (events[0]["content"], events[-1]["payload"]) == ([1, 2], 3)
    listed = [json.loads(line) for line in busctl("jobs", "--json", **typed.env).stdout.splitlines()]
    assert (listed[-1]["content"], listed[-1]["text"]) == ([1, 2], "3")
    assert '{"width":10' in busctl("jobs", **typed.env).stdout


def test_a_result_that_is_not_what_the_job_says_fails_it_and_names_the_field(typed: System) -> None:
    failed = busctl("submit", "wrong", "10", "--wait", **typed.env)
    assert failed.returncode == 1
    assert "the result does not fit: height: Input should be a valid integer" in failed.stderr


def test_wrong_content_is_wrong_usage_and_nothing_is_submitted(typed: System) -> None:
    before = busctl("jobs", "--json", **typed.env).stdout
    refused = busctl("submit", "resize", "width=wide", **typed.env)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert "width: it should be a whole number" in refused.stderr
    assert busctl("jobs", "--json", **typed.env).stdout == before


def test_a_text_job_takes_its_word_as_it_is(typed: System) -> None:
    done = busctl("submit", "default", "a=b", "--wait", **typed.env)
    assert done.stdout == "✅ Processed: A=B\n"


def test_a_worker_with_another_version_of_a_model_fails_the_job_once(typed: System, tmp_path: Path) -> None:
    newer = typed_jobs.SOURCE.replace('title: str = Field("", max_length', "title: int = Field(0, le")
    env = typed.env | {"PYTHONPATH": own_jobs.install(tmp_path, newer)}
    done = busctl("submit", "resize", "width=10", "title=7", "--wait", **env)
    assert done.returncode == 1
    assert "the content does not fit: title: Input should be a valid string" in done.stderr
