"""The jobs among the examples, without any server."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from examples import chat, import_csv, resize
from workers.registry import discover
from workers.testing import run

CSV = "email,name,credit\n"


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the examples look for files."""
    monkeypatch.setenv("EXAMPLE_FILES", str(tmp_path / "files"))
    (tmp_path / "files").mkdir()
    (tmp_path / "secret.csv").write_text(CSV)
    return tmp_path / "files"


def picture(folder: Path, name: str = "photo.png", size: tuple[int, int] = (400, 200)) -> None:
    """An image whose left half is red and whose right half is blue."""
    image = Image.new("RGB", size, "red")
    image.paste("blue", (size[0] // 2, 0, *size))
    image.save(folder / name)


def customers(folder: Path, name: str = "customers") -> dict[str, tuple[str, int]]:
    with closing(sqlite3.connect(folder / f"{name}.sqlite")) as database:
        return {email: (name, credit) for email, name, credit in database.execute("SELECT * FROM customer")}


@pytest.mark.parametrize("name", ["chat", "resize", "import_csv"])
def test_each_is_found_by_the_name_of_its_module(name: str) -> None:
    assert name in discover(modules=[f"examples.{name}"])


@pytest.mark.parametrize(
    ("said", "answered"),
    [
        ("I want a faster laptop.", "What would it change if you had a faster laptop?"),
        ("I am tired of my job", "How long have you been tired of your job?"),
        ("Could you help me?", "Suppose that I could help you. What would you do next?"),
        ("Why do you ask?", "What do you think yourself: Why do I ask?"),
        ("Hello!", "Hello. What is on your mind?"),
    ],
)
def test_a_chat_answers_word_by_word(said: str, answered: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "SECONDS_FOR_A_WORD", 0)
    done = run(chat.chat, {"message": said})
    assert done.result == answered
    assert [piece.strip() for piece in done.output] == answered.split()


def test_a_chat_knows_what_was_said_before_and_can_be_stopped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(chat, "SECONDS_FOR_A_WORD", 0)
    again = {"message": "No.", "history": [{"role": "user", "text": "No."}, {"role": "assistant", "text": "Oh."}]}
    assert run(chat.chat, again).result == "You have said that before. What has changed since?"
    stopped = run(chat.chat, {"message": "I need tea"}, cancel_after=2)
    assert (stopped.cancelled, stopped.output) == (True, ["What ", "would "])


def test_an_image_is_made_smaller(folder: Path) -> None:
    picture(folder)
    done = run(resize.resize, {"file": "photo.png", "widths": [100, 40], "format": "png"})
    made = [(copy["file"], copy["width"], copy["height"]) for copy in done.result["copies"]]
    assert made == [("photo-100.png", 100, 50), ("photo-40.png", 40, 20)]
    assert [fraction for fraction, _ in done.progress] == [0, 0.5]
    with Image.open(folder / "photo-40.png") as small:
        assert (small.size, small.getpixel((5, 10)), small.getpixel((35, 10))) == (
            (40, 20),
            (255, 0, 0, 255),
            (0, 0, 255, 255),
        )
    assert {path.name for path in folder.iterdir()} == {"photo.png", "photo-100.png", "photo-40.png"}


@pytest.mark.parametrize(("fit", "size"), [("contain", (50, 25)), ("cover", (50, 50))])
def test_another_shape_is_shown_whole_or_cut(folder: Path, fit: str, size: tuple[int, int]) -> None:
    picture(folder)
    done = run(resize.resize, {"file": "photo.png", "widths": [50], "height": 50, "fit": fit, "format": "jpeg"})
    assert (done.result["copies"][0]["width"], done.result["copies"][0]["height"]) == size


def test_rows_are_imported_once_and_wrong_ones_are_named(folder: Path) -> None:
    (folder / "new.csv").write_text(CSV + 'ann@example.com,"Ann, the first",10\nnobody,Bob,5\ncid@example.com,Cid,-1\n')
    for _ in range(2):
        done = run(import_csv.import_csv, {"file": "new.csv"})
        assert (done.result["imported"], done.result["left_out"]) == (1, 2)
        assert [wrong["line"] for wrong in done.result["wrong"]] == [3, 4]
        assert done.result["wrong"][1]["reason"] == "credit: Input should be greater than or equal to 0"
    assert customers(folder) == {"ann@example.com": ("Ann, the first", 10)}


def test_a_long_file_says_how_far_it_is_and_lists_only_the_first_of_its_wrong_rows(folder: Path) -> None:
    rows = [f"c{number}@example.com,C,{number}\n" for number in range(1200)] + ["x,y,z\n"] * 100
    (folder / "long.csv").write_text(CSV + "".join(rows))
    done = run(import_csv.import_csv, {"file": "long.csv", "database": "other"})
    assert (done.result["imported"], done.result["left_out"], len(done.result["wrong"])) == (1200, 100, 20)
    assert [message for _, message in done.progress] == ["500 imported, 0 left out", "1,000 imported, 0 left out"]
    assert 0 < (done.progress[0][0] or 0) < (done.progress[1][0] or 0) <= 1
    assert len(customers(folder, "other")) == 1200


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"email,name\na@b,A\n", "bad.csv has no column credit; its first line has to name them"),
        (b"", "bad.csv has no column credit, email, name; its first line has to name them"),
        (CSV.encode() + b"a@b,\xff,1\n", "line 2 of bad.csv cannot be read: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_file_that_is_no_such_csv_fails_the_job_with_the_reason(folder: Path, text: bytes, reason: str) -> None:
    (folder / "bad.csv").write_bytes(text)
    assert (run(import_csv.import_csv, {"file": "bad.csv"}).failure or "").startswith(reason)


@pytest.mark.parametrize("name", ["../secret.csv", "/etc/hostname", "none.csv", ".", "link.csv"])
@pytest.mark.parametrize("job", [resize.resize, import_csv.import_csv])
def test_what_is_outside_of_the_folder_is_not_touched(folder: Path, job: Any, name: str) -> None:
    (folder / "link.csv").symlink_to(folder.parent / "secret.csv")
    assert "there is no file" in (run(job, {"file": name}).failure or "")


def test_a_file_that_is_no_image_fails_the_job_with_the_reason(folder: Path) -> None:
    (folder / "text.png").write_text("no image")
    failure = run(resize.resize, {"file": "text.png"}).failure
    assert failure == "text.png is no image that can be read: UnidentifiedImageError"
