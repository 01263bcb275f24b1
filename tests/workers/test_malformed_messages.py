"""A message that is not a task: set aside, counted, logged without its content, and everything else goes on."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import redis

from testbed.servers import Worker, wait_until
from testbed.system import running
from tests.workers.test_reconcile import QUICK, Bench
from workers.config import QUEUE
from workers.malformed import KEPT, LONGEST, MALFORMED, TOTAL

SECRET = "hunter2-of-a-client"


def envelope(**changes: Any) -> dict[str, Any]:
    """A message of the right shape for a job that does not exist, but for `changes`; None leaves a key out."""
    whole = {
        "body": json.dumps([[SECRET, "no-such-job"], {}, {"callbacks": None, "errbacks": None, "chain": None}]),
        "content-encoding": "utf-8",
        "content-type": "application/json",
        "headers": {"task": "jobs.default", "id": SECRET, "lang": "py"},
        "properties": {"delivery_tag": "a", "delivery_info": {"exchange": "", "routing_key": QUEUE}},
    }
    return {key: value for key, value in (whole | changes).items() if value is not None}


def headers(**changes: Any) -> dict[str, Any]:
    return {"headers": envelope()["headers"] | changes}


def properties(**changes: Any) -> dict[str, Any]:
    return {"properties": envelope()["properties"] | changes}


MESSAGES: dict[str, str | bytes] = {
    "empty": "",
    "binary": b"\x00\xff\xfe" + SECRET.encode(),
    "no JSON": "{" + SECRET,
    "JSON null": "null",
    "a number": "7",
    "text": json.dumps(SECRET),
    "a list": json.dumps([SECRET]),
    "NaN": '{"body": NaN}',
    "deeply nested": "[" * 100_000,
    "an empty object": "{}",
    "no body": json.dumps(envelope(body=None)),
    "a body that is an object": json.dumps(envelope(body={"secret": SECRET})),
    "a body that is no JSON": json.dumps(envelope(body="{" + SECRET)),
    "a body of another shape": json.dumps(envelope(body=json.dumps({"args": [SECRET]}))),
    "one argument": json.dumps(envelope(body=json.dumps([[SECRET], {}, {}]))),
    "arguments that are no text": json.dumps(envelope(body=json.dumps([[1, 2], {}, {}]))),
    "named arguments": json.dumps(envelope(body=json.dumps([["a", "b"], {"x": SECRET}, {}]))),
    "callbacks": json.dumps(envelope(body=json.dumps([["a", "b"], {}, {"callbacks": [7]}]))),
    "wrong base64": json.dumps(envelope(body="%%%" + SECRET, **properties(body_encoding="base64"))),
    "an unknown body encoding": json.dumps(envelope(**properties(body_encoding="rot13"))),
    "a body encoding that is a number": json.dumps(envelope(**properties(body_encoding=7))),
    "content type application/data": json.dumps(envelope(**{"content-type": "application/data"})),
    "content type pickle": json.dumps(envelope(**{"content-type": "application/x-python-serialize"})),
    "no content type": json.dumps(envelope(**{"content-type": None})),
    "an unknown content encoding": json.dumps(envelope(**{"content-encoding": "klingon"})),
    "no headers": json.dumps(envelope(headers=None)),
    "headers that are text": json.dumps(envelope(headers=SECRET)),
    "headers that are a list": json.dumps(envelope(headers=["task", SECRET])),
    "a task that is not text": json.dumps(envelope(**headers(task=["jobs.default"]))),
    "no id": json.dumps(envelope(headers={"task": "jobs.default"})),
    "an id that is a number": json.dumps(envelope(**headers(id=7))),
    "a time limit that is text": json.dumps(envelope(**headers(timelimit=SECRET))),
    "a time limit of one": json.dumps(envelope(**headers(timelimit=[1]))),
    "retries that are text": json.dumps(envelope(**headers(retries=SECRET))),
    "an expiry that is an object": json.dumps(envelope(**headers(expires={"x": SECRET}))),
    "an expiry that is not a time": json.dumps(envelope(**headers(expires=SECRET))),
    "a delay that is not a time": json.dumps(envelope(**headers(eta=SECRET))),
    "stamps that are text": json.dumps(envelope(**headers(stamped_headers=SECRET, stamps=7))),
    "compression": json.dumps(envelope(**headers(compression="zlib"))),
    "no properties": json.dumps(envelope(properties=None)),
    "properties that are a list": json.dumps(envelope(properties=[])),
    "no delivery tag": json.dumps(envelope(properties={"delivery_info": {"exchange": "", "routing_key": QUEUE}})),
    "a delivery tag that is an object": json.dumps(envelope(**properties(delivery_tag={}))),
    "no delivery info": json.dumps(envelope(properties={"delivery_tag": "a"})),
    "delivery info that is text": json.dumps(envelope(**properties(delivery_info=SECRET))),
    "a surrogate": json.dumps(envelope(**headers(id="\ud800"))),
    "huge": json.dumps(envelope(body=json.dumps([["a" * 2_000_000, SECRET], {}, {}]))),
}


@pytest.fixture(scope="module")
def bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    with running(tmp_path_factory.mktemp("malformed")) as system, closing(Bench(system)) as bench:
        yield bench


@pytest.fixture(scope="module")
def worker(bench: Bench) -> Worker:
    return bench.system.worker("--concurrency", "1", **QUICK)


@pytest.fixture
def client(bench: Bench) -> Iterator[redis.Redis]:
    with bench.system.valkey.client() as client:
        client.delete(MALFORMED, TOTAL)
        yield client


def goes_on(bench: Bench, worker: Worker) -> None:
    """A job is done, by the worker that was there from the beginning, whose log tells no content."""
    job = bench.submit()
    bench.all_ended(job)
    assert bench.life(job) == ["job_queued", "job_started", "job_result"]
    assert worker.process is not None
    assert worker.process.poll() is None
    assert SECRET not in worker.output()


@pytest.mark.parametrize("kind", MESSAGES)
def test_what_is_no_task_is_set_aside(bench: Bench, worker: Worker, client: redis.Redis, kind: str) -> None:
    raw = MESSAGES[kind]
    logged = worker.output().count("set a malformed message aside")
    client.lpush(QUEUE, raw)
    wait_until(lambda: client.llen(MALFORMED) == 1, "message set aside")
    wait_until(lambda: not client.exists("unacked", "unacked_index"), "nothing in hand")
    whole = raw if isinstance(raw, bytes) else raw.encode()
    assert client.lindex(MALFORMED, 0) == whole[:LONGEST]
    assert client.get(TOTAL) == b"1"
    goes_on(bench, worker)
    assert worker.output().count("set a malformed message aside") == logged + 1


def test_so_is_what_was_taken_and_cannot_be_given_back(bench: Bench, worker: Worker, client: redis.Redis) -> None:
    entries = {
        "a": "{" + SECRET,
        "b": "null",
        "c": json.dumps([envelope(properties=None), "", QUEUE]),
        "d": json.dumps([envelope(), None, None]),
    }
    client.hset("unacked", mapping=entries)
    client.zadd("unacked_index", dict.fromkeys(entries, 0))
    wait_until(lambda: client.llen(MALFORMED) == len(entries), "entries set aside")
    assert sorted(client.lrange(MALFORMED, 0, -1)) == sorted(entry.encode() for entry in entries.values())
    goes_on(bench, worker)


def test_only_the_latest_are_kept_and_all_are_counted(bench: Bench, worker: Worker, client: redis.Redis) -> None:
    client.lpush(QUEUE, *(str(number) for number in range(KEPT + 5)))
    wait_until(lambda: client.get(TOTAL) == str(KEPT + 5).encode(), "every message counted")
    assert client.lrange(MALFORMED, 0, -1) == [str(number).encode() for number in range(KEPT + 4, 4, -1)]
    goes_on(bench, worker)


@pytest.mark.parametrize("channel", ["/0.celery.pidbox", "/0.celeryev/worker.heartbeat", "/0.no-such-exchange"])
@pytest.mark.parametrize("kind", ["binary", "JSON null", "a list", "an empty object", "no headers", "wrong base64"])
def test_what_is_broadcast_is_dropped(
    bench: Bench, worker: Worker, client: redis.Redis, channel: str, kind: str
) -> None:
    client.publish(channel, MESSAGES[kind])
    goes_on(bench, worker)
    assert "connecting again" not in worker.output()
