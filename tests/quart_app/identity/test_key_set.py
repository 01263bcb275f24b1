"""Keys from a URL or a file: kept while it is away, read again for an unknown key, but not more often than is good."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from quart_app.errors import FetchFailed, KeysUnavailable
from quart_app.identity import keys
from quart_app.identity.fetch import fetch
from quart_app.identity.key_set import KeySet, reader_of
from tests.certificates import self_signed
from tests.tokens import jwk, jwks

ONE, TWO, BOTH = (
    jwks(jwk("P-256", kid="one")),
    jwks(jwk("P-256#2", kid="two")),
    jwks(jwk("P-256", kid="one"), jwk("P-256#2", kid="two")),
)


class Source:
    """What a set is read from, which may fail, take its time, or have other keys."""

    def __init__(self, data: bytes | None) -> None:
        self.data = data
        self.reads = 0
        self.open = asyncio.Event()
        self.open.set()

    async def read(self) -> bytes:
        self.reads += 1
        await self.open.wait()
        if self.data is None:
            raise FetchFailed("it is away")
        return self.data


async def test_an_unknown_key_id_has_the_set_read_again() -> None:
    source = Source(ONE)
    found = KeySet(source.read, pause=0)
    assert [key.key_id for key in await found.find("ES256", "one")] == ["one"]
    source.data = BOTH
    assert [key.key_id for key in await found.find("ES256", "two")] == ["two"]
    assert len(await found.find("ES256", None)) == 2
    assert source.reads == 2
    source.data = TWO  # the first one is taken back
    assert await found.find("ES256", "three") == []
    assert await found.find("ES256", "one") == []


async def test_whoever_invents_key_ids_does_not_have_it_read_more_often() -> None:
    source = Source(ONE)
    found = KeySet(source.read)
    for number in range(50):
        assert await found.find("ES256", str(number)) == []
    assert source.reads == 1


async def test_all_who_wait_for_a_read_share_it_and_known_keys_do_not_wait() -> None:
    source = Source(ONE)
    found = KeySet(source.read, pause=0)
    await found.refresh()
    source.open.clear()
    waiting = [asyncio.create_task(found.find("ES256", "two")) for _ in range(20)]
    await asyncio.sleep(0)
    assert await found.find("ES256", "one")
    waiting[0].cancel()  # a client that leaves takes the read away from nobody
    source.data = BOTH
    source.open.set()
    assert all([len(await one) == 1 for one in waiting[1:]])
    assert source.reads == 2


async def test_a_source_that_is_away_stops_no_known_key() -> None:
    source = Source(ONE)
    found = KeySet(source.read, pause=0, max_age=0)
    await found.refresh()
    for data in (None, b"no keys", jwks()):
        source.data = data
        with pytest.raises(KeysUnavailable):
            await found.find("ES256", "two")
        assert await found.find("ES256", "one")
        await found.refresh()
    source.data = BOTH
    assert await found.find("ES256", "two")
    assert found.failure is None


async def test_an_old_set_is_read_again_before_it_is_used() -> None:
    source = Source(ONE)
    found = KeySet(source.read, pause=0, max_age=0)
    await found.refresh()
    source.data = TWO
    assert await found.find("ES256", "one") == []


async def test_a_read_that_goes_on_ends_with_the_process() -> None:
    source = Source(ONE)
    found = KeySet(source.read)
    source.open.clear()
    waiting = asyncio.create_task(found.find("ES256", "one"))
    await asyncio.sleep(0)
    await found.close()
    with pytest.raises(asyncio.CancelledError):
        await waiting


async def test_a_file_is_read_again_when_it_was_changed(tmp_path: Path) -> None:
    file = tmp_path / "keys.json"
    file.write_bytes(ONE)
    found = KeySet(reader_of(str(file)), pause=0)
    assert await found.find("ES256", "one")
    file.write_bytes(BOTH)
    assert await found.find("ES256", "two")
    file.unlink()
    with pytest.raises(KeysUnavailable, match="the file cannot be read: No such file"):
        await found.find("ES256", "three")


def test_keys_that_are_no_public_keys_for_signatures_are_passed_over() -> None:
    usable = jwk("RSA", kid="good", use="sig", key_ops=["verify"])
    others = [
        {"kty": "oct", "k": "c2VjcmV0", "kid": "a secret"},
        jwk("RSA", use="enc"),
        jwk("RSA", key_ops=["encrypt"]),
        jwk("RSA", key_ops="verify"),
        jwk("RSA", d="AQAB"),
        jwk("RSA", kid=7),
        jwk("RSA", alg="RSA-OAEP"),
        jwk("RSA", n="!"),
        jwk("RSA", n=7),
        jwk("P-256", crv="P-1"),
        jwk("P-256", x="AA"),
        jwk("secp256k1"),
        {"kty": ["RSA"]},
        {},
    ]
    [key] = keys.of_jwks(jwks(usable, *others))
    assert (key.key_id, sorted(key.algorithms)) == ("good", ["PS256", "PS384", "PS512", "RS256", "RS384", "RS512"])
    [only] = keys.of_jwks(jwks(jwk("RSA", alg="PS256")))
    assert only.algorithms == {"PS256"}


@asynccontextmanager
async def answering(said: bytes, *, stay: bool = False, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    """A URL where a server answers with these bytes whatever it is asked."""
    ended = asyncio.Event()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError, asyncio.IncompleteReadError):
            await reader.readuntil(b"\r\n\r\n")
            writer.write(said)
            if stay:
                await ended.wait()
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=tls)
    try:
        port = server.sockets[0].getsockname()[1]
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{port}/keys?tenant=1"
    finally:
        ended.set()
        server.close()


async def fetched(url: str, *, deadline: float = 5.0, authority: Path | None = None) -> bytes:
    tls = ssl.create_default_context(cafile=authority)
    return await fetch(urlsplit(url), tls, deadline=deadline, most=1000)


async def test_over_tls_the_certificate_is_looked_at(tmp_path: Path) -> None:
    certfile, keyfile = self_signed(tmp_path)
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certfile, keyfile)
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", tls=tls) as url:
        assert await fetched(url, authority=certfile) == b"{}"
        with pytest.raises(FetchFailed, match="the certificate is not valid: self-signed"):
            await fetched(url)


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\n{\r\n1\r\n}\r\n0\r\n\r\n",
        b"HTTP/1.0 200 OK\r\n\r\n{}",
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_a_document_is_fetched_however_it_is_sent(answer: bytes) -> None:
    async with answering(answer) as url:
        assert await fetched(url) == b"{}"


async def test_a_server_that_keeps_the_connection_open_is_not_waited_for() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", stay=True) as url:
        assert await fetched(url) == b"{}"


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n", "status 503"),
        (b"HTTP/1.1 301 Gone\r\nLocation: http://127.0.0.1/\r\nContent-Length: 0\r\n\r\n", "status 301"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n\r\n" + b"x" * 5000, "more than 1,000 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n{}", "no whole HTTP/1.1 response"),
        (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 100_000, "no whole HTTP/1.1 response"),
        (b"hello\r\n\r\n", "no whole HTTP/1.1 response"),
        (b"", "no whole HTTP/1.1 response"),
    ],
)
async def test_what_is_no_such_document_says_why(answer: bytes, reason: str) -> None:
    async with answering(answer) as url:
        with pytest.raises(FetchFailed, match=reason):
            await fetched(url)


async def test_a_server_that_is_silent_or_not_there_is_not_waited_for() -> None:
    async with answering(b"HTTP/1.1 200 OK\r\n", stay=True) as url:
        with pytest.raises(FetchFailed, match=r"no whole answer came within 0\.05 s"):
            await fetched(url, deadline=0.05)
    with pytest.raises(FetchFailed, match="Connection refused"):
        await fetched(url)
