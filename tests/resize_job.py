"""A typed job with a field of every usual kind: how large an image becomes. Systems of tests get it as source text."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from workers.registry import JobContext, job

Pixels = Annotated[int, Field(gt=0, le=10_000)]


class Fit(StrEnum):
    """What happens to an image of another shape."""

    CONTAIN = "contain"
    COVER = "cover"
    STRETCH = "stretch"


class Area(BaseModel):
    """A part of an image, from its upper left corner."""

    x: int = Field(0, ge=0)
    y: int = Field(0, ge=0)
    width: Pixels
    height: Pixels


class Resize(BaseModel):
    """How large the image should be."""

    model_config = ConfigDict(extra="forbid")

    width: Pixels = Field(description="In pixels.", examples=[640])
    height: Pixels | None = Field(None, description="In pixels; left out, it follows from the width.")
    scale: float = Field(1, gt=0, le=4, description="1 for screens of ordinary resolution.")
    fit: Fit = Field(Fit.CONTAIN, description="What happens to an image of another shape.")
    formats: list[str] = Field(["png"], min_length=1, max_length=5, description="One file is made in each.")
    keep_metadata: bool = Field(False, description="Keep place, camera and time.")
    title: str = Field("", max_length=200, description="Stands below the image.")
    crop: Area | None = Field(None, description="Take this part only.")


class Resized(BaseModel):
    """What was made."""

    width: int
    height: int
    files: list[str]


@job
def resize(content: Resize, job: JobContext) -> Resized:
    """Say what an image becomes, and which files are made."""
    width, height = round(content.width * content.scale), round((content.height or content.width) * content.scale)
    name = content.title.strip() or job.job_id
    return Resized(width=width, height=height, files=[f"{name}.{ending}" for ending in content.formats])
