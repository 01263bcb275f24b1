"""Where tokens are asked for: who comes in and how, what is whose, and what happens when a token ends."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
from websockets.exceptions import InvalidStatus

from bus import Settings, SyncBus, SystemNotification
from testbed.planted import CONTENT, SECRET
from testbed.servers import Web
from testbed.system import System
from tests.clients import Client, client
from tests.http import get
from tests.quart_app.test_metrics import counted, until
from tests.quart_app.websocket.test_resume import close_code, job, v1
from tests.tokens import AUDIENCE, ISSUER, SHARED, jwk, jwks, pem, token

COOKIE = "__Host-id"
JWT = {
    "BUS_SECRET": SECRET,
    "BUS_AUTH": "jwt",
    "BUS_AUTH_SECRET": SHARED,
    "BUS_AUTH_PUBLIC_KEY": pem("RSA"),
    "BUS_AUTH_ISSUER": ISSUER,
    "BUS_AUTH_AUDIENCE": AUDIENCE,
    "BUS_AUTH_COOKIE": COOKIE,
}


@pytest.fixture(scope="module")
def system(servers: System) -> System:
    servers.worker()
    return servers


@pytest.fixture(scope="module")
def web(system: System) -> Iterator[Web]:
    web = system.web(**JWT)
    yield web
    assert "Traceback" not in web.output()
    assert "eyJ" not in web.output()  # how every token begins


def bearer(given: str) -> dict[str, Any]:
    return {"additional_headers": {"Authorization": f"Bearer {given}"}}


def cookie(given: str, **headers: str) -> dict[str, Any]:
    return {"additional_headers": {"Cookie": f"other=x; {COOKIE}={given}"} | headers}


@asynccontextmanager
async def welcomed(url: str, payload: dict[str, Any], **options: Any) -> AsyncIterator[tuple[Client, dict[str, Any]]]:
    """A welcomed bus.v1 connection of a handshake with these options."""
    async with client(url, subprotocols=["bus.v1"], **options) as connected:
        await connected.send({"action": "connect", "payload": payload})
        welcome = await connected.receive()
        assert welcome["action"] == "welcome", welcome
        yield connected, welcome["payload"]


async def refused(url: str, **payload: Any) -> str | None:
    """Why a connect is refused."""
    async with client(url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": payload})
        assert await close_code(connected) == 4401
        return connected.socket.close_reason


async def status_of(url: str, **options: Any) -> int:
    """With what a handshake is refused."""
    with pytest.raises(InvalidStatus) as answer:
        async with client(url, **options):
            pass
    return answer.value.response.status_code


async def test_a_token_in_the_frame_a_header_or_a_cookie_names_the_same_user(web: Web) -> None:
    given = token(sub="auth0|x")
    for payload, options in (({"token": given}, {}), ({}, bearer(given)), ({}, cookie(given, Origin=web.url))):
        async with welcomed(web.ws_url, payload, **options) as (connected, welcome):
            assert len(welcome["client_id"]) == 48
            await connected.ping()
    async with welcomed(web.ws_url, {"token": token("RSA", "RS256")}, **bearer(given)) as (_, welcome):
        assert welcome["client_id"] == "user-alice"  # what the frame says comes first
    async with client(web.ws_url, **cookie(given)) as plain:
        await plain.ping()
    async with client(web.ws_url, **bearer(given)) as plain:
        await plain.ping()


async def test_who_brings_no_valid_token_is_refused_and_told_why(web: Web) -> None:
    bad = token(exp=int(time.time()) - 100)
    before = await asyncio.to_thread(counted, web)
    assert await refused(web.ws_url) == "a token is needed, and none came"
    assert await refused(web.ws_url, token=bad) == "the token has expired"
    assert await refused(web.ws_url + f"?token={token()}&access_token={token()}") == "a token is needed, and none came"
    async with client(web.ws_url, subprotocols=["bus.v1"], **cookie(bad)) as connected:
        await connected.send({"action": "connect"})
        assert await close_code(connected) == 4401
    for options in ({}, bearer(bad), cookie(bad), {"additional_headers": {"Authorization": "Basic eDp5"}}):
        assert await status_of(web.ws_url, **options) == 401
    assert await status_of(web.ws_url, subprotocols=["bus.v1"], **bearer(bad)) == 401
    twice = [("Authorization", f"Bearer {token()}")] * 2
    assert await status_of(web.ws_url, additional_headers=twice) == 401
    for name, more in (("busctl_closed_total 4401 unauthorized", 4), ("busctl_refused_total 401", 6)):
        await until(web, name, before.get(name, 0) + more)


async def test_a_page_of_another_site_cannot_use_the_cookie_of_its_visitor(web: Web) -> None:
    for subprotocols in ([], ["bus.v1"]):
        options = cookie(token(), Origin="https://evil.example")
        assert await status_of(web.ws_url, subprotocols=subprotocols, **options) == 403


async def test_all_tabs_and_devices_of_a_user_see_the_same_jobs_and_nobody_else_does(web: Web) -> None:
    mine = {"token": token(sub="carol")}
    async with (
        v1(web.ws_url, **mine) as (tab, welcome),
        v1(web.ws_url, **mine) as (phone, _),
        v1(web.ws_url, token=token(sub="dave")) as (other, _),
    ):
        seen = await job(tab)
        assert [f for f in await phone.receive_until("job_result", 60) if "seq" in f] == seen
        await other.send({"action": "ping"})
        assert (await other.receive())["action"] == "pong"  # and nothing before it
    async with v1(web.ws_url, **mine, cursors={"client": 0}) as (later, again):
        assert again["client_id"] == welcome["client_id"]
        assert [await later.receive() for _ in range(again["replayed"])] == seen


async def test_what_is_anothers_can_be_neither_read_nor_replayed_nor_ended_nor_repeated(web: Web) -> None:
    async with v1(web.ws_url, token=token(sub="erin")) as (owner, theirs):
        await owner.submit("default", CONTENT, key="erins")
        job_id = (await owner.receive_until("job_queued"))[-1]["job_id"]
        mallory = {"token": token(sub="mallory"), "resume": theirs["resume"], "cursors": {"client": 0}}
        async with v1(web.ws_url, **mallory) as (thief, welcome):
            assert welcome["client_id"] == "user-mallory"
            assert (welcome["recovered"], welcome["replayed"]) == (False, 0)
            for action in ("get_job", "cancel_job", "retry_job"):
                await thief.send({"action": action, "payload": {"job_id": job_id}})
                answer = await thief.receive()
                assert (answer["action"], answer["payload"][0]["type"]) == ("error", "unknown_job")
            await owner.submit("generate", "what about the weather")  # which is written piece by piece
            seen = [frame["action"] for _ in range(2) for frame in await owner.receive_until("job_result", 60)]
            assert "job_output" in seen
            await thief.submit("default", "x", key="erins")  # a key is its client's
            assert (await thief.receive_until("job_queued"))[-1]["job_id"] != job_id
            assert all(frame.get("job_id") != job_id for frame in await thief.receive_until("job_result", 60))
        await owner.send({"action": "get_job", "payload": {"job_id": job_id}})
        status = (await owner.receive_until("job_status"))[-1]["payload"]
        assert (status["state"], status["text"]) == ("job_result", f"✅ Processed: {CONTENT.upper()}")
    async with v1(web.ws_url, **{**mallory, "token": token(sub="erin")}) as (_, welcome):
        assert (welcome["recovered"], welcome["replayed"]) == (True, 6)


async def test_a_resume_token_alone_lets_nobody_in(web: Web) -> None:
    async with v1(web.ws_url, token=token()) as (_, welcome):
        pass
    assert await refused(web.ws_url, resume=welcome["resume"]) == "a token is needed, and none came"
    assert await refused(web.ws_url, token=welcome["resume"]) is not None


async def test_a_token_that_expires_is_told_of_and_ends_the_connection(web: Web) -> None:
    expires = int(time.time()) + 4
    short = token(exp=expires)
    async with (
        v1(web.ws_url, token=short) as (modern, _),
        client(web.ws_url, **bearer(short)) as plain,
        v1(web.ws_url, token=short) as (refreshed, _),
        v1(web.ws_url, token=token()) as (other, _),
    ):
        for told in (modern, refreshed):
            warning = await told.receive()
            assert warning["action"] == "token_expiring"
            assert warning["payload"]["expires_at"].startswith("20")
        for given, kind in (
            (token(sub="bob"), "token_refused"),
            (token("x" * 64), "token_refused"),
            (token(exp=1), "token_refused"),
            ("nonsense", "token_refused"),
        ):
            await refreshed.send({"action": "refresh_token", "ref": "r", "payload": {"token": given}})
            answer = await refreshed.receive()
            assert (answer["action"], answer["payload"][0]["type"], answer["ref"]) == ("error", kind, "r")
        await refreshed.send({"action": "refresh_token", "ref": "r", "payload": {"token": token()}})
        answer = await refreshed.receive()
        assert (answer["action"], answer["ref"]) == ("token_refreshed", "r")
        for ended in (modern, plain):
            assert await close_code(ended) == 4401
            assert ended.socket.close_reason == "the token has expired; reconnect with a newer one"
        assert time.time() >= expires
        for open_ in (refreshed, other):
            await open_.ping()


async def test_a_token_lists_groups_that_its_bearer_is_in(system: System, web: Web) -> None:
    def announce(text: str) -> int:
        with SyncBus(Settings.load(nats_url=system.nats.url)) as bus:
            return bus.broadcast_event(SystemNotification(payload=text), groups=["admins"])[0]

    of_admin = {"token": token(sub="frank", groups=["admins", "client", "system"])}
    async with (
        v1(web.ws_url, **of_admin) as (admin, welcome),
        client(web.ws_url, **bearer(of_admin["token"])) as plain,
        v1(web.ws_url, token=token(sub="grace")) as (other, _),
    ):
        assert set(welcome["cursors"]) == {"client", "system", "admins"}
        await plain.ping()
        seq = await asyncio.to_thread(announce, "to admins")
        for member in (admin, plain):
            event = await member.receive()
            assert (event["payload"], event["group"], event["seq"]) == ("to admins", "admins", seq)
        await admin.send({"action": "refresh_token", "payload": {"token": token(sub="frank")}})
        assert (await admin.receive())["action"] == "token_refreshed"
        await asyncio.to_thread(announce, "to admins alone")
        assert (await plain.receive())["payload"] == "to admins alone"
        for outsider in (other, admin):
            await outsider.send({"action": "ping"})
            assert (await outsider.receive())["action"] == "pong"
    async with v1(web.ws_url, **of_admin, cursors={"admins": seq}) as (admin, welcome):
        assert (await admin.receive())["payload"] == "to admins alone"
    async with v1(web.ws_url, token=token(sub="grace"), cursors={"admins": 0}) as (other, welcome):
        assert welcome["replayed"] == 0


async def test_of_more_groups_than_a_connection_may_join_a_token_gives_the_first_and_the_log_says_so(web: Web) -> None:
    groups = [f"team-{number}" for number in range(25)]
    async with v1(web.ws_url, token=token(sub="henry", groups=groups)) as (_, welcome):
        assert set(welcome["cursors"]) == {"client", "system", *groups[:20]}
    lines = [line for line in web.output().splitlines() if "a token lists more groups" in line]
    assert len(lines) == 1
    assert "client_id=user-henry" in lines[0]
    assert "listed=25 most_groups=20" in lines[0]


async def test_a_dead_url_of_keys_stops_no_known_key(system: System) -> None:
    """While it is dead from the start nobody is told that a token is wrong, nor that the process is ready."""
    good, unknown = (token(kind, "ES256", aud=None, headers={"kid": kind}) for kind in ("P-256", "P-256#2"))
    alive = True

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            body = jwks(jwk("P-256", kid="P-256"))
            if alive:
                writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/keys"
        web = await asyncio.to_thread(lambda: system.web(BUS_SECRET=SECRET, BUS_AUTH="jwt", BUS_AUTH_JWKS=url))
        async with v1(web.ws_url, token=good) as (_, welcome):
            assert welcome["client_id"] == "user-alice"
        assert (await asyncio.to_thread(get, web.url + "/readyz"))[0] == 200
        alive = False
        assert await refused(web.ws_url, token=unknown) is not None  # the set was read just now
        async with v1(web.ws_url, token=good):
            pass
    dead = await asyncio.to_thread(lambda: system.web(BUS_SECRET=SECRET, BUS_AUTH="jwt", BUS_AUTH_JWKS=url))
    async with client(dead.ws_url, subprotocols=["bus.v1"]) as connected:
        await connected.send({"action": "connect", "payload": {"token": good}})
        assert await close_code(connected) == 1013
    assert await status_of(dead.ws_url, **bearer(good)) == 503
    status, said = await asyncio.to_thread(get, dead.url + "/readyz")
    assert status == 503
    assert "keys: the keys that tokens are verified with cannot be read: Connection refused" in said


async def test_a_user_has_as_many_connections_as_a_client_may_and_others_theirs(system: System) -> None:
    web = system.web(**JWT, BUS_MAX_CONNECTIONS_PER_CLIENT="2")
    alice, options = {"token": token()}, {"subprotocols": ["bus.v1"]}
    async with welcomed(web.ws_url, alice) as (first, _), welcomed(web.ws_url, alice):
        async with client(web.ws_url, **options) as third:
            await third.send({"action": "connect", "payload": alice})
            assert await close_code(third) == 4429
        with pytest.raises(InvalidStatus) as refused:
            async with client(web.ws_url, **bearer(token())):
                pass
        assert refused.value.response.status_code == 429
        async with welcomed(web.ws_url, {"token": token(sub="bob")}):
            await first.ping()
    async with welcomed(web.ws_url, alice):
        pass
    await until(web, "busctl_closed_total 4429 too_many_connections", 1)
    web.stop()
