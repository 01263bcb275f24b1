"""Connection: whatever NATS says or does, it heals, or says why not."""

import asyncio
import gc
import signal
import socket
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest
import structlog
from nats.errors import MaxPayloadError

from bus import (
    Bus,
    BusRefused,
    BusUnavailable,
    InvalidName,
    NotPermitted,
    Settings,
    SystemNotification,
    UnsupportedServer,
    subjects,
)
from bus.connection import Connection
from bus.messages import JobProgress
from bus.nats_login import NatsLogin
from bus.nats_url import NatsServer
from testbed.ports import free_port
from testbed.servers import ConfiguredNats, Nats
from tests.deadlines import shorten
from tests.nkeys import USER, Key, operator_mode
from tests.proxy import proxy_of

HEALED = 10.0
"""Seconds within which a login's return has to be noticed."""


def login(password: str, user: str = "u", more: str = "") -> str:
    return f'authorization {{ users: [ {{ user: "{user}", password: "{password}"\n{more} }} ] }}\n'


@contextmanager
def running(server: Nats) -> Iterator[Nats]:
    server.start()
    try:
        yield server
    finally:
        server.stop()


@pytest.fixture
def nats(tmp_path: Path) -> Iterator[ConfiguredNats]:
    """A server at which `u` has the password `right`."""
    with running(ConfiguredNats(tmp_path, login("right"))) as server:
        assert isinstance(server, ConfiguredNats)
        yield server


def url(server: Nats, credentials: str = "u:right") -> str:
    return server.url.replace("//", f"//{credentials}@")


@asynccontextmanager
async def bus_at(*urls: str, **overrides: object) -> AsyncIterator[Bus]:
    async with Bus(Settings.load(nats_url=",".join(urls), **overrides), name="test") as bus:
        yield bus


async def until(condition: Callable[[], object], seconds: float = HEALED) -> None:
    async with asyncio.timeout(seconds):
        while not condition():
            await asyncio.sleep(0.02)


async def say(bus: Bus, text: str) -> int:
    return (await bus.broadcast_event(SystemNotification(payload=text)))[0]


async def test_it_heals_when_its_login_is_revoked_and_given_back(nats: ConfiguredNats) -> None:
    heard: list[bytes] = []
    gaps: list[bool] = []
    with structlog.testing.capture_logs() as logs:
        async with bus_at(url(nats)) as bus:
            bus.add_gap_callback(lambda: gaps.append(bus.connected))
            await bus.subscribe(subjects.group("system"), lambda stored: heard.append(stored.data))
            await bus.confirm_subscriptions()
            await asyncio.to_thread(nats.configure, login("other"))
            await until(lambda: not bus.connected)
            with pytest.raises(BusUnavailable):
                await say(bus, "refused")
            with pytest.raises(BusUnavailable, match="authorization violation"):
                await bus.ping()
            closed = await bus.subscribe(subjects.group("closed"), lambda stored: None)
            await closed.close()
            await asyncio.to_thread(nats.configure, login("right"))
            await until(lambda: bus.connected)
            assert not nats.hears("live.group.closed")
            await say(bus, "healed")
            await until(lambda: heard)
    assert b"healed" in heard[0]
    assert gaps[0] is False
    assert gaps[-1] is True
    ends = [entry for entry in logs if entry["event"].startswith("lost NATS")]
    assert [("authorization" in entry["reason"], entry["log_level"]) for entry in ends] == [(True, "warning")]
    assert len(logs) <= 4, logs
    assert "right" not in str(logs)


async def test_it_heals_when_its_user_is_removed_and_comes_back(nats: ConfiguredNats) -> None:
    async with bus_at(url(nats)) as bus:
        await asyncio.to_thread(nats.configure, login("x", user="somebody-else"))
        await until(lambda: not bus.connected)
        await asyncio.to_thread(nats.configure, login("right"))
        await until(lambda: bus.connected)
        await say(bus, "healed")


