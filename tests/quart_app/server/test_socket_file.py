"""The file of a Unix socket: whose it is, what stands in its way, and what is left of it."""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from quart_app.errors import CannotListen
from quart_app.server.listener import Listener

IN_USE = "Address already in use"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "web.sock"


def bound(path: Path, mode: int = 0o660) -> Listener:
    return Listener.bound(f"unix:{path}", mode=mode)


def why_not(path: Path) -> str:
    """Why this path cannot be listened on."""
    with pytest.raises(CannotListen) as refused:
        bound(path)
    message = str(refused.value)
    assert message.startswith(f"cannot listen on unix:{path}: ")
    return message


def left(path: Path) -> list[str]:
    return sorted(os.listdir(path.parent))


@pytest.mark.parametrize("mode", [0o600, 0o660, 0o666])
def test_it_has_the_mode_that_was_asked_for_and_nothing_is_left_of_it(path: Path, mode: int) -> None:
    before = os.umask(0o077)
    try:
        with bound(path, mode):
            assert stat.S_IMODE(path.stat().st_mode) == mode
    finally:
        os.umask(before)
    assert left(path) == []


def test_nobody_comes_in_before_it_listens(path: Path) -> None:
    with bound(path) as listener, socket.socket(socket.AF_UNIX) as early:
        with pytest.raises(ConnectionRefusedError):
            early.connect(str(path))
        listener.listen()
        early.connect(str(path))


@pytest.mark.parametrize("listens", [True, False])
def test_one_that_is_in_use_is_left_alone_also_before_its_server_listens(path: Path, listens: bool) -> None:
    with bound(path) as listener:
        if listens:
            listener.listen()
        before = path.stat().st_ino
        assert IN_USE in why_not(path)
        assert path.stat().st_ino == before
    with bound(path):
        assert left(path) == ["web.sock", "web.sock.lock"]


@pytest.mark.parametrize("backlog", [0, 10])
def test_one_that_another_program_listens_on_is_left_alone(path: Path, backlog: int) -> None:
    with socket.socket(socket.AF_UNIX) as other, socket.socket(socket.AF_UNIX) as waiting:
        other.bind(str(path))
        other.listen(backlog)
        waiting.connect(str(path))
        assert IN_USE in why_not(path)
    assert left(path) == ["web.sock"]


def test_what_a_killed_server_left_behind_is_replaced(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    (path.parent / "web.sock.lock").touch()
    with bound(path) as listener, socket.socket(socket.AF_UNIX) as client:
        listener.listen()
        client.connect(str(path))
    assert left(path) == []


@pytest.mark.parametrize("kind", ["file", "directory", "link", "broken link"])
def test_what_is_no_socket_is_left_alone(path: Path, kind: str) -> None:
    other = path.parent / "other"
    if kind == "file":
        path.write_text("precious")
    elif kind == "directory":
        path.mkdir()
    else:
        path.symlink_to(other)
        if kind == "link":
            other.write_text("precious")
    before = left(path)
    assert "something else with this path" in why_not(path)
    assert left(path) == before


def test_what_has_taken_its_place_is_left_alone(path: Path) -> None:
    with bound(path):
        path.unlink()
        path.write_text("precious")
    assert left(path) == ["web.sock"]


def test_a_lock_that_leads_elsewhere_is_not_followed(path: Path) -> None:
    (path.parent / "web.sock.lock").symlink_to(path.parent / "elsewhere")
    assert "symbolic links" in why_not(path)
    assert left(path) == ["web.sock.lock"]


def test_a_directory_that_is_not_there_is_said(path: Path) -> None:
    assert "No such file or directory" in why_not(path.parent / "missing" / "web.sock")


def test_a_path_that_is_too_long_is_said(path: Path) -> None:
    assert "has 107 bytes at most, and this one has" in why_not(path.parent / ("é" * 60))
    assert left(path) == []
