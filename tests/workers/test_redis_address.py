"""Every kind of REDIS_URL with a real server behind it, and a password that no log shows."""

from __future__ import annotations

import asyncio
import os
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from urllib.parse import quote

import pytest

from bus import Settings
from cli.probes import redis_answers, worker_listens
from testbed.ports import free_port
from testbed.sentinel import Sentinel
from testbed.servers import BIN, Valkey
from testbed.system import System, running
from tests.cli.command import ended
from tests.workers.test_reconcile import Bench
from workers.enqueue import Enqueuer
from workers.errors import BrokerUnavailable

PASSWORD = "hunter2#/@:%?é"
WRITTEN = quote(PASSWORD, safe="")


class OnASocketToo(Valkey):
    """A server that listens on a Unix socket besides its port."""

    @property
    def path(self) -> Path:
        return self.directory / "valkey.sock"

    def command(self) -> list[str]:
        return [*super().command(), "--unixsocket", str(self.path)]


class TlsProxy:
    """Speaks TLS before a server that does not."""

    def __init__(self, directory: Path, behind: int) -> None:
        self.certificate, key = directory / "cert.pem", directory / "key.pem"
        names = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost")
        request = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
        subprocess.run(
            [*request, *names, "-keyout", str(key), "-out", str(self.certificate)], check=True, capture_output=True
        )
        self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self._context.load_cert_chain(self.certificate, key)
        self._behind = behind
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with (
            suppress(OSError),
            socket.create_connection(("127.0.0.1", self._behind)) as server,
            self._context.wrap_socket(client, server_side=True) as secure,
        ):
            threading.Thread(target=self._copy, args=(server, secure), daemon=True).start()
            self._copy(secure, server)

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_RDWR)


@pytest.fixture(scope="module")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    directory = tmp_path_factory.mktemp("address")
    with running(directory) as system:
        system.valkey.stop()
        system.valkey = OnASocketToo(directory)
        system.servers.append(system.valkey)
        system.valkey.start()
        with system.valkey.client() as admin:
            admin.config_set("requirepass", PASSWORD)
        yield system


@pytest.fixture(scope="module")
def tls(system: System) -> Iterator[TlsProxy]:
    with closing(TlsProxy(system.directory, system.valkey.port)) as proxy:
        yield proxy


@pytest.fixture(scope="module")
def sentinel(system: System) -> Sentinel:
    """One with a password of its own."""
    login = "requirepass hunter2-sentinel", f'sentinel auth-pass main "{PASSWORD}"'
    sentinel = Sentinel(system.directory, system.valkey, *login)
    system.servers.append(sentinel)
    sentinel.start()
    return sentinel


def url_of(kind: str, request: pytest.FixtureRequest) -> str:
    system = request.getfixturevalue("system")
    match kind:
        case "password":
            return f"redis://:{WRITTEN}@127.0.0.1:{system.valkey.port}/1"
        case "valkey":
            return f"valkey://default:{WRITTEN}@localhost:{system.valkey.port}?db=1"
        case "socket":
            return f"unix://:{WRITTEN}@{system.valkey.path}?db=1"
        case "tls":
            proxy = request.getfixturevalue("tls")
            return f"rediss://:{WRITTEN}@localhost:{proxy.port}/1?ssl_ca_certs={proxy.certificate}"
        case "sentinel":
            port = request.getfixturevalue("sentinel").port
            sentinels = f"sentinel://:{WRITTEN}@127.0.0.1:{free_port()};sentinel://127.0.0.1:{port}/1"
            return f"{sentinels}?master_name=main&sentinel_password=hunter2-sentinel"
    raise AssertionError(kind)


def celery(command: str, env: dict[str, str]) -> str:
    """What a command of Celery shows."""
    shown = ended([BIN / "celery", "-A", "workers", *command.split()], os.environ | env)
    assert shown.returncode == 0, shown
    return shown.stdout + shown.stderr


@pytest.mark.parametrize("kind", ["password", "valkey", "socket", "tls", "sentinel"])
async def test_jobs_run_over_it_and_no_log_shows_the_password(
    system: System, request: pytest.FixtureRequest, kind: str
) -> None:
    url = url_of(kind, request)
    worker = system.worker("--concurrency", "1", REDIS_URL=url)
    assert await redis_answers(url)
    async with asyncio.timeout(20):  # Celery says that it is ready a moment before
        while not await worker_listens(url):
            await asyncio.sleep(0.05)
    settings = Settings.load(nats_url=system.nats.url, redis_url=url)
    bench = Bench(system, settings)
    try:
        async with Enqueuer(settings) as enqueuer:
            await enqueuer.ping()
            job = bench.store()
            enqueuer.put(job)
        bench.all_ended(job)
        assert bench.life(job) == ["job_queued", "job_started", "job_result"]
    finally:
        bench.close()
    worker.stop()
    assert "hunter2" not in worker.output()


def test_celery_shows_no_password_to_operators(system: System, request: pytest.FixtureRequest) -> None:
    env = {"REDIS_URL": url_of("sentinel", request)}
    system.worker("--concurrency", "1", "--hostname", "shown@here", **env)
    for command in ("report", "inspect stats --destination shown@here", "inspect conf --destination shown@here"):
        shown = celery(command, system.env | env)
        assert "127.0.0.1" in shown
        assert "hunter2" not in shown


@pytest.mark.parametrize(
    ("host", "parameters", "works"),
    [
        ("localhost", "", False),
        ("localhost", "?ssl_cert_reqs=none", True),
        ("127.0.0.1", "?ssl_ca_certs={certificate}", False),
        ("127.0.0.1", "?ssl_ca_certs={certificate}&ssl_check_hostname=false", True),
    ],
)
async def test_a_certificate_is_verified_unless_told_otherwise(
    system: System, tls: TlsProxy, host: str, parameters: str, works: bool
) -> None:
    url = f"rediss://:{WRITTEN}@{host}:{tls.port}/1" + parameters.format(certificate=tls.certificate)
    async with Enqueuer(Settings.load(nats_url=system.nats.url, redis_url=url)) as enqueuer:
        if works:
            await enqueuer.ping()
        else:
            with pytest.raises(BrokerUnavailable, match="CERTIFICATE_VERIFY_FAILED"):
                await enqueuer.ping()


async def test_a_wrong_password_is_named_and_not_shown(system: System) -> None:
    url = f"redis://:hunter2@127.0.0.1:{system.valkey.port}/1"
    async with Enqueuer(Settings.load(nats_url=system.nats.url, redis_url=url)) as enqueuer:
        with pytest.raises(BrokerUnavailable, match="invalid username-password pair") as refused:
            await enqueuer.ping()
    assert "hunter2" not in str(refused.value)
