"""What a job takes and gives: read from its function, checked against what comes and what is returned."""

import dataclasses
import math
from collections.abc import AsyncIterator, Callable, Generator, Iterable, Iterator
from datetime import date
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NoReturn

import pytest
from pydantic import BaseModel, ConfigDict, Field, computed_field, field_validator
from typing_extensions import TypedDict

from workers.errors import JobDefinitionError, Misfit
from workers.json_value import MOST_LEVELS, flaw
from workers.registry import Job, JobContext, job
from workers.signature import Signature
from workers.value_type import LONGEST_KEY, LONGEST_MESSAGE, MOST_ITEMS, ValueType, as_json


class Kind(Enum):
    PNG = "png"
    JPEG = "jpeg"


class Resize(BaseModel):
    width: int = Field(gt=0)
    height: int | None = None
    kind: Kind = Kind.PNG


class Resized(BaseModel):
    size: int = Field(alias="bytes")
    made: date = date(2026, 1, 2)


@dataclasses.dataclass
class Point:
    x: float
    y: float = 0


class Loose(BaseModel):
    anything: Any


class Named(TypedDict):
    name: str


CONTEXT = JobContext(job_id="j", client_id="c")


def nested(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


def problems(refused: pytest.ExceptionInfo[Misfit]) -> list[tuple[str, tuple[str | int, ...]]]:
    return [(item.type, item.loc) for item in refused.value.items]


@pytest.mark.parametrize(
    ("hint", "content", "value"),
    [
        (Resize, {"width": 10, "kind": "jpeg"}, Resize(width=10, kind=Kind.JPEG)),
        (Resize, {"width": "10"}, Resize(width=10)),
        (Point, {"x": 1.5}, Point(1.5)),
        (Named, {"name": "ann"}, {"name": "ann"}),
        (list[int], [1, 2], [1, 2]),
        (set[int], [1, 1], {1}),
        (tuple[int, str], [1, "x"], (1, "x")),
        (int, 10**400, 10**400),
        (int | None, None, None),
        (Literal["a", 1], 1, 1),
        (Kind, "png", Kind.PNG),
        (date, "2026-01-02", date(2026, 1, 2)),
        (Decimal, "1.10", Decimal("1.10")),
        (Annotated[str, Field(max_length=3)], "abc", "abc"),
        (Resize | Point, {"x": 1}, Point(1)),
        (Any, {"anything": [None]}, {"anything": [None]}),
    ],
)
def test_content_of_any_type_that_pydantic_knows_reaches_the_function_as_that_type(
    hint: Any, content: Any, value: Any
) -> None:
    assert ValueType(hint).load(content) == value


def test_content_is_read_as_json_even_where_a_model_is_strict() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(strict=True)

        day: date
        number: int

    assert ValueType(Strict).load({"day": "2026-01-02", "number": 1}) == Strict(day=date(2026, 1, 2), number=1)
    with pytest.raises(Misfit) as refused:
        ValueType(Strict).load({"day": "2026-01-02", "number": "1"})
    assert problems(refused) == [("int_type", ("number",))]


@pytest.mark.parametrize(
    ("hint", "content", "expected"),
    [
        (Resize, {"width": 0}, [("greater_than", ("width",))]),
        (Resize, {"height": "x"}, [("missing", ("width",)), ("int_parsing", ("height",))]),
        (Resize, "10", [("model_type", ())]),
        (list[int], [1, "x"], [("int_parsing", (1,))]),
        (str, 5, [("string_type", ())]),
        (str, None, [("string_type", ())]),
        (str, nested(150), [("string_type", ())]),
        (Any, nested(MOST_LEVELS + 1), [("too_deep", (0,) * MOST_LEVELS)]),
        (Any, {"a": math.nan}, [("finite_number", ("a",))]),
        (Any, [10**5000], [("int_parsing_size", (0,))]),
        (Any, ["\ud800"], [("string_unicode", (0,))]),
    ],
)
def test_what_does_not_fit_is_said_with_its_place(hint: Any, content: Any, expected: Any) -> None:
    with pytest.raises(Misfit) as refused:
        ValueType(hint).load(content)
    assert problems(refused) == expected


def test_however_much_is_wrong_the_account_of_it_is_bounded_and_does_not_repeat_what_is_huge() -> None:
    class Loud(BaseModel):
        text: str

        @field_validator("text")
        @classmethod
        def _refuse(cls, text: str) -> str:
            raise ValueError(f"not {text}")

    with pytest.raises(Misfit) as refused:
        ValueType(list[int]).load(["x"] * 10_000)
    assert len(refused.value.items) == MOST_ITEMS + 1
    assert refused.value.items[-1].msg == "9,980 more mistakes are not listed"
    with pytest.raises(Misfit) as refused:
        ValueType(Loud).load({"text": "x" * 60_000})
    assert len(refused.value.items[0].msg) == LONGEST_MESSAGE
    with pytest.raises(Misfit) as refused:
        ValueType(dict[str, int]).load({"k" * 60_000: "x"})
    assert len(str(refused.value.items[0].loc[0])) == LONGEST_KEY
    assert len(str(refused.value)) < 2000


@pytest.mark.parametrize(
    ("hint", "value", "written"),
    [
        (Resized, Resized(bytes=7), {"bytes": 7, "made": "2026-01-02"}),
        (Resized, {"bytes": 7}, {"bytes": 7, "made": "2026-01-02"}),
        (Point, Point(1), {"x": 1.0, "y": 0.0}),
        (list[Kind], [Kind.PNG], ["png"]),
        (tuple[int, ...], (1, 2), [1, 2]),
        (dict[str, Path], {"a": Path("b")}, {"a": "b"}),
        (dict[int, int], {1: 2}, {"1": 2}),
        (bytes, b"text", "text"),
        (None | int, None, None),
        (Any, [None, 10**400], [None, 10**400]),
    ],
)
def test_a_result_is_written_as_json(hint: Any, value: Any, written: Any) -> None:
    assert ValueType(hint).dump(value) == written


class Square(BaseModel):
    side: float

    @computed_field
    @property
    def area(self) -> float:
        return self.side**2


def test_what_is_computed_is_in_the_result_and_in_its_schema() -> None:
    gives = ValueType(Square)
    assert gives.dump(Square(side=2)) == {"side": 2, "area": 4}
    assert set(gives.given["properties"]) == {"side", "area"}
    assert set(gives.taken["properties"]) == {"side"}


@pytest.mark.parametrize(
    ("hint", "value", "reason"),
    [
        (Resized, {"bytes": "many"}, "the result does not fit: bytes: Input should be a valid integer"),
        (Resized, None, "the result does not fit: Input should be a valid dictionary or instance of Resized"),
        (Resized, Resized.model_construct(size="many"), "field_name='size'"),
        (Point, Point(math.nan), "x: Input should be a finite number"),
        (list[int], [1, None], "1: Input should be a valid integer"),
        (Any, math.nan, "Input should be a finite number"),
        (Loose, Loose(anything={1: [Loose(anything=(-math.inf,))]}), "1.0.anything.0: Input should be a finite number"),
        (Any, {"numbers": {math.inf}}, "numbers.0: Input should be a finite number"),
        (Any, object(), "Unable to serialize unknown type"),
        (Any, nested(MOST_LEVELS + 1), "deep in each other"),
        (Any, nested(300), "Maximum serialization depth exceeded"),
        (bytes, b"\xff", "invalid utf-8"),
        (list[str], ["\ud800"], "0: Input should be a valid string"),
    ],
)
def test_a_result_that_is_not_what_was_declared_says_where(hint: Any, value: Any, reason: str) -> None:
    with pytest.raises(Misfit) as refused:
        ValueType(hint).dump(value)
    assert reason in str(refused.value)


def test_content_that_json_cannot_say_is_refused_and_none_stays_none() -> None:
    assert as_json(Loose(anything=[None, 1.5])) == {"anything": [None, 1.5]}
    with pytest.raises(Misfit, match="the content does not fit: anything: Input should be a finite number"):
        as_json(Loose(anything=math.nan))


@job
def resize(content: Resize, job: JobContext) -> Resized:
    """Make it smaller."""
    return Resized(bytes=content.width)


def test_a_typed_job_is_a_function_that_takes_and_gives_its_types() -> None:
    assert resize(Resize(width=3), CONTEXT) == Resized(bytes=3)
    assert resize.signature.load({"width": 3}) == Resize(width=3)
    assert resize.signature.dump(Resized(bytes=3)) == {"bytes": 3, "made": "2026-01-02"}
    assert not resize.signature.is_text


def unannotated(content, job):  # type: ignore[no-untyped-def]
    return content


def text(content: str, job: "Nowhere") -> "str":  # type: ignore[name-defined] # noqa: F821
    return content


def never(content: str, job: JobContext) -> NoReturn:
    raise RuntimeError


def writes(content: str, job: JobContext) -> None:
    pass


def generator(content: str, job: JobContext) -> Iterator[str]:
    yield content


def bare_generator(content: str, job: JobContext):  # type: ignore[no-untyped-def]
    yield content


def full_generator(content: str, job: JobContext) -> Generator[str, None, None]:
    yield content


def iterable(content: str, job: JobContext) -> Iterable[str]:
    return [content]


async def async_generator(content: str, job: JobContext) -> AsyncIterator[str]:
    yield content


@pytest.mark.parametrize(
    "function",
    [
        unannotated,
        text,
        never,
        writes,
        generator,
        bare_generator,
        full_generator,
        iterable,
        async_generator,
        resize,
        len,
    ],
)
def test_what_has_no_other_annotation_is_text(function: Callable[..., Any]) -> None:
    assert Signature.of(function, "t").is_text


def test_a_generator_may_take_a_type_of_its_own() -> None:
    def pieces(content: Resize, job: JobContext) -> Iterator[str]:
        yield "piece"

    signature = Signature.of(pieces, "pieces")
    assert (signature.takes.is_text, signature.gives.is_text) == (False, True)


def test_a_text_job_takes_and_gives_nothing_but_text() -> None:
    signature = Job(lambda content, job: content.upper(), "shout", "").signature
    assert (signature.load("x"), signature.dump("X")) == ("x", "X")
    with pytest.raises(Misfit, match="Input should be a valid string"):
        signature.check(5)
    with pytest.raises(Misfit, match="shout returned NoneType, not text"):
        signature.dump(None)


class Opaque:
    pass


def takes_an_opaque(content: Opaque, job: JobContext) -> str:
    return ""


def takes_a_function(content: Callable[[], int], job: JobContext) -> str:
    return ""


def gives_an_opaque(content: str, job: JobContext) -> Opaque:
    return Opaque()


def takes_nothing_known(content: "Nowhere", job: JobContext) -> str:  # type: ignore[name-defined] # noqa: F821
    return ""


def yields_bytes(content: str, job: JobContext) -> Iterator[bytes]:
    yield b""


class Unfinished(BaseModel):
    other: "Nowhere"  # type: ignore[name-defined] # noqa: F821


def takes_an_unfinished(content: Unfinished, job: JobContext) -> str:
    return ""


@pytest.mark.parametrize(
    ("function", "reason"),
    [
        (takes_an_opaque, r"takes_an_opaque\): content: pydantic makes no JSON Schema of .*Opaque"),
        (takes_a_function, "content: pydantic makes no JSON Schema"),
        (gives_an_opaque, "what it returns: pydantic makes no JSON Schema"),
        (takes_nothing_known, "cannot be evaluated: NameError: name 'Nowhere' is not defined"),
        (yields_bytes, "yields <class 'bytes'>"),
        (takes_an_unfinished, "Unfinished"),
    ],
)
def test_a_type_that_cannot_be_used_is_refused_where_it_is_written(function: Callable[..., Any], reason: str) -> None:
    with pytest.raises(JobDefinitionError, match=reason) as refused:
        job(function)
    assert "\n" not in str(refused.value)


def test_json_has_no_flaw() -> None:
    assert flaw({"a": [1, 2.5, "é", None, True, {"b": {}}], "deep": nested(MOST_LEVELS - 1)}) is None
