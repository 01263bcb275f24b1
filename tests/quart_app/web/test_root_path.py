"""Everything below a path, whether the proxy in front removes it or not."""

from __future__ import annotations

import asyncio
import json
import re

import pytest
from quart import Quart, request
from quart.testing import QuartClient

from bus import Settings, SettingsError
from quart_app import create_app
from quart_app.web.root_path import RootPath
from testbed.servers import Web
from testbed.system import System
from tests.clients import client
from tests.http import get
from tests.in_process import serving
from tests.sse import ask

PATHS = ("/system/", "/asyncapi/docs/")
ROOT = "/tools/bus"


@pytest.fixture(scope="module")
def web(system: System) -> Web:
    return system.web(BUS_ROOT_PATH=ROOT + "/")


def linked(html: str) -> list[str]:
    """The paths of this site that a page names."""
    found = re.findall(r'(?:src|href|data-socket)="(/[^"]*)"', html)
    assert found
    return found


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("passed_on", ["", ROOT])
def test_a_page_names_what_is_below_the_path(web: Web, path: str, passed_on: str) -> None:
    status, html = get(web.url + passed_on + path)
    assert status == 200
    for link in linked(html):
        assert link.startswith(ROOT + "/")
        if "/ws/" not in link:
            assert get(web.url + link)[0] == 200
    assert f'href="{ROOT}{path}" aria-current="page"' in html


@pytest.mark.parametrize("passed_on", ["", ROOT])
async def test_the_socket_is_there_too(web: Web, passed_on: str) -> None:
    async with client(web.ws_url.replace("/ws/", f"{passed_on}/ws/")) as connected:
        await connected.ping()


@pytest.mark.parametrize("passed_on", ["", ROOT])
async def test_the_api_is_there_too_and_leads_below_the_path(web: Web, passed_on: str) -> None:
    done = await ask(web, "POST", f"{passed_on}/api/jobs", {"task_type": "default", "content": "x"})
    assert done.status == 202
    assert done.headers["location"] == f"{ROOT}/api/jobs/{done.body['job_id']}"
    assert f"; Path={ROOT}/api;" in done.headers["set-cookie"]
    refused = await ask(web, "GET", f"{passed_on}/api/nothing")
    assert refused.body["error"]["type"] == "not_found"


def test_the_document_says_where_the_socket_is(web: Web) -> None:
    status, text = get(f"{web.url}{ROOT}/asyncapi.json")
    assert status == 200
    assert json.loads(text)["channels"]["system"]["address"] == f"{ROOT}/ws/system"


def test_what_only_begins_like_the_path_is_not_below_it(web: Web) -> None:
    assert get(f"{web.url}{ROOT}er/system/")[0] == 404
    assert get(f"{web.url}{ROOT}{ROOT}/system/")[0] == 404


def test_health_is_asked_for_with_and_without_it(web: Web) -> None:
    for path in ("/livez", f"{ROOT}/livez"):
        assert get(web.url + path)[0] == 200


@pytest.mark.parametrize(
    ("path", "location"),
    [
        ("/", "/system/"),
        ("", "/system/"),
        ("/system", "/system/"),
        ("//evil.example/system", None),
        ("/asyncapi/docs?x=1", "/asyncapi/docs/?x=1"),
    ],
)
async def test_redirects_stay_below_the_path(path: str, location: str | None, settings: Settings) -> None:
    app = create_app(settings.model_copy(update={"root_path": ROOT}))
    async with app.test_app():
        found = (await QuartClient(app).get(ROOT + path)).headers.get("Location")
    assert found == (location and ROOT + location)


async def test_what_the_server_says_does_as_well() -> None:
    app = Quart(__name__)
    app.asgi_app = RootPath(app.asgi_app, "")  # type: ignore[method-assign]

    @app.get("/where")
    async def where() -> str:
        return request.root_path + request.path

    async with serving(app, wired=False, root_path="/bus/") as port:
        for path in ("/where", "/bus/where"):
            assert await asyncio.to_thread(get, f"http://127.0.0.1:{port}{path}") == (200, "/bus/where")


@pytest.mark.parametrize(
    "text", ["bus", "//bus", "/bus//x", "/..", "/bus/../x", "/a b", "https://x/bus", "/" + "a" * 300]
)
def test_what_is_no_path_is_refused_at_start(text: str) -> None:
    with pytest.raises(SettingsError, match="BUS_ROOT_PATH"):
        Settings.load(root_path=text)


def test_a_slash_at_the_end_means_nothing() -> None:
    assert Settings.load(root_path="/bus/").root_path == "/bus"
    assert Settings.load(root_path="/").root_path == ""
