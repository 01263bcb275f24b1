"""Logins besides a URL: user and password, credentials file, NKey, certificates, at servers as deploy/nats has them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from bus import Bus, BusRefused, Settings, SettingsError
from testbed.ports import free_port
from testbed.roles import PASSWORDS, ROLES, RolesNats, add_tls
from testbed.servers import ConfiguredNats, Nats
from tests.certificates import self_signed
from tests.nkeys import ACCOUNT, USER, Key, operator_mode


@contextmanager
def started(*servers: Nats) -> Iterator[None]:
    try:
        for server in servers:
            server.process = None
            server.start()
        yield
    finally:
        for server in servers:
            if server.process is not None:
                server.kill()


async def works(**overrides: object) -> str:
    """Store an event as a worker would; the subject on which answers were heard."""
    async with Bus(Settings.load(**overrides), update_stream=True) as bus:
        await bus.stream.append("bus.client.c.job.j.output", b"{}")
        return bus.stream._connection._requests.inbox.rpartition(".")[0]


async def test_an_nkey_logs_in(tmp_path: Path) -> None:
    server = RolesNats(tmp_path)
    keys = {role: Key(USER) for role in ROLES}
    lines = [f"{role}_key: {key.public}" for role, key in keys.items()]
    (server.etc / "public-keys.conf").write_text("\n".join(lines))
    accounts = server.etc / "accounts.conf"
    accounts.write_text(accounts.read_text().replace("include users.conf", "include nkeys.conf"))
    seed = tmp_path / "worker.nk"
    seed.write_text(f"# a worker's\n{keys['worker'].seed}\n")
    with started(server):
        login = {"nats_url": server.url, "nats_nkey": str(seed)}
        assert await works(**login, nats_inbox_prefix="_INBOX.worker") == "_INBOX.worker"
        seed.write_text(Key(USER).seed)
        with pytest.raises(BusRefused, match=r"authorization violation.*NATS_NKEY"):
            await works(**login)


async def test_credentials_log_in_and_are_read_again_when_they_are_renewed(tmp_path: Path) -> None:
    file = tmp_path / "user.creds"
    allowed = {"pub": ["instance.*", "_INBOX.some-one.>"], "sub": ["instance.*", "_INBOX.some-one.>"]}
    server = ConfiguredNats(tmp_path, operator_mode(file, "some-one", allowed), jetstream=False)
    with started(server):
        async with Bus(Settings.load(nats_url=server.url, nats_creds=str(file)), declare=False) as bus:
            await bus.respond("instance.i", lambda request: request)
            await bus.confirm_subscriptions()
            assert await bus.request("instance.i", b"hello", timeout=5) == b"hello"
            valid = file.read_text()
            file.write_text("nothing")
            server.kill()
            async with asyncio.timeout(20):
                while "has no NATS USER JWT" not in str(bus.stream._connection.condition.trouble):
                    await asyncio.sleep(0.02)
            file.write_text(valid)
            await asyncio.to_thread(server.start)
            async with asyncio.timeout(20):
                while not bus.connected:
                    await asyncio.sleep(0.02)
            assert await bus.request("instance.i", b"again", timeout=5) == b"again"


async def test_tls_with_an_authority_and_a_certificate_of_ones_own(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    server = RolesNats(tmp_path, "single-tls.conf")
    add_tls(server.etc, certificate, key)
    tls = server.etc / "tls.conf"
    tls.write_text(tls.read_text().replace("verify: false", "verify: true"))
    login = {"nats_url": server.url, "nats_user": "worker", "nats_password": PASSWORDS["worker"]}
    ours = {"nats_cert": str(certificate), "nats_key": str(key)}
    with started(server):
        assert await works(**login, **ours, nats_ca=str(certificate)) == "_INBOX.worker"
        with pytest.raises(BusRefused, match="set NATS_CA to its authority's"):
            await works(**login, **ours)
        with pytest.raises(BusRefused, match=r"certificate required.*NATS_CERT"):
            await works(**login, nats_ca=str(certificate), connect_timeout=30)


async def test_with_an_authority_a_server_without_tls_is_refused(tmp_path: Path) -> None:
    certificate, _ = self_signed(tmp_path)
    server = Nats(tmp_path)
    with started(server), pytest.raises(BusRefused, match="does not require TLS"):
        await works(nats_url=server.url, nats_ca=str(certificate))


async def test_three_servers_with_certificates_share_the_stream(tmp_path: Path) -> None:
    certificate, key = self_signed(tmp_path)
    routes = [f"nats://127.0.0.1:{free_port()}" for _ in range(3)]
    servers = []
    for number, route in enumerate(routes, start=1):
        (directory := tmp_path / str(number)).mkdir()
        server = RolesNats(directory, "cluster-tls.conf", "--cluster", route, "--routes", ",".join(routes))
        server.env["NATS_NODE"] = f"nats-{number}"
        add_tls(server.etc, certificate, key)
        servers.append(server)
    login = {"nats_user": "worker", "nats_password": PASSWORDS["worker"], "nats_ca": str(certificate)}
    with started(*servers):
        urls = ",".join(server.url for server in servers)
        await works(nats_url=urls, **login, stream_replicas=3, connect_timeout=40)


WRONG = {
    "a user alone": ({"NATS_USER": "u"}, "NATS_PASSWORD: NATS_USER and NATS_PASSWORD belong together"),
    "a password alone": ({"NATS_PASSWORD": "hunter2"}, "NATS_PASSWORD: NATS_USER and NATS_PASSWORD belong together"),
    "two users": (
        {"NATS_URL": "nats://u:hunter2@h", "NATS_USER": "u", "NATS_PASSWORD": "hunter2"},
        "NATS_PASSWORD: NATS_URL names a user or token already",
    ),
    "a user and a key": (
        {"NATS_USER": "u", "NATS_PASSWORD": "hunter2", "NATS_NKEY": "{seed}"},
        "NATS_NKEY: does not go with NATS_USER",
    ),
    "a token and credentials": (
        {"NATS_URL": "nats://hunter2@h", "NATS_CREDS": "{seed}"},
        "NATS_CREDS: does not go with a user or token in NATS_URL",
    ),
    "no file": (
        {"NATS_NKEY": "{directory}/hunter2"},
        "NATS_NKEY: the file that NATS_NKEY names cannot be read: No such",
    ),
    "a directory": ({"NATS_CREDS": "{directory}"}, "NATS_CREDS: the file that NATS_CREDS names is no regular file"),
    "a seed instead of its file": (
        {"NATS_NKEY": "{hunter2}"},
        "NATS_NKEY: the file that NATS_NKEY names cannot be read",
    ),
    "a seed as credentials": ({"NATS_CREDS": "{seed}"}, "no credentials file of NATS: it has no NATS USER JWT"),
    "an account's seed": ({"NATS_NKEY": "{account}"}, "something else than a user; a user's begins with SU"),
    "a damaged seed": ({"NATS_NKEY": "{damaged}"}, "has no NKey seed, or one that is damaged"),
    "a certificate alone": ({"NATS_CERT": "{certificate}"}, "NATS_KEY: NATS_CERT and NATS_KEY belong together"),
    "a seed as key": (
        {"NATS_CERT": "{certificate}", "NATS_KEY": "{seed}"},
        "what NATS_CERT and NATS_KEY name cannot be",
    ),
    "a seed as authority": ({"NATS_CA": "{seed}"}, "NATS_CA: the certificates that NATS_CA names cannot be used"),
    "a wildcard as inbox": (
        {"NATS_INBOX_PREFIX": "_INBOX.>"},
        "NATS_INBOX_PREFIX: must be a subject without wildcards",
    ),
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    directory = tmp_path_factory.mktemp("files")
    user = Key(USER)
    certificate, _ = self_signed(directory)
    found = {"directory": str(directory), "certificate": str(certificate), "hunter2": user.seed}
    damaged = user.seed[:20] + ("A" if user.seed[20] != "A" else "B") + user.seed[21:]  # not its last, of 3 bits
    for name, text in {"seed": user.seed, "account": Key(ACCOUNT).seed, "damaged": damaged}.items():
        (directory / name).write_text(text)
        found[name] = str(directory / name)
    return found


@pytest.mark.parametrize("case", WRONG)
def test_what_contradicts_or_cannot_be_read_is_said_in_one_line_without_a_secret(
    case: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    given, said = WRONG[case]
    for variable, value in given.items():
        monkeypatch.setenv(variable, value.format(**files))
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    text = str(refused.value)
    assert said in text
    assert "\n" not in text
    assert "hunter2" not in text.replace("/hunter2", "")
    assert files["hunter2"] not in text


def test_a_password_beside_the_url_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATS_USER", "u")
    monkeypatch.setenv("NATS_PASSWORD", " '%41@/#? ")
    settings = Settings.load()
    assert settings.nats_password is not None
    assert settings.nats_password.get_secret_value() == " '%41@/#? "
    assert "%41" not in repr(settings)
