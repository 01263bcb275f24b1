"""The tutorial's walk on the whole system: ping, every task type, an unknown one, notifications, repeats."""

import asyncio
import sys
from collections.abc import Iterator

import pytest

from bus import Settings, SyncBus, SystemNotification
from testbed.servers import BIN, Web
from testbed.system import System, running
from tests.clients import client
from workers.registry import EXAMPLES


async def notify(system: System, *arguments: str) -> tuple[int, str]:
    """Run `busctl notify` as an operator would."""
    process = await asyncio.create_subprocess_exec(
        BIN / "busctl",
        "notify",
        "--server",
        system.nats.url,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    async with asyncio.timeout(60):
        output, _ = await process.communicate()
    assert process.returncode is not None
    return process.returncode, output.decode()


@pytest.mark.parametrize(
    ("task_type", "content", "result"),
    [
        ("translate", "hello", "🌍 Translated: 'hello' → 'hola'"),
        (
            "analyze",
            "good morning",
            "📊 Analysis of 'good morning':\n• Characters: 12\n• Words: 2\n• Vowels: 4\n• Consonants: 7",
        ),
        (
            "generate",
            "help",
            "🤖 AI Response to 'help':\nOf course. Tell me what you are trying to do and where it stopped, "
            "and we will take it from there.",
        ),
        ("default", "text", "✅ Processed: TEXT"),
        ("no such type", "text", "✅ Processed: TEXT"),
        ("", "", "✅ Processed: "),
    ],
)
async def test_each_task_type(web: Web, task_type: str, content: str, result: str) -> None:
    async with client(web.ws_url) as connected:
        await connected.submit(task_type, content, ref="mine")
        queued, ended = await connected.receive(), await connected.receive(60)
    job_id = queued.pop("job_id")
    assert ended["seq"] > queued.pop("seq")
    assert ended["at"] > queued.pop("at")
    assert queued == {
        "action": "job_queued",
        "payload": f"⏳ Job queued: {task_type} for '{content}' (ID: {job_id})",
        "ref": "mine",
        "task_type": task_type,
        "content": content,
        **({} if task_type in EXAMPLES else {"runs": "default"}),
    }
    assert (ended["action"], ended["payload"], ended["job_id"]) == ("job_result", result, job_id)


async def test_a_notification_reaches_every_client(system: System, web: Web) -> None:
    async with client(web.ws_url) as one, client(web.ws_url) as two:
        status, _ = await notify(system, "Notification from server ✓ [bold]")
        assert status == 0
        for receiver in (one, two):
            frame = await receiver.receive()
            assert frame["action"] == "system_notification"
            assert frame["payload"] == "Notification from server ✓ [bold]"


async def test_a_notification_can_be_repeated(system: System, web: Web) -> None:
    async with client(web.ws_url) as connected:
        status, output = await notify(system, "Server restart in", "--repeat", "3", "--interval", "0.1")
        assert status == 0
        assert output.count("Server restart in") >= 1
        assert [(await connected.receive())["payload"] for _ in range(3)] == ["Server restart in"] * 3


async def test_scripts_can_broadcast_too(system: System, web: Web) -> None:
    script = (
        "from bus import Settings, SyncBus, SystemNotification\n"
        f"with SyncBus(Settings.load(nats_url={system.nats.url!r})) as bus:\n"
        "    bus.broadcast_event(SystemNotification(payload='from a script'))\n"
    )
    async with client(web.ws_url) as connected:
        process = await asyncio.create_subprocess_exec(sys.executable, "-c", script)
        async with asyncio.timeout(60):
            assert await process.wait() == 0
        assert (await connected.receive())["payload"] == "from a script"


async def test_twenty_clients_get_a_thousand_broadcasts_in_order(system: System, web: Web) -> None:
    async with asyncio.timeout(100):
        clients = [client(web.ws_url) for _ in range(20)]
        connected = [await one.__aenter__() for one in clients]

        def broadcast() -> list[int]:
            with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
                return [bus.broadcast_event(SystemNotification(payload=str(n)))[0] for n in range(1000)]

        async def receive_all(receiver: int) -> list[int]:
            return [(await connected[receiver].receive(60))["seq"] for _ in range(1000)]

        sent, *received = await asyncio.gather(asyncio.to_thread(broadcast), *map(receive_all, range(20)))
        assert received == [sent] * 20
        for one in clients:
            await one.__aexit__(None, None, None)


@pytest.fixture(scope="module")
def poolless(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """A system without a worker."""
    with running(tmp_path_factory.mktemp("poolless")) as system:
        yield system


@pytest.fixture(scope="module")
def webs(poolless: System) -> list[Web]:
    return [poolless.web(), poolless.web()]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--pool", "prefork", "--concurrency", "2"),
        ("--pool", "threads", "--concurrency", "4"),
        ("--pool", "solo"),
    ],
)
async def test_every_pool_and_several_web_processes(
    poolless: System, webs: list[Web], arguments: tuple[str, ...]
) -> None:
    worker = await asyncio.to_thread(poolless.worker, *arguments)

    async def submit_ten(web: Web) -> None:
        async with client(web.ws_url) as connected:
            for number in range(10):
                await connected.submit("default", f"n{number}")
            frames = [await connected.receive(60) for _ in range(20)]
            results = sorted(frame["payload"] for frame in frames if frame["action"] == "job_result")
            assert results == sorted(f"✅ Processed: N{number}" for number in range(10))

    await asyncio.gather(*(submit_ten(web) for web in webs for _ in range(3)))
    async with client(webs[0].ws_url) as one, client(webs[1].ws_url) as two:
        assert (await notify(poolless, "to both"))[0] == 0
        assert (await one.receive())["payload"] == (await two.receive())["payload"] == "to both"
    worker.kill()
