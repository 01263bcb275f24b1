"""No log of a whole system tells a secret, a local variable or what a client wrote; nobody outside forges a line."""

from __future__ import annotations

import asyncio
import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import jwt
import nats as nats_py
import pytest

from bus import Settings
from testbed.planted import CONTENT, PLANTED, SECRET
from testbed.servers import LEAKS, Server, Web, Worker, wait_until
from testbed.system import System, running
from tests.clients import client
from workers.config import create_celery

JOBS = f'''
from workers.registry import job, JobContext

@job
def leaky(content: str, job: JobContext) -> str:
    api_key = "{SECRET}"
    text = content
    raise ValueError(f"{{api_key}} was refused for {{text}}\\n2026-01-01T00:00:00Z [error] FORGED")

@job(retry_on=(ValueError,), max_attempts=2, backoff=0.01)
def leaky_twice(content: str, job: JobContext) -> str:
    return leaky(content, job)
'''


@pytest.fixture(scope="module", params=["console", "json"])
def broken(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory: Path = tmp_path_factory.mktemp("logs")
    info = directory / "package" / "leaky-1.0.dist-info"
    info.mkdir(parents=True)
    (info.parent / "leaky.py").write_text(JOBS)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: leaky\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[busctl.jobs]\nleaky = leaky\n")
    settings = {"BUS_LOG_FORMAT": request.param, "BUS_LOG_LEVEL": "debug", "BUS_SECRET": SECRET}
    with running(directory, PYTHONPATH=str(info.parent), **settings) as system:
        yield system
    assert [line for line in LEAKS if str(directory) in line] == []


@pytest.fixture(scope="module")
def web(broken: System) -> Web:
    return broken.web()


@pytest.fixture(scope="module")
def worker(broken: System) -> Worker:
    return broken.worker("--concurrency", "1")


def checked(log: str) -> list[str]:
    """The lines of a log, once none of them tells what was planted, or is forged."""
    assert PLANTED not in log
    lines = log.splitlines()
    assert not [line for line in lines if line.startswith("2026-01-01T00:00:00Z")]
    assert not set(log) & set("\x1b\x9b\r\u2028\u202e\u200b")
    return lines


async def test_the_life_of_a_job_is_what_is_logged_with_its_id(web: Web, worker: Worker) -> None:
    async with client(web.ws_url) as connected:
        await connected.submit("default", CONTENT)
        job_id = (await connected.receive_until("job_result", 60))[-1]["job_id"]
        await connected.submit(CONTENT, "of a type that does not exist")
        await connected.receive_until("job_result", 60)

    def told(server: Server, what: str, about: str) -> list[str]:
        return [line for line in checked(server.output()) if what in line and about in line]

    def value(key: str, line: str) -> str:
        [found] = re.findall(rf'{key}"?[=:] ?"?([\w.-]+)', line)
        return str(found)

    wait_until(lambda: bool(told(worker, "job ended", job_id)), "end in the log")
    [accepted], [started], [ended] = (
        told(server, what, job_id) for server, what in ((web, "accepted"), (worker, "started"), (worker, "ended"))
    )
    connection_id = value("connection_id", accepted)
    wait_until(lambda: bool(told(web, "connection closed", connection_id)), "close in the log")
    [opened], [closed] = (told(web, what, connection_id) for what in ("connection opened", "connection closed"))
    assert len({value("client_id", line) for line in (opened, accepted, started, ended, closed)}) == 1
    assert [value(key, closed) for key in ("code", "reason")] == ["1000", "client"]
    assert [value(key, ended) for key in ("state", "attempt", "type")] == ["job_result", "1", "default"]
    assert float(value("seconds", closed)) >= float(value("seconds", ended)) >= 0


async def test_jobs_that_raise_what_they_were_given(broken: System, web: Web, worker: Worker) -> None:
    celery = create_celery(Settings.load(redis_url=broken.valkey.url))
    celery.send_task("jobs.unknown", args=("ann", CONTENT, {"content": CONTENT}), queue="jobs")
    celery.send_task("jobs.leaky", args=(CONTENT,), kwargs={"other": CONTENT}, queue="jobs")
    async with client(web.ws_url) as connected:
        for job in ("leaky", "leaky_twice"):
            await connected.submit(job, CONTENT)
            failed = (await connected.receive_until("job_failed", 60))[-1]
            assert SECRET in failed["payload"]  # what a job raises is for its client
    wait_until(lambda: worker.output().count("the job raised") == 3, "three attempts in the log")
    lines = checked(worker.output())
    assert any("leaky.py" in line for line in lines)
    assert any("ValueError" in line for line in lines)
    assert any("left a task of another application in Redis" in line for line in lines)
    assert any("set a malformed message aside" in line for line in lines)


async def test_what_reaches_the_web_process_from_outside(broken: System, web: Web) -> None:
    forged = "x\n2026-01-01T00:00:00Z [error] FORGED \x1b[31m\u2028\u202e\u200b"
    header = base64.urlsafe_b64encode(json.dumps({"alg": "HS256", "crit": [forged], "kid": forged}).encode()).decode()
    for token in (f"{header}.e30.eHh4", jwt.encode({"aud": forged, "sub": forged, "exp": 2**40}, SECRET)):
        async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
            await connected.send({"action": "connect", "payload": {"resume": token}})
            assert (await connected.receive())["payload"]["recovered"] is False
    async with client(web.ws_url) as connected:
        nats = await nats_py.connect(broken.nats.url)
        for garbage in ({"action": "system_notification", "payload": {CONTENT: forged}}, {"action": forged}, CONTENT):
            await nats.publish("bus.group.system", json.dumps(garbage).encode())
        await nats.close()
        await connected.send({"action": "system_message", "payload": {"task_type": [CONTENT], "content": forged}})
        await connected.receive_until("error")
    wait_until(lambda: "that is not an event" in web.output(), "dropped message in the log")
    lines = checked(web.output())
    if broken.settings["BUS_LOG_FORMAT"] == "json":
        assert all(json.loads(line) for line in lines)


async def test_hypercorns_own_lines_are_safe_too(broken: System) -> None:
    web = broken.web("hypercorn", "quart_app:app", "--access-logfile", "-")
    reader, writer = await asyncio.open_connection("127.0.0.1", web.port)
    writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\nUser-Agent: a\x9b31m\xc2\x85b\r\nConnection: close\r\n\r\n")
    assert b" 200 " in await reader.read()
    writer.close()
    wait_until(lambda: "/livez" in web.output(), "a line in the access log")
    [line] = [line for line in checked(web.output()) if "/livez" in line]
    assert r"a\x9b31m" in line
