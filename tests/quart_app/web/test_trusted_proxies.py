"""Whom a request comes from: what proxies say is believed when they are trusted, and only then."""

from __future__ import annotations

from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bus import Settings, SettingsError
from quart_app.web.forwarded import MOST_HOPS, forwarded, node, x_forwarded
from quart_app.web.trusted_proxies import TrustedProxies

TRUSTED = ("10.0.0.0/8", "127.0.0.1/32", "fd00::/8")
Said = tuple[str, str, str]
"""The client's address, the scheme and the host."""
UNTOLD = ("http", "inside")


async def said(
    *headers: tuple[str, str],
    peer: str | None = "10.0.0.1",
    kind: str = "http",
    read: Literal["x-forwarded", "forwarded"] = "x-forwarded",
) -> Said:
    """What an application sees of a request from this peer."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope)

    scope = {
        "type": kind,
        "scheme": "http" if kind == "http" else "ws",
        "client": peer and (peer, 1234),
        "headers": [(b"host", b"inside"), *((name.lower().encode(), value.encode()) for name, value in headers)],
    }
    await TrustedProxies(app, TRUSTED, read)(scope, None, None)
    [host] = [value.decode() for name, value in seen[0]["headers"] if name == b"host"]
    return (seen[0]["client"] or [""])[0], seen[0]["scheme"], host


async def test_a_trusted_proxy_is_believed() -> None:
    told = (("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "HTTPS"), ("X-Forwarded-Host", "app.example:8443"))
    for peer in ("10.0.0.1", "127.0.0.1", "::ffff:10.0.0.1", "fd00::1"):
        assert await said(*told, peer=peer) == ("192.0.2.1", "https", "app.example:8443")
    assert (await said(*told, kind="websocket"))[1] == "wss"


@pytest.mark.parametrize("peer", ["192.0.2.9", "::1", "11.0.0.1", "", None, "garbage"])
async def test_nobody_else_is(peer: str | None) -> None:
    told = (("X-Forwarded-For", "192.0.2.1"), ("X-Forwarded-Proto", "https"), ("X-Forwarded-Host", "app.example"))
    assert await said(*told, peer=peer) == (peer or "", *UNTOLD)
    assert await said(("Forwarded", "for=192.0.2.1;proto=https"), peer=peer, read="forwarded") == (peer or "", *UNTOLD)


@pytest.mark.parametrize(
    ("chain", "client"),
    [
        ("192.0.2.1", "192.0.2.1"),
        ("6.6.6.6, 192.0.2.1", "192.0.2.1"),
        ("10.6.6.6, 192.0.2.1, 10.0.0.2", "192.0.2.1"),
        ("192.0.2.1, 10.0.0.3, 10.0.0.2", "192.0.2.1"),
        ("10.0.0.3, 10.0.0.2", "10.0.0.3"),
        ("192.0.2.1, unknown", "10.0.0.1"),
        ("192.0.2.1, unknown, 10.0.0.2", "10.0.0.2"),
        ("192.0.2.1:5000", "192.0.2.1"),
        ("[2001:db8::1]:5000", "2001:db8::1"),
        ("2001:DB8::1", "2001:db8::1"),
        ("::ffff:192.0.2.1", "192.0.2.1"),
        ("", "10.0.0.1"),
        (",", "10.0.0.1"),
        ("192.0.2.1," + "10.0.0.2," * 2000, "10.0.0.1"),
    ],
)
async def test_a_chain_is_followed_from_the_right_as_far_as_it_is_trusted(chain: str, client: str) -> None:
    assert (await said(("X-Forwarded-For", chain)))[0] == client


@pytest.mark.parametrize("client", [None, ("", 0), []])
async def test_who_comes_by_a_unix_socket_is_believed_when_that_is_set(client: Any) -> None:
    headers = [(b"host", b"inside"), (b"x-forwarded-for", b"192.0.2.1, 10.0.0.2")]
    for trusted, expected in ((("unix", "10.0.0.0/8"), "192.0.2.1"), (("unix",), "10.0.0.2"), (("10.0.0.0/8",), "")):
        seen: list[Any] = []

        async def app(scope: Any, receive: Any, send: Any, seen: list[Any] = seen) -> None:
            seen.append(scope)

        scope = {"type": "http", "scheme": "http", "client": client, "headers": headers}
        await TrustedProxies(app, trusted, "x-forwarded")(scope, None, None)
        assert ((seen[0]["client"] or [""])[0]) == expected


async def test_a_list_may_stand_in_several_headers() -> None:
    assert (await said(("X-Forwarded-For", "6.6.6.6"), ("X-Forwarded-For", "192.0.2.1")))[0] == "192.0.2.1"


async def test_scheme_and_host_are_those_that_the_outermost_trusted_proxy_saw() -> None:
    chain = ("X-Forwarded-For", "6.6.6.6, 192.0.2.1, 10.0.0.2")
    schemes, hosts = ("X-Forwarded-Proto", "http, https, http"), ("X-Forwarded-Host", "evil.example, a.example, b")
    assert await said(chain, schemes, hosts) == ("192.0.2.1", "https", "a.example")
    assert await said(chain, ("X-Forwarded-Proto", "https")) == ("192.0.2.1", "https", "inside")


@pytest.mark.parametrize("scheme", ["", "ftp", "https;x", "wss", "javascript"])
@pytest.mark.parametrize("host", ["", "a b", "evil@app.example", "a/b", "\u00fc.example", "a:99999", "a,b c"])
async def test_what_is_no_scheme_and_no_host_changes_nothing(scheme: str, host: str) -> None:
    assert (await said(("X-Forwarded-Proto", scheme), ("X-Forwarded-Host", host)))[1:] == UNTOLD


async def test_only_the_chosen_kind_is_read() -> None:
    modern, legacy = ("Forwarded", "for=192.0.2.1"), ("X-Forwarded-For", "192.0.2.2")
    assert (await said(modern, legacy))[0] == "192.0.2.2"
    assert (await said(modern, legacy, read="forwarded"))[0] == "192.0.2.1"
    assert (await said(legacy, read="forwarded"))[0] == "10.0.0.1"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("for=192.0.2.1;proto=https;host=app.example", ("192.0.2.1", "https", "app.example")),
        ('For="[2001:db8::1]:4711" ; HOST="app.example:8443"', ("2001:db8::1", "http", "app.example:8443")),
        ('for=6.6.6.6;proto=https, for=192.0.2.1;by="a,b;c"', ("192.0.2.1", *UNTOLD)),
        ("for=192.0.2.1;proto=https, for=10.0.0.2;proto=http", ("192.0.2.1", "https", "inside")),
        ("for=_hidden;proto=https", ("10.0.0.1", "https", "inside")),
        ('for="192.0.2.1', ("10.0.0.1", *UNTOLD)),
        ("for=192.0.2.1; proto = https", ("10.0.0.1", *UNTOLD)),
        ("for", ("10.0.0.1", *UNTOLD)),
    ],
)
async def test_forwarded_is_read_as_rfc_7239_has_it(text: str, expected: Said) -> None:
    assert await said(("Forwarded", text), read="forwarded") == expected


@given(st.lists(st.text(alphabet=st.characters(max_codepoint=255)) | st.from_regex(r'(for="?\[?[0-9.:]*\]?"?[;,]?)*')))
def test_no_header_breaks_the_parsers(values: list[str]) -> None:
    for hops in (forwarded(values), x_forwarded(values, values, values)):
        assert len(hops) <= MOST_HOPS
        for hop in hops:
            node(hop.client)


@pytest.mark.parametrize("text", ["proxy.example", "10.0.0.1/8", "10.0.0.0/33", "*", "127.0.0.1:80", "1,x"])
def test_what_is_no_network_is_refused_at_start(text: str) -> None:
    with pytest.raises(SettingsError, match="BUS_TRUSTED_PROXIES"):
        Settings.load(trusted_proxies=text)


def test_networks_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("BUS_TRUSTED_PROXIES", " 127.0.0.1, fd00::/8 ,::1,unix")
    assert Settings.load().trusted_proxies == ("127.0.0.1/32", "fd00::/8", "::1/128", "unix")
