"""Output: every reader has each piece once, however slow it is, and in the end the job's whole text."""

from __future__ import annotations

import asyncio

import pytest
from busctl_client.errors import JobFailed
from busctl_client.output import OMITTED, Output, Piece
from busctl_client.signal import Signal
from hypothesis import given
from hypothesis import strategies as st


def nothing() -> None:
    """Nothing is wrong."""


async def read(output: Output) -> list[tuple[str, int, bool]]:
    return [(str(piece), piece.attempt, piece.reset) async for piece in output]


async def test_pieces_come_as_they_are_written() -> None:
    changed = Signal()
    output = Output(changed, nothing)
    reading = asyncio.create_task(read(output))
    for index, text in enumerate(("Once ", "upon ", "a time")):
        output.write(text, 1, index)
        changed.fire()
        await asyncio.sleep(0)
        await asyncio.sleep(0)
    output.end("Once upon a time", 1)
    changed.fire()
    assert await reading == [("Once ", 1, False), ("upon ", 1, False), ("a time", 1, False)]


async def test_who_comes_late_gets_what_there_is_as_one_piece() -> None:
    output = Output(Signal(), nothing)
    output.write("Once ", 1, 0)
    output.write("upon", 1, 1)
    output.end("Once upon a time", 1)
    assert await read(output) == [("Once upon a time", 1, False)]


async def test_what_another_attempt_writes_takes_the_place_of_what_was_read() -> None:
    changed = Signal()
    output = Output(changed, nothing)
    pieces = aiter(output)
    output.write("Once ", 1, 0)
    assert await anext(pieces) == "Once "
    output.write("lost", 1, 1)
    output.begin(2)
    output.write("Twice", 2, 0)
    output.write("late word", 1, 2)
    piece = await anext(pieces)
    assert (piece, piece.attempt, piece.reset) == ("Twice", 2, True)
    output.write(" told", 2, 1)
    again = await anext(pieces)
    assert (again, again.reset) == (" told", False)
    assert output.text == "Twice told"


async def test_pieces_that_were_left_out_of_a_replay_come_with_the_result() -> None:
    output = Output(Signal(), nothing)
    pieces = aiter(output)
    output.write("Once ", 1, 0)
    await anext(pieces)
    output.end("Once upon a time", 1)
    rest = await anext(pieces)
    assert (rest, rest.reset) == ("upon a time", False)


async def test_a_hole_is_seen_and_mended_by_the_result() -> None:
    output = Output(Signal(), nothing)
    pieces = aiter(output)
    output.write("Once ", 1, 0)
    output.write("time", 1, 3)
    assert await anext(pieces) == f"Once {OMITTED}time"
    output.end("Once upon a time", 1)
    whole = await anext(pieces)
    assert (whole, whole.reset) == ("Once upon a time", True)


async def test_the_same_piece_twice_is_one() -> None:
    output = Output(Signal(), nothing)
    for _ in range(2):
        output.write("Once ", 1, 0)
        output.write("upon", 1, 1)
    assert output.text == "Once upon"


async def test_a_result_that_is_no_text_is_shown_as_json() -> None:
    output = Output(Signal(), nothing)
    output.end({"sum": 6, "as": "sechs ü"}, 1)
    assert await read(output) == [('{\n  "sum": 6,\n  "as": "sechs ü"\n}', 1, False)]


async def test_a_reader_is_told_when_the_job_fails_after_what_it_wrote() -> None:
    changed = Signal()
    failed = False

    def check() -> None:
        if failed:
            raise JobFailed("j", "no paper")

    output = Output(changed, check)
    output.write("Once", 1, 0)
    failed = True
    pieces = aiter(output)
    assert await anext(pieces) == "Once"
    with pytest.raises(JobFailed, match="no paper"):
        await anext(pieces)


@given(
    st.lists(
        st.one_of(
            st.just("read"), st.just("attempt"), st.text(st.characters(categories=["L"]), min_size=1, max_size=3)
        ),
        max_size=30,
    )
)
def test_whatever_happens_the_pieces_since_the_last_reset_are_the_whole(steps: list[str]) -> None:
    async def play() -> None:
        output, attempt, index, whole, seen = Output(Signal(), nothing), 1, 0, "", ""
        pieces = aiter(output)
        for step in steps:
            if step == "attempt":
                attempt, index, whole = attempt + 1, 0, ""
                output.begin(attempt)
            elif step != "read":
                output.write(step, attempt, index)
                whole, index = whole + step, index + 1
            elif seen != whole and whole:
                seen = joined(seen, await anext(pieces))
                assert seen == whole
        output.end(whole + "!", attempt)
        async for piece in pieces:
            seen = joined(seen, piece)
        assert seen == whole + "!"

    asyncio.run(play())


def joined(seen: str, piece: Piece) -> str:
    return str(piece) if piece.reset else seen + piece