@pytest.mark.parametrize("password", ["p@ss/w#1", "100%", "é:?x,y"])
async def test_a_password_is_percent_decoded(tmp_path: Path, password: str) -> None:
    from urllib.parse import quote

    with running(ConfiguredNats(tmp_path, login(password))) as server:
        async with bus_at(url(server, f"u:{quote(password, safe='')}")) as bus:
            await say(bus, "in")


async def test_a_token_is_percent_decoded(tmp_path: Path) -> None:
    with running(ConfiguredNats(tmp_path, 'authorization { token: "to@k/en" }')) as server:
        async with bus_at(url(server, "to%40k%2Fen")) as bus:
            await say(bus, "in")


async def test_a_refused_login_says_so_at_once_without_the_password(nats: ConfiguredNats) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(BusRefused, match="authorization violation; correct the user and password") as caught:
            async with bus_at(url(nats, "u:hunter2"), connect_timeout=30):
                pass
    assert "hunter2" not in str(caught.value)
    assert "start one" not in str(caught.value)


async def test_a_request_in_flight_ends_with_its_connection(nats: ConfiguredNats) -> None:
    async with bus_at(url(nats), append_timeout=30) as bus:
        nats.pause()
        waiting = asyncio.create_task(say(bus, "?"))
        await asyncio.sleep(0)
        nats.kill()
        async with asyncio.timeout(5):
            with pytest.raises(BusUnavailable, match="went away before it answered") as caught:
                await waiting
        assert caught.value.maybe_done


async def test_who_is_cancelled_while_it_sends_ends(nats: ConfiguredNats) -> None:
    async with bus_at(url(nats)) as bus:

        async def send() -> None:
            while True:
                await bus.publish_progress(JobProgress(payload=None, message="x" * 100_000), "c", "j")

        for _ in range(20):
            sending = asyncio.create_task(send())
            await asyncio.sleep(0.02)
            sending.cancel()
            await asyncio.wait({sending}, timeout=1)
            assert sending.cancelled()


async def test_a_permission_that_is_missing_is_named_at_once(tmp_path: Path) -> None:
    allowed = 'permissions: { publish: ["$JS.API.>"], subscribe: ["_INBOX.>"] }'
    with running(ConfiguredNats(tmp_path, login("right", more=allowed))) as server:
        async with bus_at(url(server), append_timeout=30) as bus, asyncio.timeout(10):
            with pytest.raises(
                NotPermitted,
                match=r'user "u" may not publish "bus.group.Every-One": .* add "bus.group.Every-One" to',
            ) as caught:
                await bus.broadcast_event(SystemNotification(payload="x"), groups=["Every-One"])
            assert not caught.value.maybe_done
            await bus.subscribe(subjects.group("system"), lambda stored: None)
            with pytest.raises(
                NotPermitted,
                match=r'may not subscribe "live.group.system": if it is meant to, add "live.group.system" to what',
            ):
                await bus.confirm_subscriptions()
            await until(lambda: not bus.connected)
            with pytest.raises(NotPermitted, match=r"live.group.system"):
                await bus.ping()
            await asyncio.to_thread(server.configure, login("right"))
            await until(lambda: bus.connected)
            assert server.hears("live.group.system")
            await say(bus, "allowed")


async def test_what_stays_refused_is_tried_again_now_and_then_and_not_all_the_time(tmp_path: Path) -> None:
    with running(ConfiguredNats(tmp_path, login("right", more='permissions: { subscribe: ["_INBOX.>"] }'))) as server:
        async with bus_at(url(server)) as bus:
            refused: list[BusRefused] = []
            await bus.subscribe(subjects.group("system"), lambda stored: None, refused.append)
            await until(lambda: refused)
            await asyncio.sleep(3)
            [connection] = server.monitored("connz")["connections"]
            assert connection["in_msgs"] < 50
            assert len(refused) == 1


async def test_an_inbox_that_may_not_be_heard_is_named_at_once(tmp_path: Path) -> None:
    with running(ConfiguredNats(tmp_path, login("right", more='permissions: { subscribe: ["live.>"] }'))) as server:
        async with asyncio.timeout(5):
            with pytest.raises(NotPermitted, match='may not subscribe "_INBOX'):
                async with bus_at(url(server), append_timeout=30):
                    pass


