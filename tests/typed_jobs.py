"""Jobs that take and give more than text, for systems of tests."""

from __future__ import annotations

from pathlib import Path

RESIZE = (Path(__file__).parent / "resize_job.py").read_text()

OTHERS = '''
from datetime import date
from decimal import Decimal
from typing import Annotated, Any, Literal
from pydantic import BaseModel, Field, field_validator

class Invoice(BaseModel):
    """Every kind of field that a form has."""

    number: int
    due: date
    price: Decimal = Decimal("1.50")
    weight: float | None = None
    unit: Literal["kg", "lb"] = "kg"
    paid: bool = False
    express: bool | None = None
    names: list[str]
    amounts: list[int] = []
    note: str
    extra: dict[str, Any] = {}

    @field_validator("note")
    @classmethod
    def _polite(cls, note: str) -> str:
        if "<" in note:
            raise ValueError("no markup, please")
        return note

@job
def invoice(content: Invoice, job: JobContext) -> Invoice:
    """Give back what was given."""
    return content

@job
def total(content: list[int], job: JobContext) -> int:
    """Add numbers."""
    return sum(content)

@job
def echo(content: Any, job: JobContext) -> Any:
    """Give back any JSON."""
    return content

@job
def wrong(content: int, job: JobContext) -> Resized:
    """Return what it does not say that it returns."""
    return {"width": content, "height": "tall", "files": []}
'''

SOURCE = RESIZE + OTHERS
