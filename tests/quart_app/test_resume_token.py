"""Resume tokens: renewed while a client is connected, and whatever else comes as one is a token that is not valid."""

from __future__ import annotations

import asyncio
import hmac
import json
import time
from collections.abc import Iterator
from typing import Any

import pytest
from jwt.utils import base64url_encode

from bus import Settings, client_ids
from quart_app.identity.identity import Identity
from quart_app.websocket.session import Session, Sessions
from testbed.planted import SECRET
from testbed.servers import Web
from testbed.system import System
from tests.clients import Client, client
from tests.quart_app.websocket.test_resume import close_code, v1

MAX_AGE = 4


@pytest.fixture(scope="module")
def web(system: System) -> Iterator[Web]:
    web = system.web(BUS_SECRET=SECRET)
    yield web
    assert "Traceback" not in web.output()
    assert "FORGED" not in web.output()


async def newest(connected: Client, count: int) -> str:
    """The last of so many tokens that a connected client is sent."""
    tokens = [(await connected.receive_until("resume_token"))[-1]["payload"]["resume"] for _ in range(count)]
    assert len(set(tokens)) == count
    return str(tokens[-1])


async def test_a_client_that_stays_longer_than_its_token_comes_back_as_who_it_was(system: System) -> None:
    short = {"BUS_SECRET": SECRET, "BUS_RESUME_MAX_AGE": str(MAX_AGE)}
    before, after = system.web(**short), system.web(**short)
    async with v1(before.ws_url) as (connected, welcome), client(before.ws_url) as plain:
        await connected.submit("default", "x")
        await connected.receive_until("job_queued")
        begun = time.monotonic()
        token = await newest(connected, 3)
        assert time.monotonic() - begun > MAX_AGE  # so the first one has expired
        await plain.send({"action": "ping"})
        assert (await plain.receive())["action"] == "pong"  # the plain protocol has no tokens
    before.kill()
    async with v1(after.ws_url, resume=token, cursors={"client": 0}) as (connected, again):
        assert (again["client_id"], again["recovered"], again["replayed"]) == (welcome["client_id"], True, 1)
        assert await newest(connected, 1)
    async with v1(after.ws_url, resume=welcome["resume"], cursors={"client": 0}) as (_, stranger):
        assert stranger["client_id"] != welcome["client_id"]
        assert (stranger["recovered"], stranger["replayed"]) == (False, 0)


async def test_every_connection_of_a_client_is_sent_a_token_of_its_own(system: System) -> None:
    web = system.web(BUS_SECRET=SECRET, BUS_RESUME_MAX_AGE="2")
    async with v1(web.ws_url) as (one, welcome), v1(web.ws_url, resume=welcome["resume"]) as (two, _):
        tokens = await asyncio.gather(newest(one, 2), newest(two, 2))
    for token in tokens:
        async with v1(web.ws_url, resume=token) as (_, again):
            assert (again["client_id"], again["recovered"]) == (welcome["client_id"], True)


NOW = int(time.time())
GOOD = {"aud": "resume", "sub": "ann", "exp": NOW + 3600, "epoch": "2026-01-01T00:00:00Z", "born": 0}
HEADER = {"alg": "HS256", "typ": "JWT"}
NAN, INFINITY = float("nan"), float("inf")
DEEP = '{"a":' * 500 + "1" + "}" * 500


def signed(claims: object = GOOD, key: str = SECRET, header: object = None, **headers: Any) -> str:
    """A JWT of any claims and header at all, with the right signature."""
    parts = [part if isinstance(part, str) else json.dumps(part) for part in (header or HEADER | headers, claims)]
    signing = b".".join(base64url_encode(part.encode()) for part in parts)
    signature = hmac.digest(key.encode(), signing, "sha256")
    return b".".join([signing, base64url_encode(signature)]).decode()


