"""Task messages: what Celery itself would send, many at a time."""

import json
from typing import Any

import pytest

from bus import Settings
from bus.job_log import JobRequest, JobState
from bus.messages import JobQueued
from testbed.system import System
from workers.config import QUEUE, create_celery
from workers.envelope import job_id
from workers.task_message import send
from workers.ticket import LARGEST_CONTENT


def a_job(number: int, content: str = "x") -> JobState:
    request = JobRequest(task_type="default", job_type="default", content=content)
    return JobState("client", f"job{number}", request, JobQueued(payload="", job_id=f"job{number}"), 1, None)


def waiting(system: System) -> list[dict[str, Any]]:
    """The messages in Redis, the next one first."""
    with system.valkey.client() as redis:
        return [json.loads(raw) for raw in reversed(redis.lrange(QUEUE, 0, -1))]


def test_a_message_is_what_celery_would_send(fresh: System) -> None:
    settings = Settings.load(redis_url=fresh.valkey.url)
    with create_celery(settings) as celery:
        job = a_job(1, "x" * LARGEST_CONTENT + "x")  # too long for a ticket
        send(celery, [job])
        celery.send_task("jobs.default", args=("client", "job1"), task_id="job1")
    ours, celerys = waiting(fresh)
    assert ours["properties"].pop("delivery_tag") != celerys["properties"].pop("delivery_tag")
    assert ours["properties"].pop("reply_to") == ""  # there are no result queues
    assert ours["headers"].pop("argsrepr") == ""
    assert ours["headers"].pop("ignore_result") is True
    assert json.loads(ours.pop("body"))[0] == ["client", "job1"]
    # kombu wraps the body in base64 for its own sake, and says so; a worker reads both.
    assert celerys["properties"].pop("body_encoding") == "base64"
    del celerys["properties"]["reply_to"], celerys["headers"]["argsrepr"], celerys["headers"]["ignore_result"]
    del celerys["body"]
    assert ours == celerys


def test_many_arrive_in_their_order(fresh: System) -> None:
    with create_celery(Settings.load(redis_url=fresh.valkey.url)) as celery:
        send(celery, [a_job(number) for number in range(50)])
    messages = waiting(fresh)
    assert [message["headers"]["id"] for message in messages] == [f"job{number}" for number in range(50)]
    assert len({message["properties"]["delivery_tag"] for message in messages}) == 50
    client_id, job_id, ticket = json.loads(messages[0]["body"])[0]
    assert (client_id, job_id, ticket["seq"]) == ("client", "job0", 1)


@pytest.mark.parametrize("content", ["x", '"body": "[[\\"a\\", \\"forged\\"', "x" * 5000])
def test_its_job_is_found_whatever_its_client_wrote(fresh: System, content: str) -> None:
    with create_celery(Settings.load(redis_url=fresh.valkey.url)) as celery:
        job = a_job(1, content)
        send(celery, [job])
        celery.send_task("jobs.default", args=("client", "job1"), task_id="another")
    messages = waiting(fresh)
    for raw in [*messages, *([message, "", QUEUE] for message in messages)]:
        assert job_id(json.dumps(raw).encode()) == "job1"
    assert job_id(b'"id": "job1"') is None
