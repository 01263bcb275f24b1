"""The server's bounds on peers that are slow or silent, and TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

from testbed.servers import SERVE, Web
from testbed.system import System
from tests.certificates import self_signed
from tests.clients import client

DEADLINE = 30.0
UPGRADE = (
    b"GET /ws/system HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A certificate for 127.0.0.1 that is its own authority, and its key."""
    return self_signed(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def impatient(system: System) -> Web:
    return system.web(BUS_KEEP_ALIVE_TIMEOUT="1", BUS_PING_INTERVAL="0.5", BUS_READ_TIMEOUT="1.5")


def cut(peer: socket.socket, *, drip: bytes = b"") -> bool:
    """Whether the server ends a connection on which it gets nothing, or one byte now and then."""
    peer.settimeout(0.1)
    end = time.monotonic() + DEADLINE
    sent = 0
    while time.monotonic() < end:
        try:
            if sent < len(drip):
                peer.sendall(drip[sent : sent + 1])
                sent += 1
            if not peer.recv(4096):
                return True
        except TimeoutError:
            continue
        except ConnectionError:
            return True
    return False


async def test_a_peer_that_says_nothing_is_cut(impatient: Web) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port)) as peer:
        assert await asyncio.to_thread(cut, peer)


async def test_a_handshake_that_drips_is_cut(impatient: Web) -> None:
    request = b"GET /ws/system HTTP/1.1\r\nHost: x\r\n" + b"X-Slow: " + b"x" * 10_000
    with socket.create_connection(("127.0.0.1", impatient.port)) as peer:
        assert await asyncio.to_thread(cut, peer, drip=request)


async def test_a_mute_peer_is_cut_and_one_that_only_listens_is_not(impatient: Web) -> None:
    async with client(impatient.ws_url) as listening:
        with socket.create_connection(("127.0.0.1", impatient.port)) as mute:
            mute.sendall(UPGRADE)
            assert mute.recv(4096).startswith(b"HTTP/1.1 101 ")
            assert await asyncio.to_thread(cut, mute)
        await listening.ping()


def test_responses_say_nothing_of_the_server(impatient: Web) -> None:
    with urllib.request.urlopen(f"{impatient.url}/livez", timeout=DEADLINE) as answer:  # noqa: S310 - always http
        assert "server" not in answer.headers


def secure(certfile: Path) -> ssl.SSLContext:
    return ssl.create_default_context(cafile=str(certfile))


async def test_over_tls_http_1_is_agreed_on_whatever_is_offered(system: System, certificate: tuple[Path, Path]) -> None:
    certfile, keyfile = map(str, certificate)
    web = await asyncio.to_thread(system.web, *SERVE, "--certfile", certfile, "--keyfile", keyfile)
    for offered, agreed in ((["h2", "http/1.1"], "http/1.1"), (["h2"], None), ([], None)):
        context = secure(certificate[0])
        if offered:
            context.set_alpn_protocols(offered)
        reader, writer = await asyncio.open_connection("127.0.0.1", web.port, ssl=context)
        assert writer.get_extra_info("ssl_object").selected_alpn_protocol() == agreed
        writer.write(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n")
        async with asyncio.timeout(DEADLINE):
            head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200")
        assert b"\r\nstrict-transport-security: max-age=" in head.lower()
        writer.transport.abort()


@pytest.mark.parametrize("workers", [1, 2])
async def test_tls_serves_wss(system: System, certificate: tuple[Path, Path], workers: int) -> None:
    certfile, keyfile = map(str, certificate)
    command = (*SERVE, "--workers", str(workers), "--certfile", certfile, "--keyfile", keyfile)
    web = await asyncio.to_thread(system.web, *command)
    async with client(web.ws_url.replace("ws:", "wss:"), ssl=secure(certificate[0])) as connected:
        await connected.ping()
        assert await asyncio.to_thread(web.stop) == 0
        async with asyncio.timeout(DEADLINE):
            await connected.socket.wait_closed()
        assert connected.socket.close_code == 1012
    assert "Traceback" not in web.output()


async def test_a_peer_that_does_not_shake_hands_is_cut(system: System, certificate: tuple[Path, Path]) -> None:
    certfile, keyfile = map(str, certificate)
    command = (*SERVE, "--certfile", certfile, "--keyfile", keyfile)
    web = await asyncio.to_thread(system.web, *command, BUS_HANDSHAKE_TIMEOUT="1")
    with socket.create_connection(("127.0.0.1", web.port)) as peer:
        assert await asyncio.to_thread(cut, peer)
    assert "Traceback" not in web.output()


def test_an_encrypted_key_opens_with_its_password(system: System, certificate: tuple[Path, Path]) -> None:
    certfile, keyfile = certificate
    locked = keyfile.with_name("locked.pem")
    command = ["openssl", "ec", "-aes256", "-passout", "pass:sesame", "-in", str(keyfile), "-out", str(locked)]
    subprocess.run(command, check=True, capture_output=True, timeout=DEADLINE)
    serve = (*SERVE, "--certfile", str(certfile), "--keyfile", str(locked))
    web = system.web(*serve, BUS_KEYFILE_PASSWORD="sesame")
    with urllib.request.urlopen(
        f"https://127.0.0.1:{web.port}/livez", timeout=DEADLINE, context=secure(certfile)
    ) as ok:
        assert ok.status == 200
    with pytest.raises(AssertionError, match=r"ended with 1:\nerror: cannot serve TLS .*BUS_KEYFILE_PASSWORD"):
        system.web(*serve)
