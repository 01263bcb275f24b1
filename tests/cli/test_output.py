"""What is shown of texts from outside."""

from __future__ import annotations

import pytest

from cli.output import Output, printable, shortened


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


def test_in_a_terminal_a_long_line_goes_on_below_where_its_text_began(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, value in {"FORCE_COLOR": "1", "COLUMNS": "20", "TERM": "xterm"}.items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv("NO_COLOR", raising=False)
    Output().line("NATS ✓ ", "one two three four five", indent=7)
    assert capsys.readouterr().out == "NATS ✓ one two three\n       four five\n"
