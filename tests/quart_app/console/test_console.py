"""The operator's channel: who gets in, what is told, what is done, and what of that stands in the log."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from testbed.planted import SECRET
from testbed.servers import Web, Worker
from testbed.system import System
from tests.clients import Client, Frame, client
from tests.quart_app.websocket.test_resume import close_code
from tests.tokens import AUDIENCE, ISSUER, SHARED, token

JWT = {
    "BUS_SECRET": SECRET,
    "BUS_AUTH": "jwt",
    "BUS_AUTH_SECRET": SHARED,
    "BUS_AUTH_ISSUER": ISSUER,
    "BUS_AUTH_AUDIENCE": AUDIENCE,
}
DEADLINE = 20.0


@pytest.fixture(scope="module")
def worker(servers: System) -> Worker:
    return servers.worker()


@pytest.fixture(scope="module")
def web(servers: System, worker: Worker) -> Web:
    return servers.web(BUS_CONSOLE="local", BUS_LOG_FORMAT="json")


@pytest.fixture
def idle(worker: Worker) -> Iterator[None]:
    worker.pause()
    yield
    worker.resume()


def url(web: Web) -> str:
    return web.ws_url.replace("/ws/system", "/ws/console")


@asynccontextmanager
async def console(web: Web, payload: dict[str, Any] | None = None, **options: Any) -> AsyncIterator[Client]:
    async with client(url(web), subprotocols=["bus.v1"], max_size=None, **options) as connected:
        await connected.send({"action": "connect", "payload": payload or {}})
        welcome = await connected.receive()
        assert welcome["action"] == "welcome", welcome
        yield connected


async def asked(operator: Client, action: str, payload: Any = None) -> Frame:
    """The answer to a frame; what is pushed meanwhile is passed over."""
    await operator.send({"action": action, "payload": payload, "ref": "asked"})
    while (frame := await operator.receive()).get("ref") != "asked":
        pass
    return frame


async def told(operator: Client, action: str, fits: Callable[[Any], bool]) -> Any:
    """The payload of the next such frame that fits."""
    async with asyncio.timeout(DEADLINE):
        while True:
            frame = await operator.receive(DEADLINE)
            if frame["action"] == action and fits(frame["payload"]):
                return frame["payload"]


async def submitted(web: Web, task_type: str, *contents: str, wait: bool = True) -> tuple[str, list[str]]:
    """A new client's jobs of these contents: the client's id, and theirs."""
    async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": {}})
        client_id = (await connected.receive())["payload"]["client_id"]
        found = []
        for content in contents:
            await connected.submit(task_type, content)
            found.append((await connected.receive_until("job_queued"))[-1]["job_id"])
        left = set(found) if wait else set()
        while left:
            frame = await connected.receive()
            if frame["action"] in ("job_result", "job_failed"):
                left.discard(frame["job_id"])
        return client_id, found


def actions(web: Web) -> list[dict[str, Any]]:
    """The audit lines."""
    lines = [line for line in web.output().splitlines() if '"operator action"' in line]
    return [json.loads(line) for line in lines]


async def test_jobs_are_listed_and_the_list_follows_what_happens(web: Web) -> None:
    async with console(web) as operator:
        client_id, job_ids = await submitted(web, "translate", "hello", "world")
        page = await asked(operator, "list_jobs", {"filter": {"client_id": client_id}})
        payload = page["payload"]
        if payload["counts"] != {"job_result": 2}:
            payload = await told(operator, "jobs_page", lambda page: page["counts"] == {"job_result": 2})
        _, [third] = await submitted(web, "analyze", "more")
        assert payload["total"] == 2
        payload = (await asked(operator, "list_jobs", {"limit": 1}))["payload"]
        while not payload["rows"] or payload["rows"][0]["state"] != "job_result":
            payload = await told(operator, "jobs_page", lambda page: bool(page["rows"]))
        [row] = payload["rows"]
        assert (row["job_id"], row["task_type"], row["content"], row["attempt"]) == (third, "analyze", "more", 1)
        assert row["queued_at"] < row["started_at"] <= row["last_at"]
        assert payload["order"] == [row["n"]]
        assert (payload["indexed"], payload["cut"]) == (1, False)
        again = await asked(operator, "list_jobs", {"limit": 1})
        assert (again["payload"]["order"], again["payload"]["rows"]) == ([row["n"]], [])
        again = await asked(operator, "list_jobs", {"limit": 1, "again": True})
        assert again["payload"]["rows"] == [row]
        found = await asked(operator, "list_jobs", {"filter": {"text": job_ids[0].upper()}, "again": True})
        assert [each["job_id"] for each in found["payload"]["rows"]] == [job_ids[0]]


async def test_a_job_is_told_as_stored_and_as_its_client_sees_it(web: Web, idle: None, worker: Worker) -> None:
    client_id, [job_id] = await submitted(web, "generate", "what is the weather", wait=False)
    async with console(web) as operator:
        first = (await asked(operator, "watch_job", {"client_id": client_id, "job_id": job_id}))["payload"]
        assert (first["first"], first["cut"], first["job_id"]) == (True, False, job_id)
        [queued] = first["events"]
        assert queued["stored"]["request"]["content"] == queued["shown"]["content"] == "what is the weather"
        assert "request" not in queued["shown"]
        worker.resume()
        events: list[Any] = []
        while not any((event["shown"] or {}).get("action") == "job_result" for event in events):
            events += (await told(operator, "job_events", lambda payload: not payload["first"]))["events"]
        kinds = [event["shown"]["action"] for event in events if event["shown"]]
        assert kinds[0] == "job_started"
        assert "job_output" in kinds
        written = "".join(event["shown"]["payload"] for event in events if event["shown"]["action"] == "job_output")
        assert written == events[-1]["shown"]["payload"]
        [started] = [event for event in events if event["shown"]["action"] == "job_started"]
        assert started["stored"]["instance"]
        assert "instance" not in started["shown"]
        assert [event["seq"] for event in events if event["seq"]] == sorted(
            event["seq"] for event in events if event["seq"]
        )


async def test_a_job_that_is_not_there_is_said_so(web: Web) -> None:
    async with console(web) as operator:
        answer = await asked(operator, "watch_job", {"client_id": "nobody", "job_id": "nothing"})
        assert [item["type"] for item in answer["payload"]] == ["unknown_job"]
        answer = await asked(operator, "watch_job", {"client_id": "no.body", "job_id": "nothing"})
        assert [item["type"] for item in answer["payload"]] == ["bad_name"]
        await operator.send({"action": "unwatch_job", "payload": None})
        await operator.ping()


async def test_named_jobs_are_cancelled_and_retried_with_an_audit_line_each(web: Web, idle: None) -> None:
    client_id, [first, second] = await submitted(web, "default", "one", "two", wait=False)
    names = [{"client_id": client_id, "job_id": job_id} for job_id in (first, second, "none")]
    async with console(web) as operator:
        begun = (await asked(operator, "cancel_jobs", {"jobs": [*names, names[0]]}))["payload"]
        assert (begun["total"], begun["over"]) == (3, False)
        over = await told(operator, "jobs_acted", lambda payload: payload["over"])
        assert (over["done"], over["skipped"], over["failed"]) == (2, 0, 1)
        assert [error["job_id"] for error in over["errors"]] == ["none"]
        await asked(operator, "cancel_jobs", {"jobs": names[:1]})
        over = await told(operator, "jobs_acted", lambda payload: payload["over"])
        assert (over["done"], over["skipped"]) == (0, 1)
        await asked(operator, "retry_jobs", {"jobs": names[:1]})
        over = await told(operator, "jobs_acted", lambda payload: payload["over"])
        [retried] = over["retried"]
        assert (retried["job_id"], over["done"]) == (first, 1)
        page = await asked(operator, "list_jobs", {"filter": {"text": retried["new_job_id"]}})
        rows = page["payload"]["rows"] or (await told(operator, "jobs_page", lambda page: bool(page["rows"])))["rows"]
        assert [(row["client_id"], row["retry_of"], row["state"]) for row in rows] == [(client_id, first, "job_queued")]
        again = await asked(
            operator, "retry_jobs", {"jobs": [{"client_id": client_id, "job_id": retried["new_job_id"]}]}
        )
        over = (
            again["payload"] if again["payload"]["over"] else await told(operator, "jobs_acted", lambda it: it["over"])
        )
        assert over["skipped"] == 1  # it has not ended
    lines = [line for line in actions(web) if line.get("of_client") == client_id]
    assert {(line["action"], line["outcome"], line["job_id"]) for line in lines} == {
        ("cancel_job", "done", first),
        ("cancel_job", "skipped", first),
        ("cancel_job", "done", second),
        ("cancel_job", "failed", "none"),
        ("retry_job", "done", first),
        ("retry_job", "skipped", retried["new_job_id"]),
    }
    assert all(line["operator"] == "anonymous" and line["address"].startswith("127.0.0.1:") for line in lines)


async def test_all_that_fit_a_filter_are_cancelled_unless_they_are_others_than_was_said(web: Web, idle: None) -> None:
    client_id, _ = await submitted(web, "default", *map(str, range(30)), wait=False)
    asking = {"client_id": client_id, "states": ["job_queued"]}
    async with console(web) as operator:
        page = await asked(operator, "list_jobs", {"filter": asking})
        if page["payload"]["total"] < 30:
            await told(operator, "jobs_page", lambda page: page["total"] == 30)
        refused = await asked(operator, "cancel_jobs", {"filter": asking, "expected": 20})
        assert [item["type"] for item in refused["payload"]] == ["changed"]
        begun = await asked(operator, "cancel_jobs", {"filter": asking, "expected": 30})
        assert begun["action"] == "jobs_acted", begun
        busy = await asked(operator, "cancel_jobs", {"filter": asking, "expected": 30})
        over = await told(operator, "jobs_acted", lambda payload: payload["over"])
        assert (over["done"], over["failed"], over["total"]) == (30, 0, 30)
        assert [item["type"] for item in busy["payload"]] == ["acting_already"]
        page = await asked(operator, "list_jobs", {"filter": {"client_id": client_id}})
        counts = page["payload"]["counts"]
        if counts != {"job_cancelled": 30}:
            await told(operator, "jobs_page", lambda page: page["counts"] == {"job_cancelled": 30})
        await asked(operator, "retry_jobs", {"filter": {"client_id": client_id}, "expected": 30})
        await operator.send({"action": "stop_acting", "payload": None})
        over = await told(operator, "jobs_acted", lambda payload: payload["over"])
        assert over["done"] + over["skipped"] + over["failed"] <= 30


@pytest.mark.parametrize(
    ("action", "payload"),
    [
        ("cancel_jobs", {}),
        ("cancel_jobs", {"jobs": []}),
        ("cancel_jobs", {"filter": {}}),
        ("cancel_jobs", {"jobs": [{"client_id": "a", "job_id": "b"}], "filter": {}, "expected": 1}),
        ("retry_jobs", {"jobs": [{"client_id": "a", "job_id": "b"}] * 201}),
        ("list_jobs", {"limit": 201}),
        ("list_jobs", {"filter": {"states": ["nonsense"]}}),
        ("list_jobs", {"filter": {"since": "yesterday"}}),
        ("announce", {"text": " "}),
        ("announce", {"text": "x", "group": "system", "client_id": "ann"}),
        ("announce", {"text": "x", "level": "loud"}),
        ("get_connections", {"web": ""}),
    ],
)
async def test_a_frame_that_says_too_little_or_too_much_is_refused(web: Web, action: str, payload: Any) -> None:
    async with console(web) as operator:
        answer = await asked(operator, action, payload)
        assert answer["action"] == "error"
        assert all(item["loc"][0] == action for item in answer["payload"])


async def test_the_system_and_its_connections_are_told(web: Web) -> None:
    async with console(web) as operator, client(web.ws_url) as other:
        await other.ping()
        state = (await asked(operator, "get_system"))["payload"]
        assert (state["ok"], state["faults"]) == (True, [])
        [process] = state["web"]
        assert (process["connections"], len(state["workers"])) == (2, 1)
        answer = await asked(operator, "get_connections", {"web": process["id"]})
        protocols = [each["protocol"] for each in answer["payload"]["connections"]]
        assert (sorted(protocols), answer["payload"]["more"]) == (["bus.v1", "plain"], False)
        gone = await asked(operator, "get_connections", {"web": "nobody-1"})
        assert [item["type"] for item in gone["payload"]] == ["gone"]


async def test_an_announcement_reaches_those_it_is_for(web: Web) -> None:
    async with (
        console(web) as operator,
        client(web.ws_url, subprotocols=["bus.v1"]) as one,
        client(web.ws_url, subprotocols=["bus.v1"]) as other,
    ):
        for each in (one, other):
            await each.send({"action": "connect", "payload": {}})
        client_id = (await one.receive())["payload"]["client_id"]
        await other.receive()
        first = await asked(operator, "announce", {"text": "to one", "client_id": client_id, "level": "critical"})
        last = await asked(operator, "announce", {"text": "to all"})
        shown = [await one.receive() for _ in range(2)]
        assert [frame["payload"] for frame in shown] == ["to one", "to all"]
        assert [frame["seq"] for frame in shown] == [first["payload"]["seq"], last["payload"]["seq"]]
        assert shown[0]["level"] == "critical"
        assert (await other.receive())["payload"] == "to all"
    lines = [line for line in actions(web) if line["action"] == "announce"]
    assert [(line["text"], line.get("of_client"), line.get("group")) for line in lines[-2:]] == [
        ("to one", client_id, None),
        ("to all", None, "system"),
    ]


@pytest.mark.parametrize(
    ("host", "headers"), [("console.example.com", {}), ("127.0.0.1", {"X-Forwarded-For": "10.0.0.1"})]
)
async def test_who_is_not_on_this_machine_is_turned_away(web: Web, host: str, headers: dict[str, str]) -> None:
    options = {"host": "127.0.0.1", "port": web.port, "additional_headers": headers}
    async with client(f"ws://{host}/ws/console", subprotocols=["bus.v1"], **options) as connected:
        await connected.send({"action": "connect", "payload": {}})
        assert await close_code(connected) == 4403
    with pytest.raises(InvalidStatus) as refused:
        async with client(f"ws://{host}/ws/console", **options):
            pass
    assert refused.value.response.status_code == 403


async def test_with_tokens_an_operator_comes_in_and_nobody_else(servers: System) -> None:
    web = servers.web(**JWT, BUS_LOG_FORMAT="json")
    async with client(url(web), subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": {"token": token()}})
        assert await close_code(connected) == 4403
    async with client(url(web), subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": {}})
        assert await close_code(connected) == 4401
    async with console(web, {"token": token(role="operator", sub="olga")}) as operator:
        await asked(operator, "announce", {"text": "from olga"})
        assert (await asked(operator, "list_jobs", {}))["action"] == "jobs_page"
        # who is an operator no more has to go
        await operator.send({"action": "refresh_token", "payload": {"token": token(sub="olga")}})
        assert await close_code(operator) == 4403
    assert [line["operator"] for line in actions(web)] == ["olga"]


@pytest.mark.parametrize("settings", [{}, {"BUS_CONSOLE": "off"}])
async def test_where_nobody_may_use_it_there_is_none(servers: System, settings: dict[str, str]) -> None:
    web = servers.web(**settings)
    with pytest.raises(InvalidStatus) as refused:
        async with client(url(web)):
            pass
    assert refused.value.response.status_code == 404
