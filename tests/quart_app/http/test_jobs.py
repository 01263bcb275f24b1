"""Jobs over HTTP: handed in, looked at, cancelled, retried; and what is refused, with which words and status."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from testbed.servers import Web, wait_until
from testbed.system import System
from tests import own_jobs, typed_jobs
from tests.e2e import patient
from tests.e2e.patient import let_end
from tests.metrics_page import counted
from tests.sse import Answer, ask, reading

SECRET = "s" * 64
TWICE = {"delay": 1, "not_before": "2030-01-01T00:00:00Z"}
FOLLOW = """
curl() {
    case "$*" in
    *-N*) timeout 30 grep -m1 "event: job_result" <(exec curl -s "$@") ;;
    *) command curl -s --fail-with-body "$@" ;;
    esac
}
"""
"""For a shell: what would be followed for ever ends with a result."""
HELLO = {"task_type": "translate", "content": "hello"}


@pytest.fixture(scope="module")
def system(servers: System) -> System:
    """With a worker, a job that runs until it may end, and one that takes an object."""
    servers.settings |= {
        "BUS_SECRET": SECRET,
        "PYTHONPATH": own_jobs.install(servers.directory, typed_jobs.RESIZE + patient.JOB),
    }
    servers.worker()
    return servers


async def submit(web: Web, body: Any = HELLO, **headers: str) -> tuple[Answer, dict[str, str]]:
    """Of a new client, or of the one that the headers are of; and the headers that are its from then on."""
    done = await ask(web, "POST", "/api/jobs", body, **headers)
    assert done.status == 202, done
    return done, {"Authorization": f"Bearer {done.body['resume']}"}


async def test_a_job_is_accepted_and_its_result_is_fetched(web: Web) -> None:
    done, ann = await submit(web)
    assert done.headers["location"] == f"/api/jobs/{done.body['job_id']}"
    assert done.body["state"] == "job_queued"
    ended = await ask(web, "GET", done.headers["location"] + "?wait=30", **ann)
    assert (ended.status, ended.body["state"], ended.body["result"]) == (
        200,
        "job_result",
        "🌍 Translated: 'hello' → 'hola'",
    )
    # A browser is known by its cookie, and is shown the same from its beginning.
    async with reading(web, "?last_event_id=client:0", Cookie=done.headers["set-cookie"].partition(";")[0]) as reader:
        welcome, *events = await reader.until("job_result")
        assert welcome.data["payload"]["recovered"] is True
        assert welcome.data["payload"]["client_id"] == done.body["client_id"]
        assert [event.event for event in events] == ["job_queued", "job_started", "job_result"]
        assert {event.data["job_id"] for event in events} == {done.body["job_id"]}


async def test_the_same_key_is_the_same_job(web: Web) -> None:
    first, ann = await submit(web, Idempotency_Key="order-17")
    again = await ask(web, "POST", "/api/jobs", HELLO, Idempotency_Key="order-17", **ann)
    assert (again.status, again.body["job_id"]) == (200, first.body["job_id"])
    others, _ = await submit(web, Idempotency_Key="order-17")
    assert others.body["job_id"] != first.body["job_id"]


async def test_a_job_is_cancelled_and_done_again(system: System, web: Web) -> None:
    done, ann = await submit(web, {"task_type": "patient", "content": "http"})
    path = done.headers["location"]
    early = await ask(web, "POST", f"{path}/retry", {}, **ann)
    assert (early.status, early.body["error"]["type"]) == (409, "job_not_ended")
    cancelled = await ask(web, "DELETE", path, **ann)
    assert (cancelled.status, cancelled.body["state"], cancelled.body["result"]) == (200, "job_cancelled", None)
    assert (await ask(web, "DELETE", path, **ann)).body["state"] == "job_cancelled"
    again = await ask(web, "POST", f"{path}/retry", {}, **ann)
    assert again.status == 202
    let_end(system, "http")
    ended = await ask(web, "GET", again.headers["location"] + "?wait=30", **ann)
    assert ended.body["result"] == "as long as it took"


async def test_a_job_waits_for_its_time_and_a_trace_that_is_none_is_passed_over(web: Web) -> None:
    done, ann = await submit(web, HELLO | {"delay": 3600}, traceparent="00-nonsense")
    waiting = await ask(web, "GET", done.headers["location"] + "?wait=0.1", **ann)
    assert waiting.body["state"] == "job_queued"
    assert waiting.body["not_before"] is not None
    await ask(web, "DELETE", done.headers["location"], **ann)


async def test_a_jobs_client_alone_can_do_anything_with_it(web: Web) -> None:
    done, ann = await submit(web)
    _, bob = await submit(web)
    path = done.headers["location"]
    forged = {"Authorization": ann["Authorization"][:-4] + "AAAA"}
    for method, of_job in (("GET", path), ("DELETE", path), ("POST", f"{path}/retry")):
        body = {} if method == "POST" else None
        others = await ask(web, method, of_job, body, **bob)
        assert (others.status, others.body["error"]["type"]) == (404, "unknown_job")
        assert (await ask(web, method, of_job, body)).status == 401
        assert (await ask(web, method, of_job, body, **forged)).status == 401
        assert (await ask(web, method, of_job.replace(path, path + "j" * 65), body, **ann)).status == 422
    assert (await ask(web, "POST", "/api/jobs", HELLO, **forged)).status == 401


@pytest.mark.parametrize(
    ("method", "path", "body", "headers", "status", "told"),
    [
        ("POST", "/api/jobs", b"{", {}, 400, ["json_invalid body"]),
        ("POST", "/api/jobs", [], {}, 422, ["dict_type body"]),
        ("POST", "/api/jobs", {"task_type": "translate"}, {}, 422, ["missing body content"]),
        (
            "POST",
            "/api/jobs",
            HELLO | {"not_before": "now"},
            {"Idempotency-Key": "k" * 129},
            422,
            ["not_a_time body not_before", "string_too_long header Idempotency-Key"],
        ),
        ("POST", "/api/jobs", HELLO | TWICE, {}, 422, ["not_before_and_delay body"]),
        (
            "POST",
            "/api/jobs",
            {"task_type": "resize", "content": {"width": "wide"}},
            {},
            422,
            ["int_parsing body content width"],
        ),
        ("POST", "/api/jobs", b"a=b", {"Content-Type": "application/x-www-form-urlencoded"}, 415, "not_json"),
        ("POST", "/api/jobs", HELLO, {"Origin": "https://elsewhere.example.com"}, 403, "forbidden"),
        ("GET", "/api/events", None, {"Origin": "https://elsewhere.example.com"}, 403, "forbidden"),
        ("GET", "/api/events?last_event_id=42", None, {}, 422, ["bad_position query last_event_id"]),
        ("PUT", "/api/jobs", {}, {}, 405, "method_not_allowed"),
        ("GET", "/api/nothing", None, {}, 404, "not_found"),
    ],
)  # fmt: skip
async def test_what_is_wrong_is_told_in_json(
    web: Web, method: str, path: str, body: Any, headers: dict[str, str], status: int, told: Any
) -> None:
    refused = await ask(web, method, path, body, **headers)
    assert refused.status == status, refused
    error = refused.body["error"]
    if isinstance(told, str):
        assert error["type"] == told
        assert "items" not in error
    else:
        assert error["type"] == "invalid"
        assert sorted(" ".join([item["type"], *map(str, item["loc"])]) for item in error["items"]) == sorted(told)


async def test_a_body_that_is_too_large_is_told_how_large_it_may_be(web: Web) -> None:
    refused = await ask(web, "POST", "/api/jobs", b'"' + b"x" * 70_000 + b'"')
    assert (refused.status, refused.body["error"]["type"]) == (413, "too_large")
    assert refused.body["error"]["msg"] == "the body is larger than 65,536 bytes (BUS_MAX_FRAME_BYTES)"


async def test_beside_the_api_errors_are_as_they_were(web: Web) -> None:
    assert (await ask(web, "GET", "/apiary")).headers["content-type"].startswith("text/html")


async def test_who_asks_too_often_is_told_to_wait(system: System) -> None:
    strict = await asyncio.to_thread(lambda: system.web(BUS_FRAME_RATE="0.001", BUS_FRAME_BURST="2"))
    done, ann = await submit(strict)
    path = done.headers["location"]
    assert [(await ask(strict, "GET", path, **ann)).status for _ in range(3)] == [200, 200, 429]
    assert (await submit(strict))[0].status == 202  # of another client, from the same address
    refused = await ask(strict, "POST", "/api/jobs", HELLO)
    assert (refused.status, refused.body["error"]["type"]) == (429, "too_many_requests")
    assert int(refused.headers["retry-after"]) > 0
    # A browser's EventSource would never come back after any other status.
    async with reading(strict, Accept="text/event-stream") as reader:
        assert reader.status == 200
        record = await reader.record()
        assert record is not None
        assert record.retry is not None
        assert record.event == ""


async def test_all_of_a_network_of_ipv6_that_are_new_ask_as_one(system: System) -> None:
    strict = await asyncio.to_thread(
        lambda: system.web(BUS_FRAME_RATE="0.001", BUS_FRAME_BURST="1", BUS_TRUSTED_PROXIES="127.0.0.1")
    )
    came = ("2001:db8::1", "2001:db8::2", "2001:db8:0:1::1")
    statuses = [(await ask(strict, "POST", "/api/jobs", HELLO, X_Forwarded_For=peer)).status for peer in came]
    assert statuses == [202, 429, 202]


async def test_a_wait_ends_when_the_process_is_about_to_stop(system: System) -> None:
    going = await asyncio.to_thread(lambda: system.web())
    done, ann = await submit(going, HELLO | {"delay": 3600})
    asking = asyncio.create_task(ask(going, "GET", done.headers["location"] + "?wait=60", **ann))
    metrics = f"{going.url}/metrics"
    await asyncio.to_thread(wait_until, lambda: counted(metrics)["busctl_request_waits"] == 1, "request that waits")
    assert await asyncio.to_thread(going.stop) == 0
    assert (await asking).body["state"] == "job_queued"


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl on PATH")
def test_what_the_documentation_shows_works(web: Web, tmp_path: Path) -> None:
    """Every block for a shell, one after another."""
    page = (Path(__file__).parents[3] / "docs/how-to/http.md").read_text()
    script = "\n".join(f"echo '# block'\n{block}" for block in re.findall(r"^```sh\n(.*?)^```", page, re.M | re.S))
    command = ["bash", "-euc", FOLLOW + script]
    done = subprocess.run(
        command,
        env={"BUS": web.url, "PATH": os.defpath},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    submitted, followed, fetched, cancelled = done.stdout.split("# block\n")[1:]
    assert json.loads(submitted)["state"] == "job_queued"
    assert followed == "event: job_result\n"
    ended, again = map(json.loads, fetched.splitlines())
    assert ended["state"] == "job_result"
    assert again["state"] == "job_queued"
    assert json.loads(cancelled)["state"] == "job_cancelled"