async def test_a_limit_of_subscriptions_refuses_only_what_is_too_much(tmp_path: Path) -> None:
    with running(ConfiguredNats(tmp_path, login("right") + "max_subscriptions: 3")) as server:
        heard: list[str] = []
        async with bus_at(url(server)) as bus:
            for name in ("a", "b"):
                await bus.subscribe(subjects.group(name), lambda stored: heard.append(stored.subject))
            await bus.confirm_subscriptions()
            more = [await bus.subscribe(subjects.group(name), lambda stored: None) for name in ("c", "d")]
            with pytest.raises(BusRefused, match=r'does not take "live.group.[cd]": maximum subscriptions'):
                await bus.confirm_subscriptions()
            assert not bus.connected or await until(lambda: not bus.connected) is None
            for subscription in more:
                await subscription.close()
            await until(lambda: bus.connected)
            await bus.broadcast_event(SystemNotification(payload="x"), groups=["a", "b"])
            await until(lambda: len(heard) == 2)
        assert "Client connection closed" not in server.output()


async def test_a_message_that_is_too_large_disturbs_nobody(tmp_path: Path) -> None:
    with running(ConfiguredNats(tmp_path, "max_payload: 4096")) as server:
        async with bus_at(server.url) as bus:
            connection = bus.stream._connection
            for size in (4000, 5000):
                with pytest.raises(MaxPayloadError):
                    await connection.request("bus.group.system", b"x" * size, headers={"Nats-Msg-Id": "x" * 90})
            client = connection._client
            await say(bus, "x")
            assert connection._client is client


async def test_it_heals_after_the_server_ended_it_over_a_payload(tmp_path: Path) -> None:
    with running(ConfiguredNats(tmp_path, "max_payload: 4096")) as server:
        async with bus_at(server.url) as bus:
            connection = bus.stream._connection
            assert connection._client is not None
            connection._client._max_payload = 1 << 20
            with pytest.raises(BusUnavailable, match="maximum payload violation"):
                await connection.request("bus.group.system", b"x" * 5000, timeout=10)
            await until(lambda: bus.connected)
            await say(bus, "healed")


async def test_too_many_connections_are_waited_for(tmp_path: Path) -> None:
    with running(ConfiguredNats(tmp_path, "max_connections: 1")) as server:
        async with bus_at(server.url) as first:
            with pytest.raises(BusUnavailable, match="maximum connections exceeded; raise max_connections"):
                async with bus_at(server.url, connect_timeout=3):
                    pass
            second = Bus(Settings.load(nats_url=server.url))
            second.begin()
            await first.close()
            await until(lambda: second.connected)
            await second.close()


async def test_a_server_that_comes_back_without_jetstream_is_not_ready_until_it_has_it(tmp_path: Path) -> None:
    with running(Nats(tmp_path)) as server:
        async with bus_at(server.url) as bus:
            server.stop()
            arguments, server.arguments = server.arguments, ()
            await asyncio.to_thread(server.start)
            await until(
                lambda: isinstance(getattr(bus.stream._connection.condition.trouble, "error", None), UnsupportedServer)
            )
            assert not bus.connected
            server.stop()
            server.arguments = arguments
            await asyncio.to_thread(server.start)
            await until(lambda: bus.connected)
            await say(bus, "healed")


async def test_a_stream_that_was_removed_is_declared_again(nats: ConfiguredNats) -> None:
    gaps = asyncio.Event()
    async with bus_at(url(nats)) as bus:
        bus.add_gap_callback(gaps.set)
        await bus.stream._connection.request("$JS.API.STREAM.DELETE.EVENTS", timeout=5)
        async with asyncio.timeout(HEALED):
            await gaps.wait()
        await say(bus, "healed")


async def test_a_frozen_server_is_noticed_and_healed(nats: ConfiguredNats) -> None:
    async with bus_at(url(nats), heal_timeout=0.1) as bus:
        shorten(bus, append_timeout=0.3)
        nats.pause()
        await until(lambda: not bus.connected)
        await until(lambda: not bus.stream._connection.is_connected, 20)
        assert bus.lost is None
        nats.resume()
        await until(lambda: bus.connected, 20)
        await say(bus, "healed")


