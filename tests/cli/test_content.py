"""What the words of `busctl submit` stand for, for jobs of every kind."""

from __future__ import annotations

from typing import Annotated, Any

import pytest
import typer
from pydantic import BaseModel, Field

from cli.content import content_of
from tests.resize_job import resize
from workers.registry import Job


class Address(BaseModel):
    zip: str
    number: int | str = 1
    note: str | None = None


def job_of(hint: Any) -> Job:
    def work(content, job):  # type: ignore[no-untyped-def]
        return ""

    if hint is not None:
        work.__annotations__["content"] = hint
    return Job(work, "work", "")


@pytest.mark.parametrize("word", ["hello", "a=b", '{"width": 10}', "10", "", "null"])
def test_a_job_of_text_takes_its_word_as_it_is(word: str) -> None:
    assert content_of(job_of(str), [word]) == word
    assert content_of(job_of(None), [word]) == word


@pytest.mark.parametrize(
    ("hint", "words", "content"),
    [
        (resize.signature.takes.hint, ['{"width": 10}'], {"width": 10}),
        (resize.signature.takes.hint, ["width=10", "height=20"], {"width": 10, "height": 20}),
        (resize.signature.takes.hint, ["width=10", 'formats=["a"]'], {"width": 10, "formats": ["a"]}),
        (resize.signature.takes.hint, ["width=10", "title=a=b c"], {"width": 10, "title": "a=b c"}),
        (Address, ["zip=12345"], {"zip": "12345"}),
        (Address, ["zip=01234", "number=7"], {"zip": "01234", "number": 7}),
        (Address, ["zip=", "note=null"], {"zip": "", "note": None}),
        (list[int], ["[1, 2]"], [1, 2]),
        (int, ["7"], 7),
        (int | None, ["null"], None),
        (Annotated[str, Field(max_length=9)], ["10"], "10"),
        (Annotated[str, Field(max_length=9)], ["a=b"], "a=b"),
        (Annotated[str, Field(max_length=9)], ['"quoted"'], "quoted"),
        (dict[str, float], ["a=1.5"], {"a": 1.5}),
        (float | str, ["NaN"], "NaN"),
    ],
)
def test_any_other_takes_json_or_names_with_values(hint: Any, words: list[str], content: Any) -> None:
    assert content_of(job_of(hint), words) == content


@pytest.mark.parametrize(
    ("hint", "words", "message"),
    [
        (str, ["two", "words"], "work takes one text, not 2"),
        (resize.signature.takes.hint, ["width=abc"], "width: Input should be a valid integer"),
        (resize.signature.takes.hint, ["height=5"], "width: Field required"),
        (resize.signature.takes.hint, ["width=10", "colour=red"], "colour: Extra inputs are not permitted"),
        (resize.signature.takes.hint, ["width=10", "tall"], "'tall' is no name=value"),
        (resize.signature.takes.hint, ["width=10", "=5"], "'=5' is no name=value"),
        (resize.signature.takes.hint, ["width=10", "width=11"], "width is given twice"),
        (resize.signature.takes.hint, ['{"width": 10'], "is not JSON: Expecting"),
        (resize.signature.takes.hint, ['{"width": 10, "width": 11}'], "the key 'width' stands in one object twice"),
        (resize.signature.takes.hint, ['{"width": NaN}'], "NaN is no value of JSON"),
        (resize.signature.takes.hint, ["[" * 5000], "not JSON"),
        (list[Any], ["[" * 150 + "]" * 150], "deep in each other"),
        (resize.signature.takes.hint, ["10"], "Input should be an object"),
    ],
)
def test_what_the_job_cannot_take_is_wrong_usage_that_names_it(hint: Any, words: list[str], message: str) -> None:
    with pytest.raises(typer.BadParameter) as refused:
        content_of(job_of(hint), words)
    assert message in str(refused.value)
