"""Smaller copies of an image: a job whose content and result are pydantic models, and whose page has a form.

    BUS_JOBS=examples.resize busctl dev

The image is a file, and the job's content names it. Bytes of images do not belong into events: they would be sent to
every tab, and kept for a day.
"""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

from PIL import Image, ImageOps, UnidentifiedImageError
from pydantic import BaseModel, ConfigDict, Field

from busctl import Fail, JobContext, job
from examples.files import existing

Pixels = Annotated[int, Field(gt=0, le=4096)]


class Format(StrEnum):
    """As what a copy is stored."""

    PNG = "png"
    JPEG = "jpeg"
    WEBP = "webp"


class Fit(StrEnum):
    """What becomes of an image that has another shape."""

    CONTAIN = "contain"
    COVER = "cover"


class Resize(BaseModel):
    """Which image, and what is to be made of it."""

    model_config = ConfigDict(extra="forbid")

    file: str = Field(min_length=1, max_length=200, description="Which image.", examples=["docs/img/page.png"])
    widths: list[Pixels] = Field(default=[320], min_length=1, max_length=5, description="In pixels; one copy for each.")
    height: Pixels | None = Field(default=None, description="In pixels; left out, it follows from the width.")
    fit: Fit = Field(
        default=Fit.CONTAIN, description="With a height: show all of it inside, or fill it and cut the rest."
    )
    format: Format = Field(default=Format.WEBP, description="Of the copies.")
    quality: int = Field(default=80, ge=1, le=100, description="Of jpeg and webp: more is larger and better.")


class Copy(BaseModel):
    """A file that was made."""

    file: str
    width: int
    height: int
    kilobytes: float


class Resized(BaseModel):
    """What was made."""

    copies: list[Copy]


@job(time_limit=60)
def resize(content: Resize, job: JobContext) -> Resized:
    """Make smaller copies of an image."""
    source = existing(content.file)
    try:
        with Image.open(source) as opened:
            image = ImageOps.exif_transpose(opened).convert("RGB" if content.format is Format.JPEG else "RGBA")
    except (UnidentifiedImageError, Image.DecompressionBombError) as error:
        raise Fail(f"{content.file} is no image that can be read: {type(error).__name__}") from error
    copies = []
    for number, width in enumerate(content.widths):
        job.progress(number / len(content.widths), f"{width} pixels wide")
        copies.append(_copy(image, width, content, source))
    return Resized(copies=copies)


def _copy(image: Image.Image, width: int, content: Resize, source: Path) -> Copy:
    """Make one copy beside the image. A second attempt writes the same file again, and nobody reads half of one."""
    size = (width, content.height or max(1, round(image.height * width / image.width)))
    made = ImageOps.fit(image, size) if content.fit is Fit.COVER else ImageOps.contain(image, size)
    target = source.with_name(f"{source.stem}-{width}.{content.format}")
    unfinished = target.with_name(f".{target.name}")
    made.save(unfinished, format=content.format, quality=content.quality)
    unfinished.replace(target)
    kilobytes = round(target.stat().st_size / 1000, 1)
    return Copy(file=target.name, width=made.width, height=made.height, kilobytes=kilobytes)
