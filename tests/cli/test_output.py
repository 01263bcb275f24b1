"""What is shown of texts from outside."""

from __future__ import annotations

import pytest

from cli.output import printable, shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain", "plain"),
        ("grüße 👩‍🚀 ✓", "grüße 👩‍🚀 ✓"),
        ("two\nlines\r\nand\ta tab", "two lines and a tab"),
        ("\x1b]0;title\x07\x1b[2Jgone\r", r"\x1b]0;title\x07\x1b[2Jgone\r"),
        ("\u009b31mred\u2028\u200b\U000e0041", r"\x9b31mred\u2028\u200b\U000e0041"),
        ("user\u202etxt.exe", r"user\u202etxt.exe"),
        ("half \ud83d", r"half \ud83d"),
    ],
)
def test_what_could_control_the_terminal_is_shown_and_not_obeyed(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_long_text_is_cut() -> None:
    assert shortened("x" * 200) == "x" * 200
    assert shortened("x" * 201) == "x" * 199 + "…"
