"""The programs of docs/how-to/python-client.md, word for word, against a real server."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from testbed.servers import Web
from testbed.system import System
from tests.tokens import AUDIENCE, ISSUER, SHARED, token

PAGE = (Path(__file__).parents[2] / "docs/how-to/python-client.md").read_text()
SUBMIT, ENDS_BADLY, EVENTS, SIGN_IN, LATER = re.findall(r"^```python\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)


def run(program: str, web: Web, directory: Path, **env: str) -> list[str]:
    """What a program prints, line by line."""
    written = program.replace("http://127.0.0.1:8000", web.url)
    assert written != program
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", written],
        env=os.environ | env,
        cwd=directory,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout.splitlines()


def test_submit_and_see_the_answer(web: Web, tmp_path: Path) -> None:
    lines = run(SUBMIT, web, tmp_path)
    assert lines[0] == "🤖 AI Response to 'what about the weather':"
    assert lines[1].startswith("Clear skies")
    assert lines[2] == "🌍 Translated: 'hello' → 'hola' | done 1"
    assert "• Words: 3" in lines


def test_when_it_does_not_end_well(web: Web, tmp_path: Path) -> None:
    *others, again = run(ENDS_BADLY, web, tmp_path)
    assert again in ("True queued", "True started")
    assert others == [
        "refused: Input should be a valid string (system_message > payload > content); later perhaps: False",
        "scheduled cancelled",
        "called off",
    ]


def test_announcements_and_events(web: Web, tmp_path: Path) -> None:
    lines = run(EVENTS, web, tmp_path)
    assert [line for line in lines if line.startswith("connection")] == [
        "connection: connecting ",
        "connection: connected ",
        "connection: closed the client was closed",
    ]
    assert re.fullmatch(r"job_result \d+ 🌍 Translated: 'hello' → 'hola'", lines[2])


def test_sign_in(system: System, tmp_path: Path) -> None:
    asks = {"BUS_AUTH": "jwt", "BUS_AUTH_SECRET": SHARED, "BUS_AUTH_ISSUER": ISSUER, "BUS_AUTH_AUDIENCE": AUDIENCE}
    web = system.web(**asks)
    assert run(SIGN_IN, web, tmp_path, TOKEN=token()) == ["🌍 Translated: 'hello' → 'hola'"]
    assert run(SIGN_IN, web, tmp_path, TOKEN=token(exp=1)) == ["sign in again: the token has expired"]


def test_come_back_in_a_later_process(web: Web, tmp_path: Path) -> None:
    first, later = run(LATER, web, tmp_path), run(LATER, web, tmp_path)
    assert first == later == ["🌍 Translated: 'hello' → 'hola' 1"]
    assert json.loads((tmp_path / "client.json").read_text())["resume"]
