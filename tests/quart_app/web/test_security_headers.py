"""What browsers are told of https, and that redirects keep scheme and host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from quart import Quart, Response
from quart.testing import QuartClient, WebsocketResponseError

from bus import Settings
from quart_app import create_app
from quart_app.web.security_headers import secure_responses, within
from quart_app.web.trusted_proxies import TrustedProxies

YEAR = 31_536_000
HOST = {"Host": "app.example"}


def app(max_age: int) -> Quart:
    """An application behind any proxy."""
    made = Quart(__name__)
    made.asgi_app = TrustedProxies(made.asgi_app, ["0.0.0.0/0"], "x-forwarded")  # type: ignore[method-assign]
    secure_responses(made, max_age)

    @made.get("/page/")
    async def page() -> str:
        return "hello"

    @made.websocket("/socket")
    async def socket() -> Response:
        return Response("no", 403)

    return made


async def strict(max_age: int, **asked: Any) -> str | None:
    """What a request is told."""
    response = await QuartClient(app(max_age)).get("/page/", scope_base={"client": ("192.0.2.1", 1)}, **asked)
    found: str | None = response.headers.get("Strict-Transport-Security")
    return found


@pytest.mark.parametrize("host", ["app.example", "app.example:8443", "192.0.2.1", "[::1]:8443", "localhost.example"])
async def test_who_came_by_https_is_told_to_stay_with_it(host: str) -> None:
    assert await strict(YEAR, scheme="https", headers={"Host": host}) == f"max-age={YEAR}"
    told = {"X-Forwarded-Proto": "https", "X-Forwarded-Host": host}
    assert await strict(YEAR, headers={"Host": "inside", **told}) == f"max-age={YEAR}"


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:8443", "a.localhost", "localhost."])
async def test_nobody_is_told_of_localhost(host: str) -> None:
    assert await strict(YEAR, scheme="https", headers={"Host": host}) is None


async def test_who_came_by_http_is_not_told_nor_anybody_when_that_is_off() -> None:
    assert await strict(YEAR, headers=HOST) is None
    assert await strict(0, scheme="https", headers=HOST) is None


async def test_a_redirect_and_an_error_tell_it_too() -> None:
    client = QuartClient(app(YEAR))
    for path, status in (("/page", 308), ("/nowhere", 404)):
        response = await client.get(path, scheme="https", headers=HOST)
        assert response.status_code == status
        assert response.headers["Strict-Transport-Security"] == f"max-age={YEAR}"


@pytest.mark.parametrize(("scheme", "told"), [("wss", f"max-age={YEAR}"), ("ws", None)])
async def test_a_refused_handshake_tells_it_too(scheme: str, told: str | None) -> None:
    with pytest.raises(WebsocketResponseError) as refused:
        async with QuartClient(app(YEAR)).websocket("/socket", scheme=scheme, headers=HOST) as socket:
            await socket.receive()
    assert refused.value.response.status_code == 403
    assert refused.value.response.headers.get("Strict-Transport-Security") == told


@pytest.mark.parametrize(("told", "strict"), [({"X-Forwarded-Proto": "https"}, "max-age=2592000"), ({}, None)])
async def test_behind_a_proxy_a_redirect_leads_below_the_path_by_the_same_scheme_and_host(
    told: dict[str, str], strict: str | None, settings: Settings
) -> None:
    served = create_app(settings.model_copy(update={"root_path": "/bus", "trusted_proxies": ("unix",)}))
    headers = {"Host": "inside:8000", "X-Forwarded-Host": "app.example", **told}
    async with served.test_app():
        for path in ("/system", "/bus/system"):
            response = await QuartClient(served).get(path, headers=headers, scope_base={"client": None})
            assert (response.status_code, response.headers["Location"]) == (308, "/bus/system/")
            assert response.headers.get("Strict-Transport-Security") == strict


@given(st.text() | st.from_regex(r"(https?:)?[/\\]*(evil\.example)?[/\\]*.*"))
def test_no_redirect_leaves_this_site(location: str) -> None:
    try:
        found = within(location)
    except ValueError:  # no URL, which nothing of ours makes
        return
    assert found.startswith("/")
    assert not found.startswith(("//", "/\\"))
