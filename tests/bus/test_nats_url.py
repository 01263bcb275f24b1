"""NATS_URL: what is served, what is refused, and that neither ever shows a secret."""

import random
from collections.abc import Iterator
from contextlib import suppress

import pytest

from bus import Settings, SettingsError
from bus.nats_url import NatsServer, parse, redacted


@pytest.mark.parametrize(
    ("text", "server"),
    [
        ("nats://h", NatsServer("nats", "h", 4222)),
        ("h", NatsServer("nats", "h", 4222)),
        ("h:4333/", NatsServer("nats", "h", 4333)),
        ("TLS://H.example.com", NatsServer("tls", "H.example.com", 4222)),
        ("nats://a_b.example.:1", NatsServer("nats", "a_b.example.", 1)),
        ("nats://[::1]:4000", NatsServer("nats", "[::1]", 4000)),
        ("u:p@h", NatsServer("nats", "h", 4222, user="u", password="p")),
        ("nats://u:p%40ss%2Fw%231@h:1", NatsServer("nats", "h", 1, user="u", password="p@ss/w#1")),
        ("nats://a:b:c@h", NatsServer("nats", "h", 4222, user="a", password="b:c")),
        ("s3cr%25t@h", NatsServer("nats", "h", 4222, token="s3cr%t")),
        ("nats://u:%C3%A9+1@h", NatsServer("nats", "h", 4222, user="u", password="é+1")),
    ],
)
def test_a_url_is_read(text: str, server: NatsServer) -> None:
    assert parse(text) == (server,)


def test_every_server_of_a_list_has_the_credentials_of_the_first_that_has_some() -> None:
    servers = parse("nats://a, nats://u:p@b, tls://t@c")
    assert [(server.host, server.user, server.token) for server in servers] == [
        ("a", "u", None),
        ("b", "u", None),
        ("c", None, "t"),
    ]


@pytest.mark.parametrize(
    "text",
    [
        "nats://u:hunter2@rest@h",
        "nats://u:hunter2/rest@h",
        "u:hunter2/rest@h",
        "nats://u:12/hunter2@h",
        "nats://u:hunter2?x@h",
        "nats://u:hunter2#1@h",
        "nats://u:hunter2%@h",
        "nats://u:hunter2%zz@h",
        "nats://u:hunter2%ff@h",
        "nats://u:hunter2,x@h",
        "nats://hunter2,x@h",
        "hunter2,x@h",
        "nats://u:hunter2 x@h",
        "hunter2://u@h",
        "u:hunter2://@h",
        "nats://h:hunter2",
        "nats://u:hunter2@h:99999",
        "nats://u:hunter2@",
        "nats://u:hunter2@h?x",
        "nats://@h/hunter2",
        "ws://u:hunter2@h",
        "nats://h,ws://u:hunter2@h",
        "http://hunter2@h",
        "nats://h:0",
        "nats://[127.0.0.1]:4222",
        "nats://u:hunter2@[:::]",
        "nats://u:hunter2@a..b",
        "nats://h,nats://" + "a" * 64,
        " , ",
    ],
)
def test_a_url_that_cannot_be_meant_is_refused_in_one_line_without_the_secret(text: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings.load(nats_url=text)
    message = str(caught.value)
    assert "NATS_URL" in message
    assert "hunter2" not in message
    assert "\n" not in message
    assert "hunter2" not in redacted(text)


def odd_urls(count: int) -> Iterator[str]:
    """The same ones at every run, with a password that what stands around it may hide or end."""
    chance = random.Random(7)
    for _ in range(count):
        noise = ["".join(chance.choices("@/:?#%,[] \\a1.-", k=chance.randrange(4))) for _ in range(2)]
        yield chance.choice(["nats://", "tls://", ""]) + f"me:{noise[0]}hunter2{noise[1]}@host:4222"


def test_whatever_stands_in_a_password_is_never_shown() -> None:
    for text in odd_urls(5000):
        assert "hunter2" not in redacted(text), text
        with suppress(ValueError):
            assert "hunter2" not in repr(parse(text)), text


def test_what_settings_accept_can_be_read() -> None:
    for text in odd_urls(500):
        with suppress(SettingsError):
            Settings.load(nats_url=text)
            parse(text)