BAD_CLAIMS = [
    *({"born": born} for born in ("x", 10**30, 2**63, -1, 1.5, True, None, NAN, [0], {"a": 0})),
    *(
        {"sub": sub}
        for sub in (7, None, "", "schedules", "a.b", "a b", "*", "é", "x" * 65, ["ann"], {"a": "b"}, "x\nFORGED")
    ),
    *({"exp": exp} for exp in (2**70, -1, 0, NOW - 1, NOW + 0.5, str(NOW + 60), NAN, INFINITY, None, [], {}, True)),
    *({"epoch": epoch} for epoch in (7, None, ["x"], {}, "x" * 65)),
    *({"aud": aud} for aud in ("token", ["resume"], None, 7, {})),
    *({"nbf": nbf} for nbf in (NOW + 3600, "x", -1, 2**70, NAN, [])),
    *({"iat": iat} for iat in (NOW + 3600, "x", -1, 2**70, INFINITY, {})),
]
TOKENS = [
    *(signed(GOOD | bad) for bad in BAD_CLAIMS),
    *(signed({key: value for key, value in GOOD.items() if key != gone}) for gone in GOOD),
    *(signed(data) for data in ("", "null", "[]", "7", '"x"', "{", DEEP, "[" * 2900, '{"sub":"\\ud83d"}', "\x00")),
    signed(key="t" * 64),
    signed(crit=["x\n2026-01-01T00:00:00Z [error] FORGED"]),
    *(signed(kid=kid) for kid in (["x"], 7, {})),
    signed(junk="x" * 5000),
    *(signed(alg=alg) for alg in ("none", "None", "", None, 7, [], {}, "RS256", "HS512")),
    signed(alg="none").rpartition(".")[0] + ".",
    *(signed(header=header) for header in ("{}", "[]", "7", "[" * 2900, "\x00", {"alg": "HS256", "b64": False})),
    "",
    ".",
    "..",
    "a.b.c",
    "....",
    "=.=.=",
    "é.é.é",
    "\u202e",
    "x" * 4095,
    "x" * 4096,
    "x" * 60_000,
    signed()[:-4],
    signed() + "AAAA",
    signed() + "\n",
    signed().replace(".", ".\x1b[31m", 1),
]


async def test_whatever_is_no_valid_resume_token_is_a_new_client_that_is_not_recovered(web: Web) -> None:
    for token in TOKENS:
        async with v1(web.ws_url, resume=token, cursors={"client": 5}) as (connected, welcome):
            assert (welcome["recovered"], welcome["replayed"]) == (False, 0), token
            assert welcome["client_id"] != "ann", token
            await connected.ping()


async def test_whatever_is_no_valid_identity_token_is_refused(web: Web) -> None:
    for token in (*TOKENS[::7], signed(), signed(GOOD | {"aud": "token", "exp": INFINITY})):
        async with client(web.ws_url, subprotocols=["bus.v1"]) as connected:
            await connected.send({"action": "connect", "payload": {"token": token}})
            assert await close_code(connected) == 4401


async def test_a_token_may_say_more_than_this_version_knows(web: Web) -> None:
    token = signed(GOOD | {"jti": ["x"], "later": {"a": 1}, "iat": NOW, "nbf": NOW + 5}, kid="1")
    async with v1(web.ws_url, resume=token) as (_, welcome):
        assert welcome["client_id"] == "ann"
        assert welcome["recovered"] is False  # of another stream


OLD, NEW = "o" * 64, "n" * 64


def sessions(**settings: object) -> Sessions:
    return Sessions(Settings.load(**settings))


def test_a_secret_is_changed_in_two_steps_and_no_token_is_lost() -> None:
    anybody = Identity.anonymous()
    before, changing, after = sessions(secret=OLD), sessions(secret=NEW, secret_previous=OLD), sessions(secret=NEW)
    old, new = before.renewed(Session("ann", known=True)), changing.renewed(Session("ann", known=True))
    for verifier, token, known in (
        (changing, old, True),
        (changing, new, True),
        (after, new, True),
        (after, old, False),
        (before, new, False),
    ):
        assert verifier.session(anybody, token).known is known
    forged = sessions(secret="f" * 64).renewed(Session("ann"))
    assert changing.session(anybody, forged).known is False


def test_a_resume_token_belongs_to_who_it_was_made_for() -> None:
    ours = sessions(secret=NEW)
    alice, bob = (Identity(client_ids.of_user(name), user=name) for name in ("alice", "bob"))
    of_alice, of_nobody = (ours.renewed(Session(one.client_id)) for one in (alice, Identity.anonymous()))
    assert ours.session(alice, of_alice).known
    assert ours.session(bob, of_alice) == Session("user-bob", lost=True)
    assert ours.session(alice, of_nobody) == Session("user-alice", lost=True)
    stranger = ours.session(Identity.anonymous(), of_alice)  # once tokens are asked for no more
    assert (stranger.known, stranger.lost, stranger.fresh) == (False, True, True)


def test_a_token_of_any_age_can_be_signed() -> None:
    for max_age in (1, 100 * 365 * 86_400):
        assert Sessions(Settings.load(secret=SECRET, resume_max_age=max_age)).renewed(Session("ann"))
