"""The pages as a browser fetches them, without one."""

from __future__ import annotations

import gzip
import re
from collections.abc import AsyncIterator
from pathlib import Path
from urllib.parse import unquote

import pytest
from quart.testing import QuartClient

from bus import Settings
from bus.messages import MOST_AHEAD
from quart_app import create_app
from workers.registry import discover

STATIC = Path(__file__).parents[3] / "quart_app/web/static"
MODULES = sorted(
    path.relative_to(STATIC).as_posix() for folder in (".", "client") for path in STATIC.glob(f"{folder}/*.js")
)
ASSETS = ("favicon.svg", "style.css", *MODULES)


@pytest.fixture
async def http(settings: Settings) -> AsyncIterator[QuartClient]:
    app = create_app(settings)
    async with app.test_app():
        yield QuartClient(app)


async def body(http: QuartClient, path: str) -> str:
    response = await http.get(path)
    assert response.status_code == 200
    return str(await response.get_data(as_text=True))


FORWARDED = {"Host": "app.example", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "evil.example"}


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/system/"),
        ("/system", "/system/"),
        ("//system", "/system/"),
        ("/system?x=1&y=http://evil.example", "/system/?x=1&y=http://evil.example"),
        ("/asyncapi/docs", "/asyncapi/docs/"),
    ],
)
async def test_redirects_are_relative_whatever_a_proxy_says(http: QuartClient, path: str, location: str) -> None:
    response = await http.get(path, headers=FORWARDED)
    assert response.status_code in (302, 308)
    assert unquote(response.headers["Location"]) == location


@pytest.mark.parametrize(
    "path",
    ["//evil.example/system", "//evil.example//", "///evil.example", "/\\evil.example//", "/static//evil.example"],
)
async def test_no_redirect_leads_to_another_site(http: QuartClient, path: str) -> None:
    location = (await http.get(path, headers=FORWARDED)).headers.get("Location", "/")
    assert re.match(r"/(?![/\\])", location + " ")


async def test_every_registered_job_can_be_chosen(http: QuartClient) -> None:
    html = await body(http, "/system/")
    for job in discover().values():
        assert f'value="{job.name}"' in html
        assert job.summary in html


async def test_the_page_is_told_where_to_connect_and_within_which_limits(http: QuartClient, settings: Settings) -> None:
    html = await body(http, "/system/")
    assert 'data-socket="/ws/system"' in html
    assert f'data-max-frame-bytes="{settings.max_frame_bytes}"' in html
    assert f'data-most-ahead="{MOST_AHEAD}"' in html


async def test_the_page_has_nothing_inline_and_nothing_from_elsewhere(http: QuartClient) -> None:
    html = await body(http, "/system/")
    assert re.findall(r"<style|\sstyle=|\son\w+=|javascript:", html) == []
    assert re.findall(r"<script(?![^>]* src=)", html) == []
    assert re.findall(r"(?:src|href)=\"(?!/|#)", html) == []


async def test_every_response_forbids_what_it_does_not_need(http: QuartClient) -> None:
    rules = [rule for rule in http.app.url_map.iter_rules() if not rule.websocket and not rule.arguments]
    paths = (
        {rule.rule for rule in rules} | {f"/static/{name}" for name in ASSETS} | {"/nowhere", "/static/none", "/system"}
    )
    answers = {path: await http.get(path) for path in paths - {"/readyz", "/api/events"}}  # which ask servers
    answers["/api/events"] = await http.get(
        "/api/events", headers={"Origin": "https://x.example"}
    )  # refused: it has no end
    answers["POST"] = await http.post("/system/")
    assert {answer.status_code for answer in answers.values()} == {200, 302, 308, 403, 404, 405}
    for path, answer in answers.items():
        headers = answer.headers
        assert headers["Content-Security-Policy"].startswith("default-src 'self';"), path
        assert "frame-ancestors 'none'" in headers["Content-Security-Policy"]
        assert headers["X-Content-Type-Options"] == "nosniff"
        assert headers["Referrer-Policy"] == "no-referrer"
        assert headers["Cross-Origin-Opener-Policy"] == headers["Cross-Origin-Resource-Policy"] == "same-origin"
        assert "camera=()" in headers["Permissions-Policy"]


async def test_a_static_file_is_compressed_once_whatever_path_it_is_asked_for_by(
    http: QuartClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    packed = []
    compress = gzip.compress
    monkeypatch.setattr(gzip, "compress", lambda body, **options: packed.append(body) or compress(body, **options))
    for path in ("style.css", "./style.css", "console/../style.css", "console/../console/../style.css"):
        answer = await http.get(f"/static/{path}", headers={"Accept-Encoding": "gzip"})
        assert (answer.status_code, answer.headers["Content-Encoding"]) == (200, "gzip")
    assert len(packed) == 1


async def test_a_static_file_is_asked_for_again_and_sent_once(http: QuartClient) -> None:
    for name in ASSETS:
        first = await http.get(f"/static/{name}")
        assert first.headers["Cache-Control"] == "no-cache"
        again = await http.get(f"/static/{name}", headers={"If-None-Match": first.headers["ETag"]})
        assert again.status_code == 304


@pytest.mark.parametrize("page", ["/system/", "/asyncapi/docs/"])
async def test_what_a_page_loads_is_kept_for_ever_and_changes_its_address(http: QuartClient, page: str) -> None:
    html = await body(http, page)
    loaded = re.findall(r'<(?:link rel="(?:icon|stylesheet|modulepreload)"|script)[^>]* (?:href|src)="([^"]+)"', html)
    [version] = {address.split("/")[2] for address in loaded}
    for address in loaded:
        answer = await http.get(address)
        assert (answer.status_code, answer.headers["Cache-Control"]) == (200, "public, max-age=31536000, immutable")
    other = await http.get(f"/static/at-{'0' * 12}/style.css")  # of a process with another version
    assert (other.status_code, other.headers["Cache-Control"]) == (200, "no-cache")
    assert (await http.get(f"/static/{version}/nothing.js")).status_code == 404


@pytest.mark.parametrize(
    "name", ["nothing.js", "a" * 300, "a/" * 3000, "%00", "client", "../pages.py", "%2e%2e/pages.py"]
)
@pytest.mark.parametrize("folder", ["/static/", "/static/at-0123456789ab/"])
async def test_a_file_that_is_not_there_is_not_found_whatever_it_is_called(
    http: QuartClient, folder: str, name: str
) -> None:
    assert (await http.get(folder + name)).status_code == 404
