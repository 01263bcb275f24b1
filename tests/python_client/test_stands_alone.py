"""The client needs websockets and nothing else, and says the same as the server where both know something."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

from busctl_client.close_codes import FINAL
from busctl_client.errors import PASSING

from quart_app import close_codes, error_types

ROOT = Path(__file__).parents[2]
OTHERS = ["bus", "cli", "workers", "quart_app", "quart", "hypercorn", "celery", "kombu", "nats", "redis", "pydantic"]


def test_it_is_imported_without_servers_or_anything_that_they_need() -> None:
    forbid = f"import sys; sys.modules.update(dict.fromkeys({OTHERS}))"  # importing one of them fails then
    program = f"{forbid}; import busctl_client; print(busctl_client.connect('http://127.0.0.1:1').state.name)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60)
    assert (done.stdout, done.stderr) == ("connecting\n", "")


def test_the_extra_names_websockets_alone() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (needed,) = project["project"]["optional-dependencies"]["client"]
    assert needed.startswith("websockets")
    assert "clients/python/busctl_client" in project["tool"]["hatch"]["build"]["targets"]["wheel"]["packages"]
    assert (ROOT / "clients/python/busctl_client/py.typed").exists()


def test_it_comes_back_after_the_close_codes_after_which_the_server_says_so() -> None:
    assert set(FINAL) == {close.code for close in close_codes.ALL if not close.reconnect}


def test_it_knows_which_errors_pass() -> None:
    assert {error.type for error in error_types.OF_REQUESTS if error.again} == PASSING
