"""Which origins may open a WebSocket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from bus.origins import origins
from quart_app.websocket.origin import origin_allowed
from testbed.servers import Web
from testbed.system import System
from tests.clients import client


@pytest.mark.parametrize(
    ("origin", "host", "allowed"),
    [
        (None, "example.org", ""),
        ("http://example.org", "example.org", ""),
        ("https://example.org", "example.org", ""),
        ("https://example.org", "example.org:443", ""),
        ("https://example.org", "example.org.", ""),
        ("http://EXAMPLE.org:8000", "example.org:8000", ""),
        ("ws://example.org:8000", "example.org:8000", ""),
        ("wss://example.org", "example.org", ""),
        ("http://[::1]:8000", "[::1]:8000", ""),
        ("http://[::1]:8000", "[0:0:0::1]:8000", ""),
        ("https://app.example", "example.org", "https://app.example"),
        ("https://app.example", "example.org", "https://App.example:443"),
        ("https://app.example:443", "example.org", "https://app.example"),
        ("wss://app.example", "", "https://app.example"),
        ("https://a.b.app.example", "example.org", "https://*.app.example"),
        ("https://anything", "example.org", "*"),
    ],
)
def test_own_and_listed_origins_and_programs_may(origin: str | None, host: str, allowed: str) -> None:
    assert origin_allowed([] if origin is None else [origin], host, origins(allowed))


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "example.org"),
        ("http://example.org.evil.example", "example.org"),
        ("http://example.org:8001", "example.org:8000"),
        ("http://example.org", "example.org:8000"),
        ("http://app.example", "example.org"),
        ("null", "example.org"),
        ("null", "null"),
        ("", "example.org"),
        ("", ""),
        ("file://example.org", "example.org"),
        ("file://", ""),
        ("http://[", "example.org"),
        ("http://example.org:port", "example.org"),
        ("http://example.org:99999999999999999999", "example.org"),
        ("http://evil.example@example.org", "example.org"),
        ("http://evil.example#example.org", "example.org"),
        ("http://evil.example/example.org", "example.org"),
        ("http://evil.example\\example.org", "example.org"),
        ("http://example.org http://evil.example", "example.org"),
        ("http://example.org, http://evil.example", "example.org"),
        ("http://example.org\t", "example.org"),
        ("http://exa\x00mple.org", "exa\x00mple.org"),
        ("http://" + "a" * 100_000, "a" * 100_000),
    ],
)
def test_others_may_not(origin: str, host: str) -> None:
    assert not origin_allowed([origin], host, origins("https://app.example,https://*.app.example"))


def test_several_origins_are_none() -> None:
    assert not origin_allowed(["http://example.org", "http://example.org"], "example.org", ())


HEADER = st.text(st.sampled_from("htps:/.@[]*x-0129é\x00 ßａ%,#") | st.characters(max_codepoint=255), max_size=40)


@given(HEADER | HEADER.map("http://{}".format), HEADER)
def test_no_header_raises(origin: str, host: str) -> None:
    assert origin_allowed([origin], host, ("https://*.app.example",)) in (True, False)


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(BUS_ALLOWED_ORIGINS="https://App.Example.com:443")


async def test_a_handshake_of_the_host_itself_or_of_a_listed_origin_is_accepted(web: Web) -> None:
    for origin in (f"ws://127.0.0.1:{web.port}", f"https://127.0.0.1:{web.port}", "https://app.example.com"):
        async with client(web.ws_url, origin=origin) as connected:
            await connected.ping()


async def test_a_handshake_of_another_origin_is_refused(web: Web) -> None:
    for origin in ("https://evil.example", "http://app.example.com", "null", "http://\xff", "http://[", "x" * 4000):
        with pytest.raises(InvalidStatus) as refused:
            await connect(web.ws_url, proxy=None, origin=origin)  # type: ignore[arg-type]
        assert refused.value.response.status_code == 403
    with pytest.raises(InvalidStatus) as refused:
        await connect(web.ws_url, proxy=None, additional_headers=[("Origin", web.url), ("Origin", web.url)])
    assert refused.value.response.status_code == 403
    assert "Traceback" not in web.output()
