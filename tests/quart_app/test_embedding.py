"""The whole inside another application, and a project of one's own, served as people serve them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from quart import Quart
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from bus import Settings
from quart_app import init_app
from quart_app.app import Edge
from quart_app.embedding import EXTENSION, application
from quart_app.errors import ApplicationError
from testbed.servers import BIN, Web
from testbed.system import System
from tests import own_project
from tests.http import get

PAGE = (Path(__file__).parents[2] / "docs/how-to/own-project.md").read_text()
QUART, FASTAPI, STARLETTE = (
    next(block for block in re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE) if name in block)
    for name in ("init_app(app)", "FastAPI(", "Starlette(")
)
"""As the page has them."""


class Uvicorn(Web):
    """An application on uvicorn."""

    def command(self) -> list[str]:
        return [str(BIN / "uvicorn"), *self.arguments, "--port", str(self.port)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the project lies."""
    folder = tmp_path_factory.mktemp("project")
    (own_project.write(folder) / "app.py").write_text(QUART)
    (folder / "own_fastapi.py").write_text(FASTAPI)
    (folder / "own_starlette.py").write_text(STARLETTE)
    return folder


@pytest.fixture(scope="module")
def shop(system: System, folder: Path) -> Iterator[dict[str, str]]:
    """The settings of the project, of which a worker runs."""
    env = own_project.ENV | {"PYTHONPATH": str(folder)}
    worker = system.worker(**env)
    yield env
    worker.kill()


def ask(url: str, path: str, frame: dict[str, Any], until: str) -> Any:
    """The payload of the first frame of that action that comes after a frame was sent."""
    with connect(url.replace("http", "ws", 1) + path) as socket:
        socket.send(json.dumps(frame))
        while (answer := json.loads(socket.recv(timeout=20)))["action"] != until:
            continue
    return answer["payload"]


def require_all_works(web: Web, below: str) -> None:
    assert ask(web.url, f"{below}/ws/echo", {"action": "say", "payload": "tea"}, "said") == "tea"
    job = {"action": "system_message", "payload": {"task_type": "shout", "content": "hello you"}}
    assert ask(web.url, f"{below}/ws/system", job, "job_result") == "HELLO YOU "
    status, page = get(f"{web.url}{below}/system/")
    assert (status, f'src="{below}/static/' in page, "shout" in page) == (200, True, True)
    assert "/ws/echo" in get(f"{web.url}{below}/asyncapi.json")[1]
    assert get(f"{web.url}{below}/readyz")[0] == 200


def test_own_jobs_and_channels_are_served(system: System, shop: dict[str, str]) -> None:
    require_all_works(system.web(**shop), "")


@pytest.mark.parametrize("command", [(), ("hypercorn", "own_shop.app:app"), ("hypercorn", "quart_app:app")])
def test_an_application_of_ones_own_has_it_below_a_path(
    system: System, shop: dict[str, str], command: tuple[str, ...]
) -> None:
    web = system.web(*command, BUS_APP="own_shop.app:app", **shop)
    assert get(f"{web.url}/") == (200, "the shop")
    assert get(f"{web.url}/readyz")[0] == 200
    require_all_works(web, "/bus")
    assert web.stop() == 0
    assert "Traceback" not in web.output()


@pytest.mark.parametrize("module", ["own_fastapi", "own_starlette"])
def test_another_asgi_application_mounts_it(system: System, shop: dict[str, str], module: str) -> None:
    web = Uvicorn(system.directory, system.env | shop, command=(f"{module}:app",))
    system.servers.append(web)
    web.start()
    assert get(f"{web.url}/") == (200, "the shop")
    require_all_works(web, "/bus")
    web.stop()
    assert "Application shutdown complete" in web.output()
    assert "Traceback" not in web.output()


def test_one_that_is_mounted_and_not_started_says_so(system: System, shop: dict[str, str], folder: Path) -> None:
    (folder / "own_forgetful.py").write_text(STARLETTE.replace(", lifespan=lambda app: serving(bus)", ""))
    web = Uvicorn(system.directory, system.env | shop, command=("own_forgetful:app",))
    system.servers.append(web)
    web.start()
    with pytest.raises(InvalidStatus) as refused, connect(f"ws://127.0.0.1:{web.port}/bus/ws/system"):
        pass
    assert refused.value.response.status_code == 503
    assert b"see quart_app.serving" in (refused.value.response.body or b"")


def test_what_cannot_be_embedded_is_refused(settings: Settings) -> None:
    app = Quart("shop")
    for prefix in ("", "/", "bus", "/bus/", "/b us"):
        with pytest.raises(ApplicationError, match="is no path below which to serve"):
            init_app(app, prefix=prefix, settings=settings)
    init_app(app, settings=settings)
    with pytest.raises(ApplicationError, match="before; call it once"):
        init_app(app, settings=settings)


def test_below_a_path_of_a_proxy_both_paths_are_its_own() -> None:
    app = Quart("shop")
    init_app(app, prefix="/jobs", settings=Settings.load(root_path="/shop"))
    edge = app.extensions[EXTENSION]
    assert isinstance(edge, Edge)
    assert edge.settings.root_path == "/shop/jobs"


@pytest.mark.parametrize(
    ("named", "said"),
    [
        ("own_nothing:app", "there is no module own_nothing, neither installed nor in"),
        ("tests.own_project:ENV", "ENV in tests.own_project is no Quart application"),
        ("tests.own_project:none", "none in tests.own_project is no Quart application"),
        ("tests.quart_app.test_embedding:BARE", "call init_app(BARE) in tests.quart_app.test_embedding"),
    ],
)
def test_an_application_that_cannot_be_served_is_named(named: str, said: str) -> None:
    with pytest.raises(ApplicationError) as refused:
        application(Settings.load(app=named))
    assert str(refused.value).startswith(f"BUS_APP={named}: ")
    assert said in str(refused.value)


BARE = Quart("bare")
