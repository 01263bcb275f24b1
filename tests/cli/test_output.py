"""What is shown of texts from outside."""

from __future__ import annotations

import pytest

from cli.output import printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße 👩‍🚀 ✓", "grüße 👩‍🚀 ✓"),
        ("two\nlines\tand a tab", "two lines and a tab"),
        ("\x1b]0;title\x07\x1b[2Jgone\r", "]0;title[2Jgone"),
        ("\u009b31mred", "31mred"),
        ("user\u202etxt.exe", "usertxt.exe"),
        ("half \ud83d", "half "),
    ],
)
def test_text_is_shown_without_what_could_control_the_terminal(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut() -> None:
    assert shortened("x" * 200) == "x" * 200
    assert shortened("x" * 201) == "x" * 199 + "…"
