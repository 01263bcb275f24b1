"""The text of a job that grows on standard output: once, safe to show, and clear about another attempt."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from cli.live_text import LiveText
from cli.output import Output

Shown = Callable[[], str]


class Text(LiveText):
    """What is said beside it is kept."""

    def __init__(self) -> None:
        self.said: list[str] = []
        super().__init__(Output(), self.said.append)

    def write(self, *pieces: str, attempt: int = 1) -> None:
        for piece in pieces:
            self.piece({"action": "job_output", "payload": piece, "attempt": attempt})


@pytest.fixture
def text() -> Text:
    return Text()


@pytest.fixture
def shown(capsys: pytest.CaptureFixture[str]) -> Shown:
    return lambda: capsys.readouterr().out


def test_pieces_are_shown_as_they_come_and_the_result_not_again(text: Text, shown: Shown) -> None:
    text.write("one\ntw")
    assert shown() == "one\ntw"
    text.write("o")
    assert shown() == "o"
    text.finish("one\ntwo")
    assert shown() == "\n"


def test_of_a_result_what_was_not_written_follows(text: Text, shown: Shown) -> None:
    text.write("one ")
    text.finish("one two\n")
    assert shown() == "one two\n"


def test_a_result_that_is_not_what_was_written_is_shown_whole(text: Text, shown: Shown) -> None:
    text.write("notes")
    assert not text.has("answer\nin lines")
    text.finish("answer\nin lines")
    assert shown() == "notes\nanswer\nin lines\n"


def test_another_attempt_is_told_and_begins_on_a_line_of_its_own(text: Text, shown: Shown) -> None:
    text.write("half an ans")
    text.write("the ", "answer", attempt=2)
    text.write("too late", attempt=1)
    text.finish("the answer")
    assert shown() == "half an ans\nthe answer\n"
    assert text.said == ["attempt 2 begins again; what is above is of attempt 1"]


def test_an_attempt_after_one_that_wrote_nothing_is_not_worth_a_word(text: Text) -> None:
    text.write("answer", attempt=2)
    assert text.said == []


@pytest.mark.parametrize("pieces", [["so far"], ["so far\n"], ["so ", "far"]])
def test_what_comes_after_it_begins_a_line(text: Text, shown: Shown, pieces: list[str]) -> None:
    text.write(*pieces)
    text.end_line()
    text.end_line()
    assert shown() == "so far\n"


@pytest.mark.parametrize(
    ("pieces", "seen"),
    [
        (["a\x1b[2J[red]", "b\tc"], r"a\x1b[2J[red]b c"),
        (["safe", "\u202eforged"], r"safe\u202eforged"),
        (["👩", "\u200d", "🔬"], "👩\u200d🔬"),
        (["👩\u200d", "🔬"], "👩\u200d🔬"),
        (["x\u200d"], r"x\u200d"),
        (["x", "\u200d", "y"], r"x\u200dy"),
    ],
)
def test_it_is_safe_wherever_it_is_divided(text: Text, shown: Shown, pieces: list[str], seen: str) -> None:
    text.write(*pieces)
    text.end_line()
    assert shown() == seen + "\n"