async def test_a_frozen_server_is_noticed_and_every_append_has_its_deadline_however_much_waits_to_be_written(
    nats: ConfiguredNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.nats_client.PING_INTERVAL", 1)
    async with bus_at(url(nats)) as bus:
        client = bus.stream._connection._client
        assert client is not None
        nats.pause()
        # Far more than the kernel takes, and in more pieces than nats-py would let wait.
        appends = [asyncio.create_task(bus.stream.append("bus.group.system", b"x" * 8000)) for _ in range(1500)]
        async with asyncio.timeout(20):
            results = await asyncio.gather(*appends, return_exceptions=True)
            await client.ended
        assert [type(result) for result in results] == [BusUnavailable] * len(appends)
        nats.resume()
        await until(lambda: bus.connected, 20)
        await say(bus, "healed")


async def test_a_request_has_its_deadline_while_there_is_no_room_to_write(nats: ConfiguredNats) -> None:
    async with bus_at(url(nats)) as bus:
        connection = bus.stream._connection
        client = connection._client
        assert client is not None
        writes, client._flush_queue = client._flush_queue, asyncio.Queue[asyncio.Future[None]]()
        most, client._max_pending_size = client._max_pending_size, 1
        client._flush_timeout = 3600
        async with asyncio.timeout(5):
            with pytest.raises(TimeoutError):
                await connection.request("bus.group.system", b"x", timeout=0.1)
        client._flush_queue, client._max_pending_size = writes, most


async def test_a_silent_server_is_left_for_one_that_answers_though_the_stream_cannot_be_used_there(
    nats: ConfiguredNats, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.nats_client.PING_INTERVAL", 3600)
    other = ConfiguredNats(tmp_path, login("right"), jetstream=False)
    async with bus_at(url(nats), url(other)) as bus:
        shorten(bus, append_timeout=0.3)
        with running(other):
            nats.pause()
            await until(lambda: bus.reachable and bus.server_info["port"] == other.port)
            assert not bus.connected
            nats.resume()
        await until(lambda: bus.connected)
        await say(bus, "healed")


async def test_closing_while_the_server_is_frozen_has_a_deadline_and_leaves_nothing_behind(
    nats: ConfiguredNats, caplog: pytest.LogCaptureFixture
) -> None:
    bus = Bus(Settings.load(nats_url=url(nats)))
    await bus.connect()
    shorten(bus, append_timeout=0.3)
    await bus.subscribe(subjects.group("system"), lambda stored: None)
    nats.pause()
    async with asyncio.timeout(5):
        await bus.close()
    gc.collect()
    assert asyncio.all_tasks() == {asyncio.current_task()}
    assert "never retrieved" not in caplog.text
    nats.resume()


@pytest.mark.parametrize("turns", [1, 2, 3, 4])
async def test_closing_that_is_given_up_disconnects_all_the_same(nats: ConfiguredNats, turns: int) -> None:
    bus = Bus(Settings.load(nats_url=url(nats)))
    await bus.connect()
    client = bus.stream._connection._client
    assert client is not None
    closing = asyncio.create_task(bus.close())
    for _ in range(turns):
        await asyncio.sleep(0)
    closing.cancel()
    with pytest.raises(asyncio.CancelledError):
        await closing
    assert client.is_closed
    await until(lambda: not nats.monitored("connz")["connections"])
    await bus.close()
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_killed_server_is_waited_for_without_end(nats: ConfiguredNats) -> None:
    async with bus_at(url(nats), heal_timeout=0.1) as bus:
        nats.kill()
        await until(lambda: not bus.connected)
        await asyncio.sleep(1)  # ten times what a refusal may take
        assert bus.lost is None
        await asyncio.to_thread(nats.start)
        await until(lambda: bus.connected)


async def test_a_refusal_that_lasts_is_told_once_with_its_reason(nats: ConfiguredNats) -> None:
    told: list[str] = []
    async with bus_at(url(nats), heal_timeout=1) as bus:
        bus.on_lost = told.append
        await asyncio.to_thread(nats.configure, login("other"))
        await until(lambda: told)
        assert bus.lost is not None
        assert "authorization violation" in told[0]
        await asyncio.to_thread(nats.configure, login("right"))
        await until(lambda: bus.connected)
        assert bus.lost is None
    assert len(told) == 1


async def test_of_two_servers_the_one_that_takes_it_is_used(nats: ConfiguredNats, tmp_path: Path) -> None:
    with running(ConfiguredNats(tmp_path, login("other"))) as refusing:
        async with bus_at(url(refusing), nats.url) as bus:
            await say(bus, "x")
            nats.kill()
            await until(lambda: not bus.connected)
            await asyncio.to_thread(nats.start)
            await until(lambda: bus.connected)


def ways_in(directory: Path) -> dict[str, tuple[str, str, dict[str, str]]]:
    """By name, how servers know a user: their configuration, what stands before the @ of a URL, and other settings."""
    key, credentials, seed = Key(USER), directory / "user.creds", directory / "user.nk"
    seed.write_text(key.seed)
    everything = {"pub": [">"], "sub": [">"]}
    return {
        "password": (login("p%41 @"), "u:p%2541%20%40@", {}),
        "token": ('authorization { token: "t%41 @" }\n', "t%2541%20%40@", {}),
        "nkey": (f"authorization {{ users: [ {{ nkey: {key.public} }} ] }}\n", "", {"nats_nkey": str(seed)}),
        "jwt": (operator_mode(credentials, "u", everything), "", {"nats_creds": str(credentials)}),
    }


@pytest.mark.parametrize("way", ["password", "token", "nkey", "jwt"])
async def test_servers_learnt_from_a_cluster_know_it_too(tmp_path: Path, way: str) -> None:
    known, credentials, settings = ways_in(tmp_path)[way]
    ports = [free_port(), free_port()]
    first, second = (
        ConfiguredNats(
            tmp_path,
            known + f"cluster {{ name: c, listen: 127.0.0.1:{ours}, routes: [nats://127.0.0.1:{theirs}] }}",
            jetstream=False,
        )
        for ours, theirs in (ports, ports[::-1])
    )
    with running(first), running(second):
        named = first.url.replace("//", f"//{credentials}")
        async with Bus(Settings.load(nats_url=named, **settings), declare=False) as bus:
            connection = bus.stream._connection
            await until(lambda: len(connection._servers.others(None)) == 2)
            first.kill()
            for _ in range(2):  # the one that was named is gone for good, and the other one is still known
                await until(lambda: connection._client is not None and connection._client.server.port == second.port)
                second.kill()
                await until(lambda: not connection.is_connected)
                await asyncio.to_thread(second.start)


async def test_addresses_that_only_a_cluster_can_reach_keep_nobody_from_the_server_that_was_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.nats_client.STEP_TIMEOUT", 3600)
    monkeypatch.setattr("bus.connection.CONNECT_TIMEOUT", 3600)
    ports = [free_port(), free_port()]
    with socket.create_server(("127.0.0.1", 0)) as nobody:  # takes connections, and says nothing
        advertised = ("", f"client_advertise: 127.0.0.1:{nobody.getsockname()[1]}\n")
        first, second = (
            ConfiguredNats(
                tmp_path,
                advertise + f"cluster {{ name: c, listen: 127.0.0.1:{ours}, routes: [nats://127.0.0.1:{theirs}] }}",
                jetstream=False,
            )
            for advertise, (ours, theirs) in zip(advertised, (ports, ports[::-1]), strict=True)
        )
        with running(first), running(second):
            async with Bus(Settings.load(nats_url=first.url), declare=False) as bus:
                await until(lambda: len(bus.stream._connection._servers.others(None)) == 2)
                first.kill()
                await until(lambda: not bus.connected)
                await asyncio.to_thread(first.start)
                await until(lambda: bus.connected)


async def test_a_server_whose_address_cannot_be_read_is_tried_in_vain_and_no_more(nats: ConfiguredNats) -> None:
    odd = NatsServer("nats", "[127.0.0.1]", nats.port)  # as a cluster may tell of one
    connection = Connection(NatsLogin([odd]), name="test", heal_timeout=60)
    connection.start()
    await until(lambda: "cannot be reached" in str(connection.condition.trouble))
    await connection.close(1)


async def test_lame_duck_mode_ends_the_connection_and_the_next_server_heals_it(tmp_path: Path) -> None:
    with running(ConfiguredNats(tmp_path, "lame_duck_duration: 30s\nlame_duck_grace_period: 1s\n")) as server:
        async with bus_at(server.url) as bus:
            assert server.process is not None
            server.process.send_signal(signal.SIGUSR2)
            await until(lambda: not bus.connected, 30)
            server.kill()
            await asyncio.to_thread(server.start)
            await until(lambda: bus.connected)


ENDING = (
    "Account Authentication Expired",
    "Authentication Timeout",
    "Authorization Violation",
    "Connection throttling is active",
    "Duplicate Client ID",
    "Maximum Connections Exceeded",
    "Maximum Control Line Exceeded",
    "Maximum Payload Violation",
    "Parser Error",
    "Secure Connection - TLS Required",
    "Slow Consumer (Write Deadline)",
    "Stale Connection",
    "Unknown Protocol Operation",
    "User Authentication Expired",
    "User Authentication Revoked",
    "something that no server says yet",
)


async def test_whatever_error_ends_a_connection_it_is_logged_with_its_reason_and_healed(
    nats: ConfiguredNats, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bus.server_pool.LONGEST_PAUSE", 0.1)  # longer ones come with many ends in a row
    with structlog.testing.capture_logs() as logs:
        async with proxy_of(nats.port) as proxy, bus_at(f"nats://u:right@127.0.0.1:{proxy.port}") as bus:
            for count, said in enumerate(ENDING, start=1):
                await proxy.say(f"-ERR '{said}'\r\n".encode(), close=count % 2 == 0)
                await until(lambda count=count: proxy.accepted > count and bus.connected)  # type: ignore[misc]
                await say(bus, said)
    reasons = [entry["reason"] for entry in logs if entry["event"].startswith("lost NATS")]
    assert len(reasons) == len(ENDING)
    assert [said for said, reason in zip(ENDING, reasons, strict=True) if said.lower() not in reason] == []


async def test_an_error_after_which_the_server_goes_on_ends_nothing(nats: ConfiguredNats) -> None:
    async with proxy_of(nats.port) as proxy, bus_at(f"nats://u:right@127.0.0.1:{proxy.port}") as bus:
        for said in ("Invalid Subject", "Invalid Publish Subject", 'Permissions Violation for Publish to "x"'):
            await proxy.say(f"-ERR '{said}'\r\n".encode(), close=False)
            await say(bus, said)
        assert proxy.accepted == 1


@pytest.mark.parametrize("subject", ["", "bus.group.", "bus.group.a b", "bus..x"])
async def test_who_asks_for_what_cannot_be_heard_disturbs_nobody(nats: ConfiguredNats, subject: str) -> None:
    async with bus_at(url(nats)) as bus:
        with pytest.raises(InvalidName, match=f"'{subject}' is no subject to hear"):
            await bus.subscribe(subject, lambda stored: None)
        with pytest.raises(InvalidName):
            async with bus.follow(subject):
                pass
        connection = bus.stream._connection
        assert connection._client is not None
        await connection._client.leave()
        await until(lambda: bus.connected)


async def test_garbage_from_the_server_is_healed(nats: ConfiguredNats) -> None:
    async with proxy_of(nats.port) as proxy, bus_at(f"nats://u:right@127.0.0.1:{proxy.port}") as bus:
        for count, words in enumerate((b"HTTP/1.1 200 OK\r\n\r\n", b"INFO {\r\n", b"MSG a b c\r\n"), start=1):
            await proxy.say(words, close=False)
            await until(lambda count=count: proxy.accepted > count and bus.connected, 20)  # type: ignore[misc]
            await say(bus, "healed")


async def test_a_message_that_is_no_text_disturbs_nobody(nats: ConfiguredNats) -> None:
    heard: list[bytes] = []
    async with bus_at(url(nats)) as bus:
        await bus.subscribe(subjects.client("c"), lambda stored: heard.append(stored.data))
        await bus.confirm_subscriptions()
        client = bus.stream._connection._client
        with socket.create_connection(("127.0.0.1", nats.port), timeout=5) as raw:
            raw.sendall(b'CONNECT {"user":"u","pass":"right","headers":true}\r\n')
            raw.sendall(b"PUB live.client.c.\xff\xfe 1\r\nx\r\n")
            raw.sendall(b"HPUB live.client.c.y 16 16\r\nNATS/1.0 \xff\xff\xff\r\n\r\n\r\nPING\r\n")
            while b"PONG" not in raw.recv(4096):
                pass
        await bus.send_event(SystemNotification(payload="x"), "c")
        await until(lambda: heard)
        assert bus.stream._connection._client is client


async def test_tls_that_was_asked_for_is_never_left_out(nats: ConfiguredNats) -> None:
    async with asyncio.timeout(5):
        with pytest.raises(BusRefused, match="does not require TLS, which tls:// asks for"):
            async with bus_at(url(nats).replace("nats://", "tls://"), connect_timeout=30):
                pass


@pytest.fixture
def certificate(tmp_path: Path) -> Path:
    """A certificate for 127.0.0.1 that signs itself, with its key behind it."""
    key, cert = tmp_path / "key.pem", tmp_path / "cert.pem"
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=127.0.0.1"
    files = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(cert)]
    subprocess.run([*command.split(), *files], check=True, capture_output=True)
    return cert


async def test_tls_with_an_unknown_authority_is_refused_and_with_a_known_one_used(
    certificate: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    key = certificate.with_name("key.pem")
    with running(ConfiguredNats(tmp_path, f'tls {{ cert_file: "{certificate}", key_file: "{key}" }}')) as server:
        for scheme in ("nats", "tls"):
            address = server.url.replace("nats", scheme)
            monkeypatch.delenv("SSL_CERT_FILE", raising=False)
            async with asyncio.timeout(8):
                with pytest.raises(BusRefused, match=r"TLS with NATS at .* failed: self.signed certificate"):
                    async with bus_at(address, connect_timeout=30):
                        pass
            monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
            async with bus_at(address) as bus:
                await say(bus, "x")
        async with bus_at(address) as bus:
            server.kill()
            await until(lambda: not bus.connected)
    assert [record.getMessage() for record in caplog.records if record.name == "asyncio"] == []


async def test_who_is_cancelled_while_there_is_no_room_to_write_leaves_no_subscription(nats: ConfiguredNats) -> None:
    async with bus_at(url(nats)) as bus:
        client = bus.stream._connection._client
        assert client is not None
        writes, client._flush_queue = client._flush_queue, asyncio.Queue[asyncio.Future[None]]()
        most, client._max_pending_size = client._max_pending_size, 1
        subscribing = asyncio.create_task(bus.subscribe(subjects.group("cancelled"), lambda stored: None))
        await asyncio.sleep(0)
        subscribing.cancel()
        client._flush_queue, client._max_pending_size = writes, most
        with pytest.raises(asyncio.CancelledError):
            await subscribing
        assert all(each.subject != "live.group.cancelled" for each in bus.stream._connection._subscriptions._all)
        await bus.confirm_subscriptions()
        assert not nats.hears("live.group.cancelled")


async def test_who_is_cancelled_in_the_moment_of_an_answer_does_not_go_on(nats: ConfiguredNats) -> None:
    async with bus_at(url(nats)) as bus:
        client = bus.stream._connection._client
        assert client is not None
        settling = asyncio.create_task(client.settle(5))
        async with asyncio.timeout(5):
            while not client._pongs:
                await asyncio.sleep(0)
        client._pongs[-1].set_result(True)
        settling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await settling
