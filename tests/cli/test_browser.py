"""A page is opened in a browser that leaves the terminal alone, or in none."""

from __future__ import annotations

import webbrowser
from pathlib import Path

import pytest

from cli.browser import opened

URL = "http://127.0.0.1:8000/system/"


def test_no_browser_takes_the_terminal(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = tmp_path / "shown"
    program = tmp_path / "browser"
    program.write_text(f'#!/bin/sh\necho "$1" >> {shown}\n')
    program.chmod(0o755)
    monkeypatch.delenv("BROWSER", raising=False)
    monkeypatch.setattr(webbrowser, "get", lambda: webbrowser.GenericBrowser(str(program)))
    assert not opened(URL)
    assert not shown.exists()

    monkeypatch.setenv("BROWSER", str(program))
    assert opened(URL)
    assert shown.read_text() == f"{URL}\n"


def test_where_there_is_none_that_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> webbrowser.BaseBrowser:
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setattr(webbrowser, "get", none)
    assert not opened(URL)


def test_one_with_windows_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    class Windows(webbrowser.BackgroundBrowser):
        def open(self, url: str, new: int = 0, autoraise: bool = True) -> bool:
            return url == URL

    monkeypatch.delenv("BROWSER", raising=False)
    monkeypatch.setattr(webbrowser, "get", lambda: Windows("firefox"))
    assert opened(URL)
